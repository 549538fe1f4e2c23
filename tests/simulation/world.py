"""The ports with faults: one log and one store that all workers share, and a folder of snapshots for each worker.

They are the memory adapters; what is added is that every call gives the turn away before and after its effect, and that
it may fail, take long, or have its effect after its caller is gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fanbell.projections.store import StoreFailed
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.records import Told
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.core.kinds import FOLD_VERSION
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.snapshots_memory import MemorySnapshots
from tests.simulation.faults import Faults
from tests.simulation.history import Moved
from tests.simulation.scheduler import Scheduler, Task, at_once

IDENTITY = "the log"
HELD_UP = (2, 10, 60)  # turns of the writer that a late append takes at most
LOST_ON_THE_WAY = 0.5  # chance that what a dead or impatient writer sent never lands


class Flight:
    """An append under way."""

    def __init__(self, topic: str, partition: int, entries: Sequence[Entry], task: Task) -> None:
        self.topic, self.partition, self.entries, self.task = topic, partition, entries, task
        self.base = -1
        self.saw = task.saw


class SimLog(MemoryLog):
    def __init__(self, partitions: int, scheduler: Scheduler, faults: Faults) -> None:
        super().__init__(partitions, IDENTITY)
        self.scheduler, self.faults = scheduler, faults
        self.adrift: list[Flight] = []
        """Appends whose caller waits no more."""
        self.flying: dict[Task, Flight] = {}
        self.times: dict[tuple[str, int, int], tuple[int, tuple[int, int]]] = {}
        """(topic, partition, offset) → (turn, what its writer saw of `notices` when it opened)"""
        self.moved: list[Moved] = []
        self.trimmed: dict[tuple[str, int], list[Record]] = {}
        """What is there no more, for those who judge afterwards."""

    def _stage(self) -> tuple[Task, str]:
        task = self.scheduler.task
        assert task is not None
        return task, task.stage

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        task, stage = self._stage()
        await self.scheduler.at(f"append {topic}")
        flight = self.flying[task] = Flight(topic, partition, entries, task)
        await self._land(flight, stage)
        await self.scheduler.at(f"appended {topic}")
        if self.faults.strikes("append failed, done", stage):
            raise LogFailed("the acknowledgement was lost")
        return flight.base

    async def _land(self, flight: Flight, stage: str) -> None:
        late = self.faults.strikes("append late", stage)
        for _ in range(self.faults.random.randrange(self.faults.random.choice(HELD_UP)) if late else 0):
            await self.scheduler.at(f"appending {flight.topic}")
            if self.faults.strikes("append failed, not done", stage):
                self.abandon(flight.task)
                raise LogFailed("no acknowledgement in time")
        if self.faults.strikes("append failed, not done", stage):
            del self.flying[flight.task]
            raise LogFailed("refused")
        self.put(flight)
        del self.flying[flight.task]

    def abandon(self, task: Task) -> None:
        """The writer of what `task` has under way waits no more: it may land later, or never."""
        flight = self.flying.pop(task, None)
        if flight is None:
            return
        if task.log_keeps_order:
            if self.faults.random.random() >= LOST_ON_THE_WAY:
                self.put(flight)
        elif self.faults.random.random() >= LOST_ON_THE_WAY:
            self.adrift.append(flight)

    def put(self, flight: Flight) -> None:
        """The append has its effect."""
        topic, partition = flight.topic, flight.partition
        if topic in (ACTIVITIES, ROUTED, NOTICES) and self.faults.strikes("hole", topic):
            self.leave_hole(topic, partition, self.faults.random.randint(1, 3))
        flight.base = at_once(super().append(topic, partition, flight.entries))
        for offset in range(flight.base, flight.base + len(flight.entries)):
            self.times[topic, partition, offset] = (self.scheduler.time, flight.saw)

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        _, stage = self._stage()
        await self.scheduler.at(f"read {topic}")
        if self.faults.strikes("read failed", stage):
            raise LogFailed("cannot be read now")
        found = await super().read(topic, partition, offset, at_most)
        await self.scheduler.at(f"have read {topic}")
        return found

    async def start(self, topic: str, partition: int) -> int:
        await self.scheduler.at(f"start {topic}")
        return await super().start(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        await self.scheduler.at(f"end {topic}")
        return await super().end(topic, partition)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        _, stage = self._stage()
        await self.scheduler.at("commit")
        if self.faults.strikes("commit failed", stage):
            raise LogFailed("the commit was refused")
        await super().commit(group, topic, partition, offset)
        self.moved.append(Moved(self.scheduler.time, "committed", stage, partition, offset - 1))
        await self.scheduler.at("committed")

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        await self.scheduler.at("asks what is committed")
        return await super().committed(group, topic, partition)

    # For those who watch: no turn is given away

    def put_now(self, topic: str, partition: int, entry: Entry) -> None:
        at_once(super().append(topic, partition, [entry]))

    def end_now(self, topic: str, partition: int) -> int:
        end: int = at_once(super().end(topic, partition))
        return end

    def start_now(self, topic: str, partition: int) -> int:
        start: int = at_once(super().start(topic, partition))
        return start

    def trim_now(self, topic: str, partition: int, before: int) -> None:
        kept: list[Record] = at_once(super().read(topic, partition, 0, 1 << 62))
        gone = [record for record in kept if record.offset < before]
        self.trimmed.setdefault((topic, partition), []).extend(gone)
        at_once(super().trim(topic, partition, before))

    def records_now(self, topic: str, partition: int) -> list[Record]:
        """All that was ever there."""
        kept: list[Record] = at_once(super().read(topic, partition, 0, 1 << 62))
        return self.trimmed.get((topic, partition), []) + kept


class SimSnapshots(MemorySnapshots):
    """The folder of one worker, or of all. `foreign` makes the state of another log, as one copied from elsewhere has.

    Of two that are kept one may be lost; also both, where the log is whole.
    """

    def __init__(self, scheduler: Scheduler, faults: Faults, log: SimLog, foreign: Any) -> None:
        super().__init__()
        self.scheduler, self.faults, self.log, self.foreign = scheduler, faults, log, foreign

    async def save(self, snapshot: Snapshot) -> None:
        stage, partition = snapshot.stage, snapshot.partition
        await self.scheduler.at("save")
        if self.faults.strikes("snapshot failed", stage):
            raise SnapshotFailed("no room")
        at_once(super().save(snapshot))
        self.log.moved.append(Moved(self.scheduler.time, "saved", stage, partition, snapshot.offset))
        await self.scheduler.at("saved")

    def older(self, stage: str, partition: int) -> int:
        """Offset up to which the log is not needed, whichever of the two snapshots is lost."""
        kept = self._kept.get((stage, partition), [])
        return min(snapshot.offset for snapshot in kept) if len(kept) > 1 else -1

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        await self.scheduler.at("candidates")
        found: list[Snapshot] = at_once(super().candidates(stage, partition))
        topic, strikes = ACTIVITIES if stage == "route" else ROUTED, self.faults.strikes
        end, least = self.log.end_now(topic, partition), int(self.log.start_now(topic, partition) > 0)
        if len(found) > least and strikes("snapshot missing", stage):
            found = found[1:]
        if len(found) > least and strikes("snapshot torn", stage):
            torn = found[0].state[: self.faults.random.randrange(len(found[0].state))]
            found = [Snapshot(stage, partition, found[0].offset, FOLD_VERSION, IDENTITY, torn), *found[1:]]
        if end > 2 and strikes("snapshot foreign", stage):
            offset = self.faults.random.randrange(1, end)
            found = [
                Snapshot(stage, partition, offset, FOLD_VERSION, "another", self.foreign(stage, partition)),
                *found,
            ]
        if end > 2 and strikes("snapshot newer", stage):
            offset = self.faults.random.randrange(1, end)
            found = [
                Snapshot(
                    stage, partition, offset, FOLD_VERSION + 1, IDENTITY, self.foreign(stage, partition)
                ),
                *found,
            ]
        return found[:at_most]


class SimStore(MemoryStore):
    def __init__(self, scheduler: Scheduler, faults: Faults) -> None:
        super().__init__(keep=10_000)
        self.scheduler, self.faults = scheduler, faults
        self.stood: dict[int, list[int]] = {}
        """Positions that were stored, by partition."""

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        await self.scheduler.at("apply")
        if self.faults.strikes("store failed", "projector"):
            raise StoreFailed("no room")
        if self.faults.strikes("rows without position", "projector"):
            self.put_rows(batches, positions)
            raise StoreFailed("it went away between rows and position")
        at_once(super().apply(batches, positions))
        for partition, position in positions.items():
            self.stood.setdefault(partition, [-1]).append(position)
        await self.scheduler.at("applied")

    def put_rows(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        before = dict(self._positions)
        at_once(super().apply(batches, positions))
        self._positions = before

    async def positions(self) -> dict[int, int]:
        await self.scheduler.at("positions")
        return dict(self._positions)

    def position_now(self, partition: int) -> int:
        return self._positions.get(partition, -1)

    def fall_behind(self, partition: int, least: int) -> None:
        """The position is one that was stored before, and is still in the log; the rows stay as they are."""
        now = self._positions.get(partition, -1)
        if now >= 0 and self.faults.strikes("store behind", "projector"):
            stood = [at for at in self.stood.get(partition, ()) if least <= at <= now]
            self._positions[partition] = self.faults.random.choice(stood or [now])
