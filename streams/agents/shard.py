"""A replica as a worker holds it: with ticks, snapshots and commits, each when it is due."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

import structlog

from fanbell.schemas.codec import encode
from fanbell.schemas.records import Tick
from fanbell.streams.log import COMMIT_AGAIN_S, Entry, Log, LogFailed, Record
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.trim import TRIM_EVERY_S, trim

logger = structlog.get_logger()

TICK_S: Final = 1.0  # without records for so long, a fold that waits for time is told what time it is
COMMIT_S: Final = 1.0  # stage 1 puts out again what is not committed: a second's worth
FAILURES: Final = (LogFailed, SnapshotFailed)
"""What passes: the partition waits and is opened anew. LogShort does not."""


class Pace(NamedTuple):
    """How often a shard is saved: what is after the last snapshot must be folded again by who opens it."""

    snapshot_records: int = 100_000
    """About two seconds of folding"""
    snapshot_s: float = 60.0
    ticks: bool = True
    """False while history is loaded into an empty log: its time is not now"""
    log_keep_ms: int = 0
    """What was appended longer ago, and no snapshot needs, is forgotten; 0 keeps all"""


class Shard:
    """The port is `part.Part`. Raises `FAILURES` where log or snapshots did, and whatever the fold raises."""

    _dumping: ClassVar[bool] = False
    """Whether one of this process's is making its snapshot"""

    def __init__(self, replica: Replica[Any], log: Log, pace: Pace) -> None:
        self.replica = replica
        self._log, self._pace = log, pace
        self._committed = -1
        """Offset of the last record that the log knows to be done"""
        self._committed_at = self._saved_at = self._tried_at = self._trimmed_at = time.monotonic()
        self._tried = -1
        """Offset of the last snapshot that was to be kept, whether it was or not"""
        self._ticked = -1
        """Offset of the last tick appended"""
        self._saving: asyncio.Task[None] | None = None
        self._hurried = False
        """Whether others wait for this to be at rest"""

    @property
    def offset(self) -> int:
        return self.replica.offset

    async def open(self) -> None:
        await self.replica.open()
        # Asked, for it may be ahead of the snapshot, and is not to be taken back; or have been forgotten.
        committed = await self._log.committed(self.replica.group, self.replica.topic, self.replica.partition)
        self._committed = -1 if committed is None else committed - 1

    async def missing(self) -> list[Record]:
        return await self.replica.missing()

    async def end(self) -> int:
        return await self._log.end(self.replica.topic, self.replica.partition)

    async def advance(self, records: Sequence[Record]) -> None:
        await self.replica.advance(records)

    async def rest(self, idle_s: float) -> None:
        self._hurried = False
        now = time.monotonic()
        due_s = COMMIT_S if self.offset > self._committed else COMMIT_AGAIN_S
        if self.offset >= max(self._committed, 0) and now - self._committed_at >= due_s:
            await self._commit()
        await self._save_if_due(now)
        if self._pace.ticks and idle_s >= TICK_S:
            await self._tick()
        if self._pace.log_keep_ms and now - self._trimmed_at >= TRIM_EVERY_S:
            self._trimmed_at = now
            await self._trim()

    def hurry(self) -> None:
        """A snapshot that is being made is broken off: it may take longer than a rebalance waits, and is made anew."""
        self._hurried = True

    async def leave(self) -> None:
        """Commit, and keep a snapshot. A snapshot that fails is warned of: the one before it serves too."""
        self._hurried = False
        await self._commit()
        if self._saving is not None:
            await self._saving
        snapshot = await self._snapshot()
        if snapshot is not None:
            self._saving = asyncio.create_task(self._keep(snapshot))
            await self._saving

    def numbers(self) -> dict[str, float]:
        return {
            "dead_letters_total": self.replica.dead_letters,
            "snapshot_age_s": time.monotonic() - self._saved_at,
            "snapshot_offset": self.replica.saved,
            "fold_time_ms": self.replica.fold.clock_ms,
            **self.replica.fold.numbers(),
        }

    async def _commit(self) -> None:
        offset = self.offset
        await self.replica.commit()
        self._committed, self._committed_at = offset, time.monotonic()

    async def _tick(self) -> None:
        """Let time pass where nothing else makes it pass; not again before the last one has come round."""
        now_ms = int(time.time() * 1000)
        due_ms = self.replica.fold.due_ms()
        if due_ms is None or due_ms > now_ms or self._ticked > self.offset:
            return
        tick = Entry(encode(Tick(now_ms)), now_ms)
        self._ticked = await self._log.append(self.replica.topic, self.replica.partition, [tick])

    async def _trim(self) -> None:
        """Never past the older of two snapshots that are kept: whoever opens the partition begins there."""
        replica, before_ms = self.replica, int(time.time() * 1000) - self._pace.log_keep_ms
        try:
            needed = await replica.needed()
        except SnapshotFailed as error:
            where = {"stage": replica.fold.stage, "partition": replica.partition}
            logger.warning("log_not_trimmed", **where, error=str(error), then="tried again later")
            return
        await trim(self._log, replica.topic, replica.partition, before_ms, needed)

    async def _save_if_due(self, now: float) -> None:
        if self._saving is not None:
            if not self._saving.done():
                return
            self._saving.result()
            self._saving = None
        records = self.offset - max(self.replica.saved, self._tried)
        if records >= self._pace.snapshot_records or (
            self.offset > self.replica.saved and now - self._tried_at >= self._pace.snapshot_s
        ):
            if Shard._dumping:
                return  # at the next rest: one at a time, for each takes the memory of another state
            Shard._dumping = True
            try:
                snapshot = await self._snapshot()  # here, between two batches; kept while the stream goes on
            finally:
                Shard._dumping = False
            if snapshot is not None:
                self._saving = asyncio.create_task(self._keep(snapshot))

    async def _snapshot(self) -> Snapshot | None:
        """The state as it stands; None if that is kept already, or was broken off.

        The other partitions go on meanwhile; this one is at rest.
        """
        steps = self.replica.snapshot_steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                snapshot: Snapshot | None = end.value
                return snapshot
            if self._hurried:
                return None
            await asyncio.sleep(0)

    async def _keep(self, snapshot: Any) -> None:
        try:
            await self.replica.keep(snapshot)
            self._saved_at = time.monotonic()
        except SnapshotFailed as error:
            logger.warning(
                "snapshot_failed", stage=snapshot.stage, partition=snapshot.partition, error=str(error)
            )
        self._tried, self._tried_at = snapshot.offset, time.monotonic()
