"""Snapshots that machines share: several writers, torn ones, and a large state beside a busy event loop."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from fanbell.infra.local.cluster import Cluster
from fanbell.streams import snapshots_cassandra
from fanbell.streams.cassandra import Cassandra, CassandraFailed
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.snapshots_cassandra import CHUNK_BYTES, CassandraSnapshots, Manifest
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.snapshots_memory import MemorySnapshots
from fanbell.streams.snapshots_shared import SharedSnapshots
from tests.cluster import keyspaces

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def cassandra(servers: Cluster) -> Cassandra:
    return keyspaces.emptied(servers)


def at(offset: int, state: bytes = b"state", identity: str = "a1") -> Snapshot:
    return Snapshot("fan_out", 3, offset, 7, identity, state)


async def offsets(snapshots: CassandraSnapshots) -> list[int]:
    return [snapshot.offset for snapshot in await snapshots.candidates("fan_out", 3)]


async def test_what_another_saved_is_found_and_then_dropped(cassandra: Cassandra) -> None:
    """A new owner finds what the old one saved; once it has saved two of its own, the old ones go."""
    old, new = CassandraSnapshots(cassandra, "old"), CassandraSnapshots(cassandra, "new")
    await old.save(at(10))
    await old.save(at(20))
    assert await offsets(new) == [20, 10]

    await new.save(at(30))
    assert await offsets(new) == [30, 20, 10]
    await new.save(at(40))
    assert await offsets(old) == [40, 30]


async def test_a_late_worker_neither_leads_nor_drops(cassandra: Cassandra) -> None:
    """A worker that saves late, at lower offsets of the same log, drops nothing newer and is not taken first."""
    owner, zombie = CassandraSnapshots(cassandra, "owner"), CassandraSnapshots(cassandra, "zombie")
    await owner.save(at(100))
    await owner.save(at(200))
    for offset in (50, 60, 70):
        await zombie.save(at(offset))

    assert (await offsets(owner))[:2] == [200, 100]


async def test_a_torn_one_is_left_out(cassandra: Cassandra) -> None:
    """A snapshot that lacks a chunk, or has another one's bytes, is left out; the one before it is there."""
    snapshots = CassandraSnapshots(cassandra, "w")
    await snapshots.save(at(10))
    await snapshots.save(at(20, os.urandom(3 * CHUNK_BYTES)))
    newest = (await snapshots.manifests("fan_out", 3))[0]
    place = (b"x", "fan_out", 3, newest.number, "w", 1)
    where = "stage = ? AND partition = ? AND number = ? AND writer = ? AND chunk = ?"

    await cassandra.execute(f"UPDATE snapshot_chunks SET data = ? WHERE {where}", place)
    assert await offsets(snapshots) == [10]
    await cassandra.execute(f"DELETE FROM snapshot_chunks WHERE {where}", place[1:])
    assert await offsets(snapshots) == [10]


