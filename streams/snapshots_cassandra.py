"""Snapshots that every machine reaches: in Cassandra, in chunks. See `snapshots_shared.py` for copies at hand.

A manifest without a digest is written first, the chunks of the state after it, and the whole manifest last: until then
the snapshot is not there, and yet it is known what to drop should nobody finish it. One whose chunks are missing or do
not match the manifest's BLAKE2b is left out with a warning. Keys name the writer too, so that two workers which both
believe they own a partition never mix their chunks. A writer keeps its last two; once it has those, what others saved
before them is dropped.
"""

import asyncio
import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from fanbell.streams.cassandra import Cassandra, CassandraFailed, each
from fanbell.streams.snapshots import Snapshot, SnapshotFailed

KEPT: Final = 2  # should the newest turn out damaged, there is one before it
CHUNK_BYTES: Final = (
    512 * 1024
)  # well below what Cassandra takes in one mutation (16 MiB), large enough to be few
CHUNKS_IN_FLIGHT: Final = 8  # 4 MiB on their way: enough for a fast network, little for a server's memory
UNFINISHED_S: Final = 3600.0  # begun so long ago by another writer, it is lost: clocks differ by less
_DIGEST_BYTES: Final = 16

_MANIFESTS: Final = (
    "SELECT number, writer, position, fold_version, identity, size, chunks, digest FROM snapshots "
    "WHERE stage = ? AND partition = ?"
)
_PUT_MANIFEST: Final = (
    "INSERT INTO snapshots (stage, partition, number, writer, position, fold_version, identity, size, chunks, digest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DROP_MANIFEST: Final = (
    "DELETE FROM snapshots WHERE stage = ? AND partition = ? AND number = ? AND writer = ?"
)
_AT: Final = "stage = ? AND partition = ? AND number = ? AND writer = ? AND chunk = ?"
_PUT_CHUNK: Final = (
    "INSERT INTO snapshot_chunks (stage, partition, number, writer, chunk, data) VALUES (?, ?, ?, ?, ?, ?)"
)
_CHUNK: Final = f"SELECT data FROM snapshot_chunks WHERE {_AT}"  # noqa: S608 - constants only
_DROP_CHUNK: Final = f"DELETE FROM snapshot_chunks WHERE {_AT}"  # noqa: S608 - constants only

log = structlog.get_logger(__name__)


class Manifest(Struct, frozen=True):
    """What is said of a state; `number` grows with every save and is never used again."""

    number: int
    writer: str
    offset: int
    fold_version: int
    identity: str
    size: int
    chunks: int
    digest: bytes
    """Empty while the chunks are being written, or dropped"""

    def is_of(self, snapshot: Snapshot) -> bool:
        """Whether this is said of `snapshot`, to the last byte. Takes a moment: for a thread."""
        return self.size == len(snapshot.state) and _digest(snapshot) == self.digest


