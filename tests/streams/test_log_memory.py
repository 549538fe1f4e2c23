"""What the log in memory has beside the contract: holes, and places to put faults."""

import asyncio

import pytest

from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_memory import MemoryLog, Moment

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_holes_are_read_over() -> None:
    """Offsets of aborted records are used up: reading from inside the hole begins after it."""
    log = MemoryLog()
    await log.append(NOTICES, 0, [Entry(b"a", 1)])
    log.leave_hole(NOTICES, 0, 3)
    assert await log.end(NOTICES, 0) == 4
    assert await log.append(NOTICES, 0, [Entry(b"b", 1)]) == 4

    assert [record.offset for record in await log.read(NOTICES, 0, 0, 10)] == [0, 4]
    assert [record.offset for record in await log.read(NOTICES, 0, 2, 10)] == [4]


async def test_trimming_in_a_hole() -> None:
    """Trimming up to an offset in a hole moves the start there."""
    log = MemoryLog()
    await log.append(NOTICES, 0, [Entry(b"a", 1)])
    log.leave_hole(NOTICES, 0, 3)
    await log.append(NOTICES, 0, [Entry(b"b", 1)])

    await log.trim(NOTICES, 0, 2)

    assert await log.start(NOTICES, 0) == 2
    assert [record.offset for record in await log.read(NOTICES, 0, 0, 10)] == [4]


async def test_a_subclass_can_lose_an_acknowledgement() -> None:
    """A fault after the effect: the append failed as far as its caller knows, and is there all the same."""

    class Losing(MemoryLog):
        async def pause(self, moment: Moment, topic: str, partition: int) -> None:
            await asyncio.sleep(0)
            if moment == "appended":
                raise LogFailed("the acknowledgement was lost")

    log = Losing()
    with pytest.raises(LogFailed):
        await log.append(NOTICES, 0, [Entry(b"a", 1)])

    assert await log.end(NOTICES, 0) == 1


def test_at_least_one_partition() -> None:
    """A log without partitions could hold nothing."""
    with pytest.raises(ValueError, match="at least one partition"):
        MemoryLog(0)