async def test_a_writer_that_dies_leaves_what_was(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the manifest is not written, a snapshot is not there, and those before it are."""
    snapshots = CassandraSnapshots(cassandra, "w")
    await snapshots.save(at(10))
    execute = cassandra.execute

    async def dies(cql: str, values: object = ()) -> list[tuple[object, ...]]:
        if "INSERT INTO snapshots " in cql:
            raise CassandraFailed("the end of this process")
        return await execute(cql, values)  # type: ignore[arg-type]

    monkeypatch.setattr(cassandra, "execute", dies)
    with pytest.raises(SnapshotFailed, match="kept before are untouched"):
        await snapshots.save(at(20))
    assert await offsets(snapshots) == [10]


async def chunks(cassandra: Cassandra) -> set[int]:
    """The offsets' states that take room, by the first byte of each chunk."""
    return {data[0] for (data,) in await cassandra.execute("SELECT data FROM snapshot_chunks")}


async def test_what_a_failed_save_left_takes_no_room(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a save that failed half way has written goes with the next one, also of the worker's next process."""
    execute, left = cassandra.execute, 2

    async def dies(cql: str, values: object = ()) -> list[tuple[object, ...]]:
        nonlocal left
        if "INSERT INTO snapshot_chunks" in cql:
            left -= 1
            if left < 0:
                raise CassandraFailed("it went away")
        return await execute(cql, values)  # type: ignore[arg-type]

    snapshots = CassandraSnapshots(cassandra, "w")
    with monkeypatch.context() as patched:
        patched.setattr(cassandra, "execute", dies)
        for first in (1, 2):
            left = 2
            with pytest.raises(SnapshotFailed):
                await snapshots.save(at(first, bytes([first]) * 3 * CHUNK_BYTES))
    assert await chunks(cassandra) == {2}
    assert await offsets(snapshots) == []
    assert await snapshots.offsets("fan_out", 3, "a1") == []

    again = CassandraSnapshots(cassandra, "w")
    await again.save(at(3, b"\x03"))
    assert await chunks(cassandra) == {3}
    assert await offsets(again) == [3]


async def test_what_a_lost_worker_left_takes_no_room(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one is saving is left alone; what it began long ago, and never ended, goes."""
    execute = cassandra.execute

    async def dies(cql: str, values: object = ()) -> list[tuple[object, ...]]:
        if "INSERT INTO snapshots " in cql and not values[-1]:  # type: ignore[index]
            return await execute(cql, values)  # type: ignore[arg-type]
        if "INSERT INTO snapshots " in cql:
            raise CassandraFailed("the end of this process")
        return await execute(cql, values)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(cassandra, "execute", dies)
        with pytest.raises(SnapshotFailed):
            await CassandraSnapshots(cassandra, "lost").save(at(1, b"\x01"))
    other = CassandraSnapshots(cassandra, "w")
    await other.save(at(2, b"\x02"))
    assert await chunks(cassandra) == {1, 2}

    monkeypatch.setattr(snapshots_cassandra, "UNFINISHED_S", 0.0)
    await other.save(at(3, b"\x03"))
    assert await chunks(cassandra) == {2, 3}
    assert await offsets(other) == [3, 2]


async def test_what_was_half_dropped_takes_no_room(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies while it drops a snapshot leaves no chunks that nobody knows of."""
    execute = cassandra.execute

    async def dies(cql: str, values: object = ()) -> list[tuple[object, ...]]:
        if "DELETE FROM snapshot_chunks" in cql:
            raise CassandraFailed("the end of this process")
        return await execute(cql, values)  # type: ignore[arg-type]

    snapshots = CassandraSnapshots(cassandra, "w")
    for offset in (1, 2):
        await snapshots.save(at(offset, bytes([offset])))
    with monkeypatch.context() as patched:
        patched.setattr(cassandra, "execute", dies)
        with pytest.raises(SnapshotFailed):
            await snapshots.save(at(3, b"\x03"))
    assert await offsets(snapshots) == [3, 2], "what is being dropped is no snapshot any more"

    await snapshots.save(at(4, b"\x04"))
    assert await chunks(cassandra) == {3, 4}


async def test_a_copy_at_hand_is_not_fetched(cassandra: Cassandra, tmp_path: Path) -> None:
    """What this machine has to the last byte is taken from it; what it has not, from the others."""
    shared = CassandraSnapshots(cassandra, "w")
    here = SharedSnapshots(FolderSnapshots(tmp_path / "here"), shared)
    await here.save(at(10))
    await CassandraSnapshots(cassandra, "x").save(at(20))
    loaded = []
    load = shared.load

    async def counted(stage: str, partition: int, manifest: object) -> Snapshot | None:
        found = await load(stage, partition, manifest)  # type: ignore[arg-type]
        loaded.append(found)
        return found

    shared.load = counted  # type: ignore[method-assign, assignment]
    assert [snapshot.offset for snapshot in await here.candidates("fan_out", 3)] == [20, 10]
    assert loaded == [at(20)]


async def test_the_newest_that_is_whole_is_all_that_is_fetched(cassandra: Cassandra) -> None:
    """A machine that has nothing fetches one state, not all that are kept; if that is torn, the one before it."""
    snapshots = CassandraSnapshots(cassandra, "w")
    for offset in (10, 20):
        await snapshots.save(at(offset))
    here = SharedSnapshots(MemorySnapshots(), snapshots)
    loaded: list[int] = []
    load = snapshots.load

    async def counted(stage: str, partition: int, manifest: Manifest) -> Snapshot | None:
        loaded.append(manifest.offset)
        return await load(stage, partition, manifest)

    snapshots.load = counted  # type: ignore[method-assign]
    assert await here.candidates("fan_out", 3, at_most=1) == [at(20)]
    assert loaded == [20]

    await cassandra.execute("TRUNCATE snapshot_chunks")
    other = CassandraSnapshots(cassandra, "other")
    await other.save(at(15))
    assert await here.candidates("fan_out", 3, at_most=1) == [at(15)]
    assert loaded == [20, 20, 15]


async def test_without_the_shared_ones_the_local_do(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Cassandra cannot be asked, local snapshots are candidates; with none of those it is an error."""
    shared, copies = CassandraSnapshots(cassandra, "w"), MemorySnapshots()
    some, none = SharedSnapshots(copies, shared), SharedSnapshots(MemorySnapshots(), shared)
    await some.save(at(10))

    async def away(*_: object) -> list[tuple[object, ...]]:
        raise CassandraFailed("nobody answers")

    monkeypatch.setattr(cassandra, "execute", away)
    assert await some.candidates("fan_out", 3) == [at(10)]
    with pytest.raises(SnapshotFailed):
        await none.candidates("fan_out", 3)
    with pytest.raises(SnapshotFailed):
        await some.offsets("fan_out", 3, "a1")
    with pytest.raises(SnapshotFailed):
        await some.save(at(20))
    assert await copies.candidates("fan_out", 3) == [at(10)], "what nobody else has is not taken for saved"


async def test_only_what_is_shared_counts(cassandra: Cassandra) -> None:
    """Copies of this machine's that are not shared, as from before Cassandra was restored, stand nowhere for others."""
    copies = MemorySnapshots()
    for offset in (30, 40):
        await copies.save(at(offset))
    here = SharedSnapshots(copies, CassandraSnapshots(cassandra, "w"))
    await here.save(at(10))
    await CassandraSnapshots(cassandra, "x").save(at(10))
    await CassandraSnapshots(cassandra, "x").save(at(5))

    assert await here.offsets("fan_out", 3, "a1") == [10, 5]


async def test_a_large_state_lets_the_event_loop_go_on(cassandra: Cassandra) -> None:
    """Saving and opening 100 MB happens beside everything else: the event loop has its turn throughout."""
    state = os.urandom(1 << 20) * 100
    snapshots = CassandraSnapshots(cassandra, "w")
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    other = asyncio.ensure_future(beside())
    begun = time.monotonic()
    await snapshots.save(at(10, state))
    (found,) = await snapshots.candidates("fan_out", 3)
    seconds = time.monotonic() - begun
    other.cancel()

    assert found.state == state
    assert turns > seconds * 10, f"{turns} turns in {seconds:.1f} s"
