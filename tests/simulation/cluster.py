"""The cluster: workers that own partitions of three stages, and what befalls them.

Each stage of each partition is a task of one worker: a replica over `Route` or `FanOut`, or a projector. What Faust
does to them is in `_deliver`; what happens to workers is in `Cluster.before`.
"""

from collections.abc import Callable
from typing import Any

from fanbell.projections.projector import Discontinued, Projector
from fanbell.projections.store import StoreFailed
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.route import Route
from fanbell.streams.log import LogFailed, Record
from fanbell.streams.replica import LogShort, Replica
from fanbell.streams.snapshots import SnapshotFailed
from tests.simulation.faults import Faults
from tests.simulation.scheduler import UNSEEN, Scheduler, Task
from tests.simulation.world import LOST_ON_THE_WAY, SimLog, SimSnapshots, SimStore

STAGES = ("route", "fan_out", "projector")
TOPIC = {"route": ACTIVITIES, "fan_out": ROUTED, "projector": NOTICES}
ZOMBIES_MAX = 4
DURING_APPENDS = 4  # times as likely does something happen to a worker while it appends: there it hurts
LANDS = 0.005  # chance per turn that something adrift lands
AWAKENS = 0.003  # chance per turn that a zombie learns that it is one
BEHIND = 15  # records of `notices` kept below that, for a store that falls behind
DOZES = 0.6  # chance that a zombie lets its turn pass: it was slow, which is why it lost its partition


