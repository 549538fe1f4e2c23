"""A partition that this worker holds: opened, advanced batch by batch, opened anew when log or store fail.

One task for each partition, so that partitions go on side by side and each in its order. What is handed over while the
part is being opened waits, within a bound; then Faust leaves the partition alone until there is room. Nothing that was
handed over is needed: what is lost on the way is read from the log.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from fanbell.streams.agents.beat import Beat
from fanbell.streams.agents.part import Part, Stage
from fanbell.streams.log import Record

logger = structlog.get_logger()

WAITING_BYTES: Final = 2 << 20  # handed over and not taken yet: two fetches of a partition
AT_ONCE: Final = 1_000  # records: about 20 ms of folding, after which other partitions have their turn
REST_S: Final = 1.0
LOOK_S: Final = (
    5.0  # without a batch for so long, the log is asked itself: a fetch that stalled must not stop anybody
)
END_S: Final = 2.0  # while records come, the log is asked so often how far it goes: for lag, as it is shown
BACKOFF_S: Final = 0.1  # after the first failure; doubled with each that follows at once
BACKOFF_MAX_S: Final = 5.0


class Held:
    """See the module. `beat` says when to take, `done` hears how far it is, `full` whether there is room, `broken` what
    ends the process.
    """

    def __init__(
        self,
        stage: Stage,
        partition: int,
        beat: Beat,
        done: Callable[[int], None],
        full: Callable[[bool], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self.stage, self.partition = stage, partition
        self._beat = beat
        self.part: Part | None = None
        """None while it is not open."""
        self._made: Part | None = None
        """The same, also while it is being opened"""
        self._done, self._full, self._broken = done, full, broken
        self._waiting: deque[Sequence[Record]] = deque()
        self._waiting_bytes = 0
        self._is_full = False
        self._behind = False
        self._failing = False
        self._idle_since = self._looked = time.monotonic()
        self._end: int | None = None
        """The offset after the last record, as the log said"""
        self._asked = 0.0
        self._news = asyncio.Event()
        self._go = asyncio.Event()
        self._go.set()
        self._still = asyncio.Event()
        self._still.set()
        self._log = logger.bind(stage=stage.name, partition=partition)
        self._task = asyncio.create_task(self._run(), name=f"{stage.name}[{partition}]")
        self._task.add_done_callback(self._ended)

    @property
    def open(self) -> bool:
        return self.part is not None

    @property
    def ended(self) -> bool:
        return self._task.done()

    def take(self, records: Sequence[Record]) -> None:
        """What was fetched; while paused it is forgotten."""
        if not self._go.is_set():
            return
        self._waiting.append(records)
        self._waiting_bytes += sum(len(record.value) for record in records)
        if self._waiting_bytes >= WAITING_BYTES and not self._is_full:
            self._is_full = True
            self._full(True)
        self._news.set()

    def look(self) -> None:
        """Something may stand in the log that was not handed over."""
        self._behind = True
        self._news.set()

    async def pause(self) -> None:
        """Finish what is under way, then keep still; what waits is forgotten."""
        self._go.clear()
        self._forget()
        if self._made is not None and not self._still.is_set():
            self._made.hurry()
        await self._still.wait()

    def resume(self) -> None:
        """Go on, from the log."""
        self._go.set()
        self.look()

    async def leave(self) -> None:
        """Save what makes it quick to open elsewhere; paused."""
        if self.part is not None:
            await self.part.leave()

    async def drop(self) -> None:
        """End at once; what is under way is cut off, and its outcome open."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._forget()

    def numbers(self, fetched: int | None = None) -> dict[str, float]:
        """What to show of it. `fetched`: the offset after the last record, as a fetch has told."""
        shown = {"open": float(self.open), "waiting_bytes": float(self._waiting_bytes)}
        if self.part is None:
            return shown
        offset = self.part.offset
        end = max(offset + 1, self._end or 0, fetched or 0)
        lag = {"offset": float(offset), "end": float(end), "lag_records": float(end - 1 - offset)}
        return shown | lag | self.part.numbers()

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._is_full:
            self._is_full = False
            self._full(False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.part = None
        self._still.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(error)

    async def _run(self) -> None:
        delay_s = BACKOFF_S
        while True:
            part = self._made = self.stage.make(self.partition)
            try:
                await self._open(part)
                while True:
                    await self._go_on(part)
                    delay_s = BACKOFF_S
                    self._well()
            except self.stage.failures as error:
                self.part = None
                self._ill(error)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_MAX_S)

    async def _open(self, part: Part) -> None:
        started = time.monotonic()
        await part.open()
        at = part.offset
        await self._catch_up(part)
        self.part = part
        self._log.info(
            "partition_open",
            offset=part.offset,
            read=part.offset - at,
            seconds=round(time.monotonic() - started, 3),
        )
        self._idle_since = time.monotonic()

    async def _go_on(self, part: Part) -> None:
        """Take what waits, or what is missing, or rest."""
        if self._behind or time.monotonic() - self._looked >= LOOK_S:
            await self._catch_up(part)
        if self._waiting:
            await self._beat.wait()
            records = [record for some in self._waiting for record in some]
            self._forget()
            await self._advance(part, records)
            self._idle_since = self._looked = time.monotonic()
        await self._rest(part)
        self._news.clear()
        if not (self._waiting or self._behind):
            with suppress(TimeoutError):  # a second without news: time for what is due by time
                async with asyncio.timeout(REST_S):  # `wait_for` would make a task each time
                    await self._news.wait()

    async def _catch_up(self, part: Part) -> None:
        """Up to where the log ends now: under load more has always come, and what is due must have its turn."""
        self._behind = False
        self._looked = time.monotonic()
        end = await self._ask_end(part)
        while part.offset + 1 < end and (records := await part.missing()):
            await self._advance(part, records)
            self._idle_since = time.monotonic()
            await self._rest(part)

    async def _ask_end(self, part: Part) -> int:
        self._asked = time.monotonic()
        self._end = await part.end()
        return self._end

    async def _rest(self, part: Part) -> None:
        if self._asked < self._idle_since and time.monotonic() - self._asked >= END_S:
            await self._ask_end(part)
        await self._go.wait()
        with self._moving():
            await part.rest(time.monotonic() - self._idle_since)

    async def _advance(self, part: Part, records: Sequence[Record]) -> None:
        for first in range(0, len(records), AT_ONCE):
            await self._go.wait()
            with self._moving():
                await part.advance(records[first : first + AT_ONCE])
            self._done(part.offset + 1)
            await asyncio.sleep(0)  # an advance that put out nothing has not waited for anything

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Something is under way that `pause` waits for."""
        self._still.clear()
        try:
            yield
        finally:
            self._still.set()

    def _ill(self, error: Exception) -> None:
        if not self._failing:
            self._log.warning("partition_failing", error=repr(error), then="opened anew until it goes on")
        self._failing = True

    def _well(self) -> None:
        if self._failing:
            self._log.info("partition_recovered")
        self._failing = False
