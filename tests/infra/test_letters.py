"""Dead letters as they are read by many at once."""

import asyncio

import pytest

from fanbell.infra.letters import Letters
from fanbell.schemas.codec import encode
from fanbell.schemas.records import Dead
from fanbell.schemas.topics import ACTIVITIES, DEAD
from fanbell.streams.log import Entry, Record
from fanbell.streams.log_memory import MemoryLog

pytestmark = pytest.mark.anyio


class SlowLog(MemoryLog):
    """Answers when others have asked, too, as a log does that is at the other end of a line."""

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        found = await super().read(topic, partition, offset, at_most)
        await asyncio.sleep(0)
        return found


@pytest.mark.parametrize("readers", [1, 2, 5])
async def test_what_several_read_at_once_is_one_letter(readers: int) -> None:
    """
    A letter that several look for in the same moment is noted once: twice, it would pass for a repeat of itself.
    """
    log = SlowLog(1)
    letters = Letters(log)
    for number in range(3):
        dead = Dead(ACTIVITIES, 0, number, 0, number, "", "undecodable", "", 1, b"?")
        await log.append(DEAD, 0, [Entry(encode(dead), 1)])
        await asyncio.gather(*(letters.learn() for _ in range(readers)))

    assert [letter.offset for letter in await letters.listed(-1, 10)] == [0, 1, 2]
    assert letters.count == 3