class Cluster:
    def __init__(
        self, scheduler: Scheduler, faults: Faults, partitions: int, workers: int, foreign: Any
    ) -> None:
        self.scheduler, self.faults, self.partitions, self.workers = scheduler, faults, partitions, workers
        self.log = SimLog(partitions, scheduler, faults)
        self.store = SimStore(scheduler, faults)
        self.snapshots = [SimSnapshots(scheduler, faults, self.log, foreign) for _ in range(workers)]
        if faults.random.random() < 0.5:
            self.snapshots = self.snapshots[:1] * workers
        self.tasks: dict[tuple[str, int], Task] = {}
        """(stage, partition) → the task of its owner"""
        self.done: dict[tuple[str, int], int] = {}
        """(stage, partition) → offset up to which its owner is done, outputs acknowledged"""
        self.projectors: dict[int, Projector] = {}
        self.zombies: list[Task] = []
        self.complaints: list[tuple[str, str]] = []

    def start(self) -> None:
        for stage in STAGES:
            for partition in range(self.partitions):
                self._assign(stage, partition, self.faults.random.randrange(self.workers))

    def _assign(self, stage: str, partition: int, worker: int) -> None:
        runs = self._project(partition) if stage == "projector" else self._fold(stage, partition, worker)
        name = f"{stage}[{partition}] on {worker}"
        self.tasks[stage, partition] = self.scheduler.spawn(name, runs, stage, worker)

    # What befalls workers

    def before(self, task: Task) -> bool:
        """Whether `task` may take its turn; it and others may meet their fate instead."""
        random, strikes = self.faults.random, self.faults.strikes
        if self.log.adrift and random.random() < LANDS:
            flight = self.log.adrift.pop(random.randrange(len(self.log.adrift)))
            if random.random() >= LOST_ON_THE_WAY:
                self.log.put(flight)
        if self.zombies and random.random() < AWAKENS:
            self._kill(self.zombies.pop(random.randrange(len(self.zombies))))
        if task.owner is None or task not in self.tasks.values():
            return task in self.scheduler.tasks and (task not in self.zombies or random.random() >= DOZES)
        where = f"{task.stage}: {task.place}"
        times = DURING_APPENDS if task.place.startswith("append") else 1
        if strikes("crash", where, times):
            self._crash(task.owner)
        elif strikes("task crash", where, times):
            self._move(task, task.owner, zombie=False)
        elif strikes("rebalance", task.stage):
            self._move(task, random.randrange(self.workers), zombie=False)
        elif len(self.zombies) < ZOMBIES_MAX and strikes("zombie", where, times):
            self._move(task, random.randrange(self.workers), zombie=True)
        else:
            self._trim(task)
            return True
        return False

    def _trim(self, task: Task) -> None:
        """The log of the task's stage forgets records, but none that a restart may need."""
        if not self.faults.may_strike("log trimmed"):
            return
        stage, partition = next(place for place, owned in self.tasks.items() if owned is task)
        topic = TOPIC[stage]
        start, needed = self.log.start_now(topic, partition), self._needed(stage, partition)
        if start < needed:
            self.faults.hits["log trimmed", stage] += 1
            self.log.trim_now(topic, partition, self.faults.random.randint(start + 1, needed))

    def _needed(self, stage: str, partition: int) -> int:
        """The first offset that somebody needs who is not a zombie."""
        if stage == "projector":  # where the store stands is where the next projector looks for the last pair
            owner = self.projectors.get(partition)
            return 0 if owner is None else min(owner.position, self.store.position_now(partition)) - BEHIND
        kept = min(snapshots.older(stage, partition) for snapshots in self.snapshots)
        return min(kept, self.done.get((stage, partition), -1)) + 1

    def restart(self) -> None:
        """All workers end and are started anew, as when a new version is rolled out."""
        for worker in range(self.workers):
            self._crash(worker)

    def _crash(self, worker: int) -> None:
        for task in [task for task in self.scheduler.tasks if task.owner == worker]:
            if task in self.zombies:
                self.zombies.remove(task)
                self._kill(task)
            else:
                self._move(task, self.faults.random.randrange(self.workers), zombie=False)

    def _move(self, task: Task, worker: int, zombie: bool) -> None:
        place = next((place for place, owned in self.tasks.items() if owned is task), None)
        if place is None:
            return
        if zombie:
            self.zombies.append(task)
        else:
            self._kill(task)
        self._assign(*place, worker)

    def _kill(self, task: Task) -> None:
        self.log.abandon(task)
        self.scheduler.kill(task)

    # What a worker does

    async def _fold(self, stage: str, partition: int, worker: int) -> None:
        while True:
            self._opens()
            try:
                await self._serve(stage, partition, worker)
            except LogFailed:
                await self.scheduler.at("opens anew")
            except Exception as error:  # noqa: BLE001 - whatever stops a part is what we are looking for
                if not (isinstance(error, LogShort) and self._was_trimmed_under(stage, partition)):
                    self._complain(error, stage, partition)
                return

    def _opens(self) -> None:
        task = self.scheduler.task
        assert task is not None
        for place, owned in self.tasks.items():
            if owned is task:
                self.done.pop(place, None)

    async def _serve(self, stage: str, partition: int, worker: int) -> None:
        replica = self._replica(stage, partition, worker)
        task = self.scheduler.task
        assert task is not None
        before = self.log.end_now(NOTICES, partition)
        await replica.open()
        task.saw = (before, self.log.end_now(NOTICES, partition)) if stage == "fan_out" else UNSEEN
        self._done(task, replica)
        position = await self.log.committed(replica.group, replica.topic, partition) or 0
        if self.faults.random.random() < 0.5:
            while records := await replica.missing():
                await replica.advance(records)
                self._done(task, replica)
        while True:
            position, records = await self._deliver(stage, replica.topic, partition, position)
            if records:
                await replica.advance(records)
                self._done(task, replica)
            else:
                await self.scheduler.at("idle")
            if self.faults.random.random() < 0.15:
                await replica.commit()
            if self.faults.random.random() < 0.1:
                await self._save(replica)

    def _done(self, task: Task, replica: Replica[Any]) -> None:
        if self.tasks.get((task.stage, replica.partition)) is task:
            self.done[task.stage, replica.partition] = replica.offset

    async def _save(self, replica: Replica[Any]) -> None:
        try:
            await replica.save()
        except SnapshotFailed:
            await self.scheduler.at("goes on without a snapshot")

    async def _deliver(
        self, stage: str, topic: str, partition: int, position: int
    ) -> tuple[int, list[Record]]:
        """What Faust hands over next, and where it will go on."""
        random, strikes = self.faults.random, self.faults.strikes
        end = self.log.end_now(topic, partition)
        if position >= end:
            return position, []
        if strikes("delivered twice", stage):
            position = max(0, position - random.randint(1, 6))
        if strikes("delivery skipped", stage):
            position = min(end, position + random.randint(1, 6))
        at_most = random.randint(1, 8) if self.faults.calm or strikes("cut anew", stage) else 4
        records = await self.log.read(topic, partition, position, at_most)
        if not records:
            return position, []
        position = records[-1].offset + 1
        if len(records) > 2 and strikes("delivery skipped", stage):
            del records[random.randrange(len(records) - 1)]
        return position, records

    def _replica(self, stage: str, partition: int, worker: int) -> Replica[Any]:
        make: Callable[..., Any] = Replica
        snapshots, count = self.snapshots[worker], self.partitions
        if stage == "route":
            return make(
                ACTIVITIES, partition, self.log, snapshots,
                lambda: Route(partition, count), lambda data: Route.load(partition, count, data),
            )  # fmt: skip
        return make(
            ROUTED, partition, self.log, snapshots,
            lambda: FanOut(partition), lambda data: FanOut.load(partition, data),
        )  # fmt: skip

    async def _project(self, partition: int) -> None:
        while True:
            if not any(zombie.stage == "projector" for zombie in self.zombies):
                start = self.log.start_now(NOTICES, partition)
                self.store.fall_behind(partition, start if start else -1)
            projector = Projector(partition, self.log, self.store)
            if self.tasks.get(("projector", partition)) is self.scheduler.task:
                self.projectors.pop(partition, None)
            try:
                await projector.open()
                if self.tasks.get(("projector", partition)) is self.scheduler.task:
                    self.projectors[partition] = projector
                while True:
                    if not await projector.advance(self.faults.random.randint(1, 8)):
                        await self.scheduler.at("idle")
            except (LogFailed, StoreFailed):
                await self.scheduler.at("opens anew")
            except Exception as error:  # noqa: BLE001 - whatever stops a part is what we are looking for
                if not (isinstance(error, Discontinued) and self._was_trimmed_under("projector", partition)):
                    self._complain(error, "projector", partition)
                return

    def _was_trimmed_under(self, stage: str, partition: int) -> bool:
        """Whether it is a zombie, which is nobody's concern who trims, over a log that was trimmed: it may stop."""
        return self.scheduler.task in self.zombies and self.log.start_now(TOPIC[stage], partition) > 0

    def _complain(self, error: Exception, stage: str, partition: int) -> None:
        self.complaints.append(("stuck", f"{stage}[{partition}]: {type(error).__name__}: {error}"))

    # Whether everything has come to rest

    def settled(self) -> bool:
        if self.log.adrift or self.complaints:
            return bool(self.complaints)
        for (stage, partition), task in self.tasks.items():
            if task in self.log.flying:
                return False
            done = self.done.get((stage, partition), -1)
            if stage != "projector" and done < self.log.end_now(TOPIC[stage], partition) - 1:
                return False
        return all(self._projected(partition) for partition in range(self.partitions))

    def _projected(self, partition: int) -> bool:
        projector = self.projectors.get(partition)
        return projector is not None and projector._next >= self.log.end_now(NOTICES, partition)
