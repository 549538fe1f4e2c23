"""Says to everybody who is at this edge: what sessions do becomes records of `presence`, a second's worth at a time.

A partition's records go out one after the other; while some are on their way, what changes waits and goes together. A
partition that cannot be written holds up no other.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from fanbell.edge.attendance import Attendance
from fanbell.edge.backend import Backend, Unavailable
from fanbell.edge.presence import LEASE_MS
from fanbell.schemas.records import Presence

BEAT_S: Final = 1.0  # who comes is known of after a second; those who came together go in one record
FAREWELL_S: Final = (
    2.0  # for the last word of a process that ends; without it, users stay until the lease does
)
log = structlog.get_logger("fanbell.edge")


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class RollCall:
    """Make it, `start` it on an event loop, `stop` it. `clock`: Unix ms."""

    def __init__(
        self, backend: Backend, lease_ms: int = LEASE_MS, clock: Callable[[], int] = wall_ms
    ) -> None:
        self._backend, self._clock = backend, clock
        edge = secrets.token_hex(8)
        self._of = [Attendance(edge, lease_ms) for _ in range(backend.partitions)]
        self._saying: dict[int, asyncio.Task[None]] = {}
        self._beating: asyncio.Task[None] | None = None
        self._trouble = False

    def count(self, user: str, partition: int, devices: int) -> None:
        """The user, of that partition, has so many sessions here now."""
        self._of[partition].count(user, devices, self._clock())

    def active(self, user: str, partition: int) -> None:
        """The user has done something here."""
        self._of[partition].active(user, self._clock())

    def start(self) -> None:
        """Begin to speak."""
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        """Say that nobody is here any more, waiting a moment at most, and nothing after that."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        self._beating = None
        try:
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.gather(*self._saying.values())
                await asyncio.gather(
                    *(
                        self._put(p, attendance.farewell(self._clock()))
                        for p, attendance in enumerate(self._of)
                    )
                )
        except TimeoutError:
            log.warning("that nobody is here any more could not be said", then="it shows when the lease ends")

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(BEAT_S)
            for partition, attendance in enumerate(self._of):
                if partition not in self._saying and (records := attendance.due(self._clock())):
                    task = self._saying[partition] = loop.create_task(self._put(partition, records))
                    task.add_done_callback(partial(self._said, partition))

    def _said(self, partition: int, task: asyncio.Task[None]) -> None:
        del self._saying[partition]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._of[partition].lost(self._clock())
            log.error("work of the edge failed", error=f"{type(error).__name__}: {error}")

    async def _put(self, partition: int, records: Sequence[Presence]) -> None:
        if not records:
            return
        try:
            await self._backend.say_presence(partition, records)
            self._trouble = False
        except Unavailable as error:
            self._of[partition].lost(self._clock())
            if not self._trouble:
                log.error("who is here cannot be said", partition=partition, error=str(error))
            self._trouble = True
