"""What every keeper of snapshots promises (`streams/snapshots.py`), asked of each adapter."""

from pathlib import Path

import pytest

from fanbell.streams.snapshots import Snapshot, Snapshots
from fanbell.streams.snapshots_cassandra import CassandraSnapshots
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.snapshots_memory import MemorySnapshots
from fanbell.streams.snapshots_shared import SharedSnapshots
from tests.cluster import keyspaces

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


CLUSTER = pytest.mark.cluster


@pytest.fixture(
    params=[
        "memory",
        "folder",
        pytest.param("cassandra", marks=CLUSTER),
        pytest.param("shared", marks=CLUSTER),
    ]
)
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Snapshots:
    if request.param == "memory":
        return MemorySnapshots()
    folder = FolderSnapshots(tmp_path / "snapshots")
    if request.param == "folder":
        return folder
    shared = CassandraSnapshots(keyspaces.emptied(request.getfixturevalue("servers")), "worker-1")
    return shared if request.param == "cassandra" else SharedSnapshots(folder, shared)


def at(offset: int, stage: str = "fan_out", partition: int = 3, identity: str = "a1b2") -> Snapshot:
    """A snapshot of one stage and partition at `offset`."""
    return Snapshot(stage, partition, offset, 7, identity, b"state \x00\xff " + b"%d" % offset)


async def test_what_is_saved_comes_back_whole(snapshots: Snapshots) -> None:
    """Every field of a snapshot, and every byte of its state, is as it was saved."""
    await snapshots.save(at(17))

    assert await snapshots.candidates("fan_out", 3) == [at(17)]


async def test_an_empty_state_and_the_beginning(snapshots: Snapshots) -> None:
    """A state of no bytes, at the place before the first record, is a snapshot like any."""
    empty = Snapshot("route", 0, -1, 1, "", b"")

    await snapshots.save(empty)

    assert await snapshots.candidates("route", 0) == [empty]


async def test_a_large_state(snapshots: Snapshots) -> None:
    """A state of megabytes comes back byte by byte."""
    large = Snapshot("route", 0, 5, 1, "id", bytes(range(256)) * 20_000)

    await snapshots.save(large)

    assert await snapshots.candidates("route", 0) == [large]


async def test_nothing_was_saved(snapshots: Snapshots) -> None:
    """Of what was never saved there are no candidates."""
    assert await snapshots.candidates("fan_out", 3) == []


async def test_the_newest_comes_first_and_the_one_before_is_kept(snapshots: Snapshots) -> None:
    """However many are saved, the last two are there, the last one first."""
    for offset in (10, 20, 30):
        await snapshots.save(at(offset))

    assert (await snapshots.candidates("fan_out", 3))[:2] == [at(30), at(20)]


async def test_the_newest_alone(snapshots: Snapshots) -> None:
    """Who needs only the newest one gets only that."""
    assert await snapshots.candidates("fan_out", 3, at_most=1) == []
    for offset in (10, 20, 30):
        await snapshots.save(at(offset))

    assert await snapshots.candidates("fan_out", 3, at_most=1) == [at(30)]


async def test_newest_is_what_was_saved_last(snapshots: Snapshots) -> None:
    """A log made anew counts from 0: its snapshot is newer than one of the old log at a higher offset."""
    await snapshots.save(at(1_000, identity="old"))
    await snapshots.save(at(10, identity="new"))
    await snapshots.save(at(20, identity="new"))

    found = await snapshots.candidates("fan_out", 3)
    assert found[:2] == [at(20, identity="new"), at(10, identity="new")]


async def test_saving_the_same_twice(snapshots: Snapshots) -> None:
    """A second identical save is harmless."""
    await snapshots.save(at(10))
    await snapshots.save(at(10))

    assert (await snapshots.candidates("fan_out", 3))[0] == at(10)


async def test_old_ones_do_not_pile_up(snapshots: Snapshots) -> None:
    """What is kept is bounded, however often is saved."""
    for offset in range(50):
        await snapshots.save(at(offset))

    assert len(await snapshots.candidates("fan_out", 3)) == 2


async def test_stages_and_partitions_are_apart(snapshots: Snapshots) -> None:
    """Saving or dropping one partition's snapshots leaves those of others."""
    for stage, partition in (("fan_out", 3), ("fan_out", 30), ("route", 3)):
        await snapshots.save(at(5, stage, partition))

    await snapshots.drop("fan_out", 3)

    assert await snapshots.candidates("fan_out", 3) == []
    assert await snapshots.candidates("fan_out", 30) == [at(5, "fan_out", 30)]
    assert await snapshots.candidates("route", 3) == [at(5, "route", 3)]


async def test_dropping_twice(snapshots: Snapshots) -> None:
    """To forget what is forgotten changes nothing, and saving goes on."""
    await snapshots.save(at(5))
    await snapshots.drop("fan_out", 3)
    await snapshots.drop("fan_out", 3)

    await snapshots.save(at(6))

    assert await snapshots.candidates("fan_out", 3) == [at(6)]


async def test_the_offsets_of_what_is_kept(snapshots: Snapshots) -> None:
    """Where the snapshots of one log stand is told without opening them, the highest first."""
    assert await snapshots.offsets("fan_out", 3, "a1b2") == []
    await snapshots.save(at(1_000, identity="old"))
    await snapshots.save(at(10))
    await snapshots.save(at(20))
    await snapshots.save(at(40, partition=4))

    assert await snapshots.offsets("fan_out", 3, "a1b2") == [20, 10]
    assert await snapshots.offsets("fan_out", 4, "a1b2") == [40]
