"""Snapshots as files in a folder: the embedded mode's, and each worker's own in the cluster.

A file is `FANBELLS`, format u16, header length u32, header (JSON), state, BLAKE2b (16 bytes) of all that;
numbers are little endian. Its name is stage, partition and a number that grows with every save: the newest is
the one saved last, not the one with the highest offset, for another log counts from 0 again.

A file appears under its name whole, by a rename, or not at all. One writer per folder (see `infra/lock.py`).
"""

import os
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import structlog

from fanbell.streams.snapshots import Snapshot, SnapshotFailed

FORMAT: Final = 1
KEPT: Final = 2  # per stage and partition: should the newest turn out damaged, there is one before it

_MAGIC: Final = b"FANBELLS"
_LEAD: Final = struct.Struct("<8sHI")
_DIGEST_BYTES: Final = 16
_HEAD_BYTES: Final = 4096  # holds lead and header: names and numbers
_NAME: Final = re.compile(r"([a-z0-9_]+)\.(\d{5})\.(\d{12})\.snapshot")
_TEMPORARY: Final = ".writing"

log = structlog.get_logger(__name__)


class _Header(msgspec.Struct):
    """What is said of a state before it comes."""

    stage: str
    partition: int
    offset: int
    fold_version: int
    identity: str


class Unusable(Exception):
    """Why a file is not taken for a snapshot."""


class FolderSnapshots:
    """See the module; the port is `streams.snapshots.Snapshots`."""

    def __init__(self, path: str | Path) -> None:
        """Keep snapshots in the folder `path`, made if it is not there. Raises SnapshotFailed."""
        self.path = Path(path)
        self._unusable: set[Path] = set()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for left in self.path.glob(f"*{_TEMPORARY}"):  # of a process that died while saving
                left.unlink()
        except OSError as error:
            raise _failed(self.path, error) from error

    async def save(self, snapshot: Snapshot) -> None:
        """As the port says. Raises SnapshotFailed; then what was kept before is still kept."""
        files = self._files(snapshot.stage, snapshot.partition)
        number = _number(files[0]) + 1 if files else 1
        name = f"{snapshot.stage}.{snapshot.partition:05}.{number:012}.snapshot"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name} cannot name a snapshot (stage: a-z, 0-9, _; partition: 0 to 99999)")
        path = self.path / name
        try:
            _write(path, snapshot)
            _sync_folder(self.path)
            self._forget(files)
        except OSError as error:
            raise _failed(path, error) from error

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        """As the port says. Whether one fits the log at hand (identity, offset, fold) is for the caller."""
        found: list[Snapshot] = []
        for path in self._files(stage, partition):
            if len(found) == at_most:
                break
            try:
                found.append(_read(path, stage, partition))
            except (Unusable, OSError) as error:
                self._left_out(path, error)
        return found

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        """As the port says; only heads are read, and what was found unusable before is left out."""
        found = set()
        for path in self._files(stage, partition):
            if path in self._unusable:
                continue
            try:
                with path.open("rb") as file:
                    head = file.read(_HEAD_BYTES)
                header = _header(head, _state_at(head), stage, partition)
            except (Unusable, OSError) as error:
                self._left_out(path, error)
                continue
            if header.identity == identity:
                found.add(header.offset)
        return sorted(found, reverse=True)

    async def drop(self, stage: str, partition: int) -> None:
        try:
            for path in self._files(stage, partition):
                path.unlink()
            _sync_folder(self.path)
        except OSError as error:
            raise _failed(self.path, error) from error

    def _left_out(self, path: Path, error: Exception) -> None:
        log.warning("a snapshot was left out", path=str(path), reason=str(error))
        self._unusable.add(path)

    def _files(self, stage: str, partition: int) -> list[Path]:
        """The files of one stage and partition, the one saved last first."""
        files = [
            path
            for path in self.path.glob(f"{stage}.{partition:05}.*.snapshot")
            if _NAME.fullmatch(path.name)
        ]
        return sorted(files, key=_number, reverse=True)

    def _forget(self, files: Iterable[Path]) -> None:
        """Delete of `files`, the ones before that just saved, what is older than the last usable one."""
        usable = 1
        for path in files:
            if usable >= KEPT:
                path.unlink()
                self._unusable.discard(path)
            elif path not in self._unusable:
                usable += 1


def _number(path: Path) -> int:
    return int(path.name.split(".")[2])


def _write(path: Path, snapshot: Snapshot) -> None:
    names = _Header.__struct_fields__
    header = msgspec.json.encode({name: getattr(snapshot, name) for name in names})
    lead = _LEAD.pack(_MAGIC, FORMAT, len(header)) + header
    digest = blake2b(lead, digest_size=_DIGEST_BYTES)
    digest.update(snapshot.state)
    temporary = path.with_suffix(_TEMPORARY)
    try:
        with temporary.open("wb") as file:
            file.write(lead)
            file.write(snapshot.state)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell; what is left is swept up on opening
            temporary.unlink(missing_ok=True)
        raise


def _sync_folder(path: Path) -> None:
    """Make a rename last: until the folder is synced, loss of power may undo it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, stage: str, partition: int) -> Snapshot:
    data = memoryview(path.read_bytes())
    state_at = _state_at(data)
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        raise Unusable("torn or damaged: it does not match its checksum")
    header = _header(body, state_at, stage, partition)
    state = bytes(body[state_at:])
    return Snapshot(stage, partition, header.offset, header.fold_version, header.identity, state)


def _state_at(data: bytes | memoryview) -> int:
    """Where in `data`, a file or its beginning, the header ends and the state begins. Raises Unusable."""
    if len(data) < _LEAD.size + _DIGEST_BYTES:
        raise Unusable(f"torn: it has {len(data)} bytes")
    magic, version, header_bytes = _LEAD.unpack_from(data)
    if magic != _MAGIC:
        raise Unusable("not a snapshot")
    if version > FORMAT:
        raise Unusable(f"format {version}; this version of Fanbell knows {FORMAT} and older")
    return _LEAD.size + int(header_bytes)


def _header(data: bytes | memoryview, state_at: int, stage: str, partition: int) -> _Header:
    try:
        header = msgspec.json.decode(data[_LEAD.size : state_at], type=_Header)
    except msgspec.MsgspecError as error:
        raise Unusable(f"its header makes no sense: {error}") from error
    if (header.stage, header.partition) != (stage, partition):
        raise Unusable(f"foreign: it is of {header.stage}, partition {header.partition}")
    return header


def _failed(path: Path, error: OSError) -> SnapshotFailed:
    return SnapshotFailed(f"{path}: {error.strerror or error}; snapshots kept before are untouched")
