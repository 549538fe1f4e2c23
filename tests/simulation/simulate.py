"""One run from one seed: a cluster under faults, people who use it, and the history of it all."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any, Final
from unittest.mock import patch

from msgspec import Struct
from structlog.testing import capture_logs

from fanbell.schemas.codec import encode
from fanbell.schemas.records import Rules, Tick
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core import fold
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.kinds import FOLD_VERSION, parse_rules
from fanbell.streams.core.kinds import Rules as Parsed
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry, LogFailed, Record
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.history import NEVER, History, Op
from tests.simulation.observe import history
from tests.simulation.rules import SOURCE
from tests.simulation.scheduler import Scheduler
from tests.simulation.workload import PRODUCERS, Records, Workload

START_MS: Final = 1_760_000_000_000
TURN_MS: Final = 3  # virtual time that a turn takes
EPOCHS: Final = 2  # between them everything comes to rest, so that more can be said of who must hear
OPS: Final = 9  # of each producer in an epoch
TURNS_MAX: Final = 60_000  # of an epoch; a run that takes longer is stuck
TICK_TURNS: Final = 40  # about, between a partition's ticks
RULES_LINGER: Final = 16  # turns at most before new rules enter the next partition of `activities`
WAITED_MS: Final = 700_000  # after it nothing waits for unknown entities any more


class Stuck(Exception):
    """The run does not come to an end."""


class Run:
    def __init__(self, seed: int, calm: bool = False) -> None:
        self.seed, self.random = seed, Random(seed)
        self.partitions = self.random.choice((1, 2, 3, 3))
        self.scheduler = Scheduler(self.random)
        self.faults = Faults(self.random, calm)
        self.now_ms = START_MS
        self.cluster = Cluster(
            self.scheduler, self.faults, self.partitions, self.random.choice((1, 2, 3)), self._foreign
        )
        self.log = self.cluster.log
        self.workload = Workload(self.random, self.partitions, self.cluster.store, lambda: self.now_ms)
        self.ops: list[Op] = []
        self._working = 0
        self._last_ms = 0

    def run(self) -> History:
        try:
            self._boot()
            for _ in range(EPOCHS):
                self._epoch()
                self._rest()
            self.now_ms += WAITED_MS
            self._rest()
        except Stuck as error:
            self.cluster.complaints.append(("stuck", str(error)))
        for task in self.scheduler.tasks:
            task.coro.close()
        return history(self.cluster, self.ops, self.now_ms)

    # The course of a run

    def _boot(self) -> None:
        """The rules enter: all of `routed` first."""
        rules = encode(Rules(1, FOLD_VERSION, SOURCE, START_MS))
        for topic in (ROUTED, ACTIVITIES):
            for partition in range(self.partitions):
                self.log.put_now(topic, partition, Entry(rules, START_MS))
        self.cluster.start()
        self.scheduler.spawn("ticker", self._tick(), "ticker")

    def _epoch(self) -> None:
        self.faults.calm = False
        if self.faults.strikes("restart", "all workers"):
            self.cluster.restart()
        numbers: dict[str, int] = {}
        for role in PRODUCERS:
            number = numbers[role] = numbers.get(role, -1) + 1
            self._working += 1
            self.scheduler.spawn(
                f"{role} {number}", self._produce(role, number), "producer", log_keeps_order=True
            )
        self._until(lambda: self._working == 0)
        owed, self.workload.owed = self.workload.owed, []
        for op in owed:
            self._working += 1
            self.scheduler.spawn("owed", self._produce_one(op), "producer", log_keeps_order=True)
        self._until(lambda: self._working == 0)

    def _rest(self) -> None:
        """Everything comes to rest: what was delivered short is healed by ticks, what was due goes out."""
        self.faults.calm = True
        for _ in range(3):
            self.now_ms += 1_000
            for topic in (ACTIVITIES, ROUTED):
                for partition in range(self.partitions):
                    self.log.put_now(topic, partition, Entry(encode(Tick(self.now_ms)), self.now_ms))
            self._until(self.cluster.settled)
        for op in self.ops:
            if op.settled == NEVER:
                op.settled, op.settled_ms = self.scheduler.time, self.now_ms
            op.acked = min(op.acked, op.settled)
        self.workload.on_their_way.clear()

    def _until(self, done: Any) -> None:
        last = self.scheduler.time + TURNS_MAX
        while not done():
            for _ in range(8):
                self.scheduler.step(self._before)
            if self.cluster.complaints:
                raise Stuck("somebody stopped")
            if self.scheduler.time > last:
                raise Stuck(
                    f"no end after {TURNS_MAX} turns; {[(task.name, task.place) for task in self.scheduler.tasks]}"
                )

    def _before(self, task: Any) -> bool:
        self.now_ms += TURN_MS
        return self.cluster.before(task)

    # Those who append

    async def _produce(self, role: str, number: int) -> None:
        for _ in range(OPS):
            for _ in range(self.random.randrange(12)):
                await self.scheduler.at("thinks")
            op = self.workload.next(role, number)
            if op is not None:
                await self._publish(op)
        self._working -= 1

    async def _produce_one(self, op: Op) -> None:
        await self._publish(op)
        self._working -= 1

    async def _publish(self, op: Op) -> None:
        """Append until all of it is acknowledged."""
        self.ops.append(op)
        op.invoked, op.invoked_ms = self.scheduler.time, self.now_ms
        records = self._astray(self.workload.records(op), op)
        while True:
            try:
                for topic, partition, value in records:
                    if op.rules is not None and topic == ACTIVITIES:
                        for _ in range(self.random.randrange(RULES_LINGER)):
                            await self.scheduler.at("brings rules")
                    await self.log.append(topic, partition, [Entry(value, self.now_ms)])
            except LogFailed:
                await self.scheduler.at("tries again")
                continue
            if op.acked > self.scheduler.time and not op.long_way:
                op.acked = self.scheduler.time
            if not op.long_way and op.kind in (
                "follow",
                "unfollow",
                "block",
                "unblock",
                "mute",
                "unmute",
                "preferences",
                "mark",
            ):
                op.settled, op.settled_ms = op.acked, self.now_ms
                return
            if not self.faults.strikes("published twice", "producer"):
                return

    def _astray(self, records: Records, op: Op) -> Records:
        """Where producers put them that compute partitions otherwise than we: each entity's go to one, but another."""
        if op.rules is not None or [topic for topic, _, _ in records] != [ACTIVITIES] or self.partitions == 1:
            return records
        ((topic, partition, value),) = records
        thinks = Random(f"{self.seed} {op.target or op.object}")
        if thinks.random() >= self.faults.on["put astray"]:
            return records
        self.faults.hits["put astray", "producer"] += 1
        return [(topic, (partition + thinks.randrange(1, self.partitions)) % self.partitions, value)]

    async def _tick(self) -> None:
        while True:
            for _ in range(self.random.randrange(2 * TICK_TURNS)):
                await self.scheduler.at("waits")
            topic, partition = (
                self.random.choice((ACTIVITIES, ROUTED)),
                self.random.randrange(self.partitions),
            )
            tick = Entry(encode(Tick(self.now_ms)), self.now_ms)
            try:
                await self.log.append(
                    topic, partition, [tick] * (2 if self.faults.strikes("tick twice", "producer") else 1)
                )
            except LogFailed:
                continue

    def _foreign(self, stage: str, partition: int) -> bytes:
        """A state that is whole and good, but of another log."""
        fold: Any = Route(partition, self.partitions) if stage == "route" else FanOut(partition)
        fold.step(Record(0, encode(Rules(1, FOLD_VERSION, SOURCE, START_MS)), START_MS))
        return fold.dump()  # type: ignore[no-any-return]


_parsed = cache(parse_rules)


def parse_once(source: str, version: int = 0) -> Parsed:
    return replace(_parsed(source), version=version)


class Report(Struct):
    seed: int
    history: History
    faults: Faults
    turns: int
    """Of the scheduler; where there is none, how often the process was started."""


def refusals(logs: Sequence[Mapping[str, Any]], faults: Faults) -> list[tuple[str, str]]:
    """Snapshots that were refused though they were whole: without this the log would make up for them in silence."""
    refused = [entry for entry in logs if entry["event"] == "snapshot_refused"]
    torn = sum(count for (fault, _), count in faults.hits.items() if fault == "snapshot torn")
    return [("refused", str(refused[-1]))] if len(refused) > torn else []


def simulate(seed: int, calm: bool = False) -> Report:
    run = Run(seed, calm)
    with capture_logs() as logs, ExitStack() as patches:
        # The same text hundreds of times in a run: a fifth of its time.
        patches.enter_context(patch.object(fold, "parse_rules", parse_once))
        made = run.run()
    made.complaints += refusals(logs, run.faults)
    return Report(seed, made, run.faults, run.scheduler.time)
