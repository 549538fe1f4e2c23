"""Snapshots as files: torn, damaged, foreign and newer ones, and what a crash while saving leaves."""

import errno
import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.snapshots_folder import FolderSnapshots

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


def at(offset: int) -> Snapshot:
    return Snapshot("fan_out", 3, offset, 7, "a1b2", b"state %d" % offset)


def files(folder: Path) -> list[Path]:
    """The files there, the newest first."""
    return sorted(folder.iterdir(), reverse=True)


def sealed(body: bytes) -> bytes:
    """`body` with the checksum that makes it whole."""
    return body + blake2b(body, digest_size=16).digest()


async def offsets(folder: Path) -> tuple[list[int], list[str]]:
    """(offsets of the candidates, reasons for leaving others out), as seen by a new process."""
    with capture_logs() as told:
        found = await FolderSnapshots(folder).candidates("fan_out", 3)
    assert all(line["log_level"] == "warning" for line in told)
    return [snapshot.offset for snapshot in found], [str(line["reason"]) for line in told]


async def test_snapshots_survive_the_process(folder: Path) -> None:
    """Another process finds what was saved."""
    await FolderSnapshots(folder).save(at(10))
    await FolderSnapshots(folder).save(at(20))

    assert await offsets(folder) == ([20, 10], [])


@pytest.mark.parametrize("kept", [0, 5, 13, 30, -20, -1])
async def test_a_torn_file_is_left_out(folder: Path, kept: int) -> None:
    """A file cut off anywhere is left out with a warning, and the one before it is used."""
    snapshots = FolderSnapshots(folder)
    await snapshots.save(at(10))
    await snapshots.save(at(20))
    newest = files(folder)[0]
    newest.write_bytes(newest.read_bytes()[:kept])

    found, reasons = await offsets(folder)

    assert found == [10]
    assert "torn" in reasons[0]


async def test_any_flipped_bit_is_noticed(folder: Path) -> None:
    """A changed byte anywhere in the file, header and checksum included, makes it no candidate."""
    await FolderSnapshots(folder).save(at(10))
    path = files(folder)[0]
    whole = path.read_bytes()

    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert (await offsets(folder))[0] == [], place


async def test_what_is_no_snapshot_is_left_out(folder: Path) -> None:
    """A file that only has the name of a snapshot is left out, and left alone."""
    await FolderSnapshots(folder).save(at(10))
    diary = folder / "fan_out.00003.000000000009.snapshot"
    diary.write_bytes(b"Dear diary" * 100)

    assert await offsets(folder) == ([10], ["not a snapshot"])
    assert diary.exists()


async def test_a_newer_format_is_refused(folder: Path) -> None:
    """A snapshot of a newer version is left out; the one before it is used."""
    await FolderSnapshots(folder).save(at(10))
    newer = folder / "fan_out.00003.000000000009.snapshot"
    newer.write_bytes(sealed(struct.pack("<8sHI", b"FANBELLS", 2, 0) + b"a state of tomorrow"))

    found, reasons = await offsets(folder)

    assert found == [10]
    assert "format 2; this version of Fanbell knows 1" in reasons[0]


async def test_a_senseless_header_is_left_out(folder: Path) -> None:
    """A file that is whole but says nothing that we understand is left out."""
    await FolderSnapshots(folder).save(at(10))
    odd = folder / "fan_out.00003.000000000009.snapshot"
    odd.write_bytes(sealed(struct.pack("<8sHI", b"FANBELLS", 1, 2) + b"{}"))

    found, reasons = await offsets(folder)

    assert found == [10]
    assert "its header makes no sense" in reasons[0]


async def test_a_file_of_another_partition_is_left_out(folder: Path) -> None:
    """A snapshot that was copied to another partition's name is not taken for that partition's."""
    snapshots = FolderSnapshots(folder)
    await snapshots.save(Snapshot("fan_out", 4, 10, 7, "a1b2", b"state"))
    files(folder)[0].rename(folder / "fan_out.00003.000000000001.snapshot")

    assert await offsets(folder) == ([], ["foreign: it is of fan_out, partition 4"])


async def test_a_damaged_one_does_not_count_as_kept(folder: Path) -> None:
    """Saving over a damaged file keeps the good one before it, until there are two good ones."""
    snapshots = FolderSnapshots(folder)
    await snapshots.save(at(10))
    await snapshots.save(at(20))
    files(folder)[0].write_bytes(b"torn")
    again = FolderSnapshots(folder)
    with capture_logs():
        await again.candidates("fan_out", 3)

    await again.save(at(30))
    assert (await offsets(folder))[0] == [30, 10]

    await again.save(at(40))
    assert await offsets(folder) == ([40, 30], [])
    assert len(files(folder)) == 2


async def test_damaged_ones_do_not_count(folder: Path) -> None:
    """A file whose head makes no sense, or that was found damaged when it was opened, is not said to stand anywhere."""
    for offset in (10, 20):
        await FolderSnapshots(folder).save(at(offset))
    snapshots = FolderSnapshots(folder)
    assert await snapshots.candidates("fan_out", 3, at_most=1) == [at(20)]
    files(folder)[0].write_bytes(files(folder)[0].read_bytes()[:-1])
    assert await snapshots.offsets("fan_out", 3, "a1b2") == [20, 10]
    with capture_logs() as told:
        assert await snapshots.candidates("fan_out", 3, at_most=1) == [at(10)]
        assert await snapshots.offsets("fan_out", 3, "a1b2") == [10]
        files(folder)[1].write_bytes(b"torn")
        assert await snapshots.offsets("fan_out", 3, "a1b2") == []

    assert [line["reason"] for line in told] == [
        "torn or damaged: it does not match its checksum",
        "torn: it has 4 bytes",
    ]


async def test_what_a_crash_left_is_swept_up(folder: Path) -> None:
    """A file that was being written when the process died is no candidate, and goes on the next start."""
    await FolderSnapshots(folder).save(at(10))
    (folder / "fan_out.00003.000000000002.writing").write_bytes(b"half a st")

    assert await offsets(folder) == ([10], [])
    assert len(files(folder)) == 1


async def test_a_failed_save_keeps_what_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk fails the save in words, and leaves the snapshots before it and nothing else."""
    snapshots = FolderSnapshots(folder)
    for offset in (10, 20):
        await snapshots.save(at(offset))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SnapshotFailed, match="No space left on device"):
            await snapshots.save(at(30))

    assert await offsets(folder) == ([20, 10], [])
    assert len(files(folder)) == 2


async def test_it_is_durable_before_older_ones_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then name, then folder are made to last, and only then the oldest is deleted."""
    snapshots = FolderSnapshots(folder)
    for offset in (10, 20):
        await snapshots.save(at(offset))
    done: list[str] = []

    def noting(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)

    noting(os, "fsync")
    noting(Path, "replace")
    noting(Path, "unlink")
    await snapshots.save(at(30))

    assert done == ["fsync", "replace", "fsync", "unlink"]


@pytest.mark.parametrize(("stage", "partition"), [("../x", 0), ("", 0), ("Fan Out", 0), ("route", 100_000)])
async def test_names_that_are_no_file_names(folder: Path, stage: str, partition: int) -> None:
    """A stage or partition that cannot be in a file name is refused."""
    with pytest.raises(ValueError, match="cannot name a snapshot"):
        await FolderSnapshots(folder).save(Snapshot(stage, partition, 1, 1, "", b""))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where the folder should be stands a file: said at once."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(SnapshotFailed, match="file"):
        FolderSnapshots(tmp_path / "file")
