"""Who is connected to any edge of a cluster, as this process has heard: the topic `presence`, folded in memory."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from fanbell.edge.presence import RESTATED_MS, Here, Rolls
from fanbell.schemas.codec import Undecodable, decode
from fanbell.schemas.records import Presence
from fanbell.schemas.topics import PRESENCE
from fanbell.streams.log import Log, LogFailed, Record
from fanbell.streams.trim import first_after

logger = structlog.get_logger()

BACK_MS: Final = 2 * RESTATED_MS
"""So far back everybody was stated who is connected now, though edges may be late and clocks not quite right."""
READ_MAX: Final = 100  # records read at once on opening; a few MB at most
TURN_USERS: Final = 1_000  # between two turns of the event loop: 10 ms of decoding
RETRY_S: Final = 1.0  # after the log could not be read
EXPIRE_EVERY_S: Final = 5.0  # what dead edges take is let go of


class Tail(Protocol):
    """A topic that is followed."""

    async def getmany(self) -> Mapping[int, Sequence[Record]]:
        """What partitions gained, in order; waits until there is something. Raises LogFailed."""
        ...

    def add(self, partition: int, offset: int) -> None:
        """Follow a partition too, from `offset` on."""
        ...

    def remove(self, partition: int) -> None:
        """Hand over nothing of a partition any more."""
        ...

    async def close(self) -> None: ...


class FollowedLog(Log, Protocol):
    """A log that can be followed."""

    async def tail(self, topic: str, positions: Mapping[int, int]) -> Tail:
        """Follow partitions of `topic`, each from its offset on. Raises LogFailed."""
        ...


class HeardPresence:
    """`open` it, then run `follow` and `tidy` for as long as the process lives."""

    def __init__(self, log: FollowedLog) -> None:
        self._log = log
        self._rolls = Rolls(log.partitions)
        self._next = dict.fromkeys(range(log.partitions), 0)
        """By partition, the offset of the record to be taken next."""
        self.strange = 0
        """Records that are none of ours."""

    async def open(self) -> None:
        """Read what everybody was stated in of late. Raises LogFailed."""
        await asyncio.gather(*(self._catch_up(partition) for partition in self._next))

    async def _catch_up(self, partition: int) -> None:
        end = await self._log.end(PRESENCE, partition)
        at = await first_after(self._log, PRESENCE, partition, _now_ms() - BACK_MS, end)
        self._next[partition] = at
        while records := await self._log.read(PRESENCE, partition, self._next[partition], READ_MAX):
            await self._take(partition, records)

    async def follow(self) -> None:
        """Take what comes, for ever; while the log is away, who is here goes by what was heard."""
        troubled = False
        while True:
            try:
                tail = await self._log.tail(PRESENCE, dict(self._next))
                try:
                    while True:
                        for partition, records in (await tail.getmany()).items():
                            await self._take(partition, records)
                        troubled = False
                finally:
                    await tail.close()
            except LogFailed as error:
                if not troubled:
                    logger.error("who is connected cannot be heard", error=str(error), retry_s=RETRY_S)
                troubled = True
            await asyncio.sleep(RETRY_S)

    async def tidy(self) -> None:
        """Let go of dead edges, for ever."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            self._rolls.expire(_now_ms())

    async def _take(self, partition: int, records: Sequence[Record]) -> None:
        users = 0
        for record in records:
            self._next[partition] = record.offset + 1
            try:
                said = decode(record.value)
            except Undecodable:
                said = None
            if isinstance(said, Presence):
                self._rolls.take(partition, said)
                users += len(said.here) + len(said.gone) + 1
            else:  # whoever may write to the topic can put anything there, and nothing else depends on it
                self.strange += 1
            if users >= TURN_USERS:
                users = 0
                await asyncio.sleep(0)

    def of(self, user: str) -> Here | None:
        """How the user is connected; None if not at all."""
        return self._rolls.of(user, _now_ms())

    def stats(self) -> dict[str, int]:
        """Numbers for people and programs."""
        return self._rolls.stats(_now_ms()) | {"strange": self.strange}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