class CassandraSnapshots:
    """See the module; the port is `streams.snapshots.Snapshots`. `writer` names this process, and no other one."""

    def __init__(self, cassandra: Cassandra, writer: str) -> None:
        self._cassandra, self.writer = cassandra, writer
        self._writing: set[tuple[str, int, int]] = set()
        """Stage, partition and number of what this process is saving."""

    async def save(self, snapshot: Snapshot) -> None:
        """As the port says. Raises SnapshotFailed; then what was kept before is still kept."""
        try:
            before = await self._manifests(snapshot.stage, snapshot.partition)
            whole = [one for one in before if one.digest]
            await self._clear(snapshot.stage, snapshot.partition, [one for one in before if not one.digest])
            manifest = await self._write(snapshot, before)
            await self._forget(snapshot.stage, snapshot.partition, manifest, whole)
        except CassandraFailed as error:
            raise _failed(error) from error

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        """As the port says. Of one log, the one at the highest offset first: a late worker may have saved last.

        Raises SnapshotFailed if Cassandra cannot be asked: that is not to be taken for there being none.
        """
        found: list[Snapshot] = []
        for manifest in await self.manifests(stage, partition):
            if len(found) == at_most:
                break
            snapshot = await self.load(stage, partition, manifest)
            if snapshot is not None:
                found.append(snapshot)
        return found

    async def manifests(self, stage: str, partition: int) -> list[Manifest]:
        """What is said of each snapshot of one partition, in the order of `candidates`. Raises SnapshotFailed."""
        try:
            return [one for one in await self._manifests(stage, partition) if one.digest]
        except CassandraFailed as error:
            raise _failed(error) from error

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        found = await self.manifests(stage, partition)
        return sorted({one.offset for one in found if one.identity == identity}, reverse=True)

    async def load(self, stage: str, partition: int, manifest: Manifest) -> Snapshot | None:
        """The snapshot of `manifest`; None, with a warning, if it is not whole. Raises SnapshotFailed."""
        try:
            return await self._load(stage, partition, manifest)
        except CassandraFailed as error:
            raise _failed(error) from error

    async def drop(self, stage: str, partition: int) -> None:
        try:
            for manifest in await self._manifests(stage, partition):
                await self._drop(stage, partition, manifest)
        except CassandraFailed as error:
            raise _failed(error) from error

    async def _manifests(self, stage: str, partition: int) -> list[Manifest]:
        """Those of one stage and partition, the newest first, and what is not finished or not dropped yet."""
        rows = await self._cassandra.execute(_MANIFESTS, (stage, partition))
        found = [Manifest(*row) for row in rows]
        last: dict[str, int] = {}
        for one in found:
            last[one.identity] = max(one.number, last.get(one.identity, 0))
        return sorted(found, key=lambda one: (last[one.identity], one.offset, one.number), reverse=True)

    async def _write(self, snapshot: Snapshot, before: Sequence[Manifest]) -> Manifest:
        state = memoryview(snapshot.state)
        # By the clock too, for numbers that were dropped must not come again: their deletion may outrank a write.
        number = max([time.time_ns() // 1_000, *(one.number + 1 for one in before)])
        manifest = Manifest(
            number, self.writer, snapshot.offset, snapshot.fold_version, snapshot.identity, len(state),
            -(-len(state) // CHUNK_BYTES), await asyncio.to_thread(_digest, snapshot),
        )  # fmt: skip
        place = (snapshot.stage, snapshot.partition, number, self.writer)

        async def put(chunk: int) -> None:
            data = bytes(state[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES])
            await self._cassandra.execute(_PUT_CHUNK, (*place, chunk, data))

        self._writing.add(place[:3])
        try:
            await self._put(snapshot.stage, snapshot.partition, replace(manifest, digest=b""))
            await each(range(manifest.chunks), put, CHUNKS_IN_FLIGHT)
            await self._put(snapshot.stage, snapshot.partition, manifest)
        finally:
            self._writing.discard(place[:3])
        return manifest

    async def _put(self, stage: str, partition: int, one: Manifest) -> None:
        said = (one.offset, one.fold_version, one.identity, one.size, one.chunks, one.digest)
        await self._cassandra.execute(_PUT_MANIFEST, (stage, partition, one.number, one.writer, *said))

    async def _load(self, stage: str, partition: int, manifest: Manifest) -> Snapshot | None:
        parts: list[bytes] = [b""] * manifest.chunks

        async def get(chunk: int) -> None:
            place = (stage, partition, manifest.number, manifest.writer, chunk)
            rows = await self._cassandra.execute(_CHUNK, place)
            if rows:
                parts[chunk] = rows[0][0]

        await each(range(manifest.chunks), get, CHUNKS_IN_FLIGHT)
        snapshot = await asyncio.to_thread(_joined, stage, partition, manifest, parts)
        if snapshot is None:
            where = {"stage": stage, "partition": partition, "writer": manifest.writer}
            log.warning("a snapshot was left out", **where, number=manifest.number, reason="torn or damaged")
        return snapshot

    async def _forget(self, stage: str, partition: int, saved: Manifest, before: Sequence[Manifest]) -> None:
        """Drop what `saved` and the writer's one before it make superfluous."""
        mine = [one for one in before if one.writer == self.writer]
        kept = [saved, *mine[: KEPT - 1]]
        for one in before:
            if one in kept or (one.writer != self.writer and len(kept) < KEPT):
                continue
            newer = one.identity == saved.identity and one.offset > min(keep.offset for keep in kept)
            if one.writer == self.writer or not newer:
                await self._drop(stage, partition, one)

    async def _clear(self, stage: str, partition: int, unfinished: Sequence[Manifest]) -> None:
        """Drop what nobody goes on with: an earlier try of this writer's, or what another one began long ago."""
        now_us = time.time_ns() // 1_000
        for one in unfinished:
            if one.writer == self.writer:
                lost = (stage, partition, one.number) not in self._writing
            else:
                lost = now_us - one.number >= UNFINISHED_S * 1_000_000
            if lost:
                await self._drop(stage, partition, one)

    async def _drop(self, stage: str, partition: int, manifest: Manifest) -> None:
        """The digest first, so that no snapshot lacks chunks, and the manifest last, so that none is left unnamed."""
        place = (stage, partition, manifest.number, manifest.writer)
        if manifest.digest:
            await self._put(stage, partition, replace(manifest, digest=b""))

        async def drop(chunk: int) -> None:
            await self._cassandra.execute(_DROP_CHUNK, (*place, chunk))

        await each(range(manifest.chunks), drop)
        await self._cassandra.execute(_DROP_MANIFEST, place)


def _digest(snapshot: Snapshot) -> bytes:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    digest.update(
        repr(
            (snapshot.stage, snapshot.partition, snapshot.offset, snapshot.fold_version, snapshot.identity)
        ).encode()
    )
    digest.update(snapshot.state)
    return digest.digest()


def _joined(stage: str, partition: int, manifest: Manifest, parts: Sequence[bytes]) -> Snapshot | None:
    """The snapshot that `parts` make; None if they are not what `manifest` says. Runs in a thread."""
    state = b"".join(parts)
    snapshot = Snapshot(stage, partition, manifest.offset, manifest.fold_version, manifest.identity, state)
    return snapshot if len(state) == manifest.size and _digest(snapshot) == manifest.digest else None


def _failed(error: CassandraFailed) -> SnapshotFailed:
    return SnapshotFailed(f"{error}; snapshots kept before are untouched")
