"""The dead letters of a cluster: what is in `dead`, and which of it was retried or dropped.

That is said in `dead` itself, by a record whose `topic` is `dead` and whose `offset` names the letter: so it holds for
every process, and a repeat of a letter, which a stage that was replaced may write, is known by its origin.
"""

import time
from collections.abc import Sequence
from typing import Final

from fanbell.edge.backend import Letter
from fanbell.schemas.codec import Undecodable, decode, encode
from fanbell.schemas.parse import Invalid, parse_activity, parse_json
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Dead
from fanbell.schemas.topics import ACTIVITIES, CHANGES, DEAD
from fanbell.streams.core.hashes import hash64
from fanbell.streams.log import Entry, Log, Record

IDS_KEPT: Final = 10_000  # latest dead letters known by activity id, for traces
READ_MAX: Final = 1_000  # records read at once


def carried_activity(dead: Dead) -> Activity | None:
    """The activity that a dead letter carries, as Avro or JSON; None if it carries none that can be read."""
    try:
        found = parse_activity(parse_json(dead.value)) if dead.value[:1] == b"{" else decode(dead.value)
    except (Undecodable, Invalid):
        return None
    return found if type(found) is Activity else None


class Letters:
    """Reads `dead` as it grows. Raises LogFailed wherever it reads or writes."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = 0
        self._origins: set[int] = set()
        """Hashes of where letters came from, 8 bytes and a little each; letters are few, or something is very wrong."""
        self._gone: set[int] = set()
        """Offsets that are no letters: repeats, marks, and letters that were retried or dropped."""
        self._reasons: dict[str, str] = {}
        self.count = 0

    async def learn(self) -> None:
        """Take note of what came since. Any number of callers at once: what two have read is noted by one."""
        while records := await self._log.read(DEAD, 0, self._next, READ_MAX):
            for record in records:
                if record.offset >= self._next:  # else it would be taken for a repeat of itself, and be gone
                    self._note(record)
                    self._next = record.offset + 1

    def _note(self, record: Record) -> None:
        dead: Dead = decode(record.value)
        origin = hash64(f"{dead.topic}/{dead.partition}/{dead.offset}/{dead.n}/{dead.index}".encode())
        if dead.topic == DEAD:
            self.count -= dead.offset not in self._gone
            self._gone |= {dead.offset, record.offset}
        elif origin in self._origins:
            self._gone.add(record.offset)
        else:
            self._origins.add(origin)
            self.count += 1
            if dead.id:
                self._reasons.pop(dead.id, None)
                self._reasons[dead.id] = dead.reason
                if len(self._reasons) > IDS_KEPT:
                    del self._reasons[next(iter(self._reasons))]

    def reason_of(self, activity_id: str) -> str | None:
        """Why the activity died, as far as was learned; None if it did not, or long ago."""
        return self._reasons.get(activity_id)

    async def listed(self, after: int, limit: int) -> list[Letter]:
        """Letters that were not retried or dropped, from offset `after` on (exclusive), in order."""
        await self.learn()
        letters: list[Letter] = []
        at = after + 1
        while len(letters) < limit:
            records = await self._log.read(DEAD, 0, at, READ_MAX)
            if not records:
                break
            at = records[-1].offset + 1
            letters += [
                Letter(record.offset, decode(record.value))
                for record in records
                if record.offset not in self._gone and record.offset < self._next
            ]
        return letters[:limit]

    async def retry(self, offsets: Sequence[int]) -> int:
        """Put those that can be read as activities into `activities` again; how many. Others stay.

        What is framed for a schema registry goes where it stood: the workers may know its schema by now.
        """
        letters = [letter for letter in await self._of(offsets) if await self._again(letter.dead)]
        await self._mark(letters, "retried")
        return len(letters)

    async def _again(self, dead: Dead) -> bool:
        """Put what the letter carries into the log once more; whether it can be."""
        now_ms = time.time_ns() // 1_000_000
        activity = carried_activity(dead)
        if activity is not None:
            key = activity.target or activity.object
            entry = Entry(encode(activity), now_ms, key.encode())
            await self._log.append(ACTIVITIES, partition_of(key, self._log.partitions), [entry])
        elif dead.value[:1] == b"\0" and dead.topic in (ACTIVITIES, CHANGES):
            await self._log.append(dead.topic, dead.partition, [Entry(dead.value, now_ms)])
        else:
            return False
        return True

    async def drop(self, offsets: Sequence[int]) -> int:
        """Let go of them; how many."""
        letters = await self._of(offsets)
        await self._mark(letters, "dropped")
        return len(letters)

    async def _of(self, offsets: Sequence[int]) -> list[Letter]:
        found = [await self.listed(offset - 1, 1) for offset in dict.fromkeys(offsets)]
        wanted = set(offsets)
        return [letter for letters in found for letter in letters if letter.offset in wanted]

    async def _mark(self, letters: Sequence[Letter], what: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        marks = [
            Dead(DEAD, 0, letter.offset, 0, letter.offset, letter.dead.id, what, "", now_ms, b"")
            for letter in letters
        ]
        if marks:
            await self._log.append(DEAD, 0, [Entry(encode(mark), now_ms) for mark in marks])
            await self.learn()
