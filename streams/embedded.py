"""The embedded runner: both stages and the projection in one loop, over one log in one process.

It takes `intake` (what was acknowledged, in the one order of appending), puts each record where the cluster's producers
would have put it, and carries every activity to its end, facts and forwards included, before it takes the next: so the
outcome is that of publishing order, whatever the number of partitions. A batch is one transaction.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import structlog

from fanbell.schemas.by_hand import told_of
from fanbell.schemas.codec import activity_of, decode, encode, kind_of_record
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Rules, Tick, Told
from fanbell.schemas.topics import ACTIVITIES, DEAD, INTAKE, NOTICES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import effective_ms
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry, Log, Record
from fanbell.streams.replica import READ_MAX, Replica
from fanbell.streams.snapshots import Snapshots

logger = structlog.get_logger()

INTAKE_GROUP: Final = "fanbell.intake"
Batches = dict[int, list[tuple[int, Told]]]
"""partition → [(offset in `notices`, record)]"""


class Projection(Protocol):
    """What the runner needs of the store (`projections.store.Store` has it)."""

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None: ...

    async def positions(self) -> dict[int, int]: ...


class Runner:
    """`transaction` makes all that happens inside it one; without one (memory, tests) a crash is the end anyway."""

    def __init__(
        self,
        log: Log,
        intake: Log,
        store: Projection,
        snapshots: Snapshots,
        transaction: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.log, self.intake, self.store, self.snapshots = log, intake, store, snapshots
        self.partitions = log.partitions
        self._transaction = transaction
        self.routes: list[Replica[Route]] = []
        self.shards: list[Replica[FanOut]] = []
        self.position = 0
        """Offset in `intake` of the next record to take."""
        self.clock_ms = 0
        """The latest fold time of any partition."""
        self.dead = 0
        """Dead letters since opening."""
        self._new: dict[tuple[str, int], list[Entry]] = {}

    @property
    def replicas(self) -> list[Replica[Any]]:
        return [*self.routes, *self.shards]

    # Opening

    async def open(self) -> None:
        """Bring every replica to the end of the log. Raises LogShort, LogFailed, and what the folds raise."""
        self.routes = [self._route(partition) for partition in range(self.partitions)]
        self.shards = [self._shard(partition) for partition in range(self.partitions)]
        for replica in self.replicas:
            await replica.open(all_out=True)
            while records := await replica.missing():
                for record in records:
                    outputs = replica.apply(record)
                    assert not outputs, "a batch is one transaction: what was put in has come out"
        self.clock_ms = max(replica.fold.clock_ms for replica in self.replicas)
        self.position = await self.log.committed(INTAKE_GROUP, INTAKE, 0) or 0
        await self._project_what_is_missing()

    def _route(self, partition: int) -> Replica[Route]:
        return Replica(
            ACTIVITIES, partition, self.log, self.snapshots,
            lambda: Route(partition, self.partitions), lambda data: Route.load(partition, self.partitions, data),
        )  # fmt: skip

    def _shard(self, partition: int) -> Replica[FanOut]:
        return Replica(
            ROUTED, partition, self.log, self.snapshots,
            lambda: FanOut(partition), lambda data: FanOut.load(partition, data),
        )  # fmt: skip

    async def _project_what_is_missing(self) -> None:
        """A store that is new, or was restored from an older copy, is brought up from `notices`."""
        positions = await self.store.positions()
        for partition in range(self.partitions):
            at = positions.get(partition, -1) + 1
            while records := await self.log.read(NOTICES, partition, at, READ_MAX):
                at = records[-1].offset + 1
                with self._transaction():
                    await self.store.apply(
                        {partition: [told_of(record.value) for record in records]}, {partition: at - 1}
                    )

    # One batch

    async def run(self, records: Sequence[Record], weight: int, seconds: float) -> Batches:
        """Take `intake` records (from `position` on, in order) to their end; what `notices` gained.

        Stops early once about `weight` notifications came of them or `seconds` have passed; `position` says where.
        """
        until = time.monotonic() + seconds
        told = sum(shard.fold.told for shard in self.shards) + weight
        position = self.position
        with self._transaction():
            self._new = {}
            for taken, record in enumerate(records, 1):
                self._take(record)
                position = record.offset + 1
                if taken % 32 == 0 and (
                    sum(shard.fold.told for shard in self.shards) >= told or time.monotonic() >= until
                ):
                    break
            batches = await self._finish()
            await self.log.commit(INTAKE_GROUP, INTAKE, 0, position)
        self.position = position
        return batches

    async def tick(self, now_ms: int) -> Batches:
        """Let time pass for the folds that wait for it; nothing where none does.

        Partitions that lag are brought up first: alone, they are no reason to move the others' time.
        """
        if not self._due(max(now_ms, self.clock_ms)):
            return {}
        with self._transaction():
            self._new = {}
            for to_ms in (self.clock_ms, now_ms):
                for replica in self._due(to_ms):
                    self._put(replica.topic, replica.partition, encode(Tick(to_ms)), now_ms)
                    self.clock_ms = max(self.clock_ms, to_ms)
            return await self._finish()

    def _due(self, now_ms: int) -> list[Replica[Any]]:
        """The replicas for which something happens by time alone until then."""
        return [
            replica for replica in self.replicas if (at := replica.fold.due_ms()) is not None and at <= now_ms
        ]

    async def save(self) -> None:
        """Snapshot every replica; call it outside of a batch, when what was done is durable."""
        for replica in self.replicas:
            await replica.save()

    async def trim(self, before_ms: int) -> int:
        """Forget what was appended before `before_ms` (Unix ms) and nobody needs; where `intake` may be trimmed to.

        Needed are: what the older of two kept snapshots has not applied, and what is not projected (the runner's
        batches are whole, so all of `notices` is).
        """
        for replica in self.replicas:
            await self._trim(self.log, replica.topic, replica.partition, before_ms, replica.previous + 1)
        for partition in range(self.partitions):
            end = await self.log.end(NOTICES, partition)
            await self._trim(
                self.log, NOTICES, partition, before_ms, end - 1
            )  # its last record tells where it stands
        return await self._first_after(self.intake, INTAKE, 0, before_ms, self.position)

    async def _trim(self, log: Log, topic: str, partition: int, before_ms: int, at_most: int) -> None:
        first = await self._first_after(log, topic, partition, before_ms, at_most)
        if first > await log.start(topic, partition):
            await log.trim(topic, partition, first)

    @staticmethod
    async def _first_after(log: Log, topic: str, partition: int, before_ms: int, at_most: int) -> int:
        """The first offset, at most `at_most`, whose record was appended at `before_ms` or later: they rise in time."""
        low, high = await log.start(topic, partition), at_most
        while low < high:
            middle = (low + high) // 2
            records = await log.read(topic, partition, middle, 1)
            if records and records[0].timestamp_ms < before_ms:
                low = records[0].offset + 1
            else:
                high = middle
        return low

    def _take(self, record: Record) -> None:
        cls = kind_of_record(record.value)
        if cls is Change:
            change = decode(record.value)
            own_ms = effective_ms(change.occurred_at, record.timestamp_ms)
            for partition, copy in placed(change, self.partitions):
                self._catch_up(self.shards[partition], own_ms, record.timestamp_ms)
                self._put(ROUTED, partition, encode(copy), record.timestamp_ms)
        elif cls is Rules:
            for topic in (ROUTED, ACTIVITIES):  # all shards know the rules before a command names them
                for partition in range(self.partitions):
                    self._put(topic, partition, record.value, record.timestamp_ms)
            own_ms = 0  # they are of no time: history may be older than they are
        else:
            own_ms, partition = record.timestamp_ms, 0
            if cls is Activity:  # anything else is stage 1's to put aside
                activity = activity_of(record.value)
                own_ms = effective_ms(activity.occurred_at, record.timestamp_ms)
                partition = partition_of(activity.target or activity.object, self.partitions)
            self._catch_up(self.routes[partition], own_ms, record.timestamp_ms)
            self._put(ACTIVITIES, partition, record.value, record.timestamp_ms)
        if own_ms > self.clock_ms:
            self.clock_ms = own_ms

    def _catch_up(self, replica: Replica[Any], own_ms: int, timestamp_ms: int) -> None:
        """A record that comes late by its own clock finds every partition at the same time, however many there are."""
        if own_ms < self.clock_ms and replica.fold.clock_ms < self.clock_ms:
            self._put(replica.topic, replica.partition, encode(Tick(self.clock_ms)), timestamp_ms)

    def _put(self, topic: str, partition: int, value: bytes, timestamp_ms: int) -> None:
        """Append in this batch, and step what folds the topic at once; and so on with what comes of it.

        First out, first in: whatever comes of a step's first output, its others stand before that, in their order.
        """
        queue = deque([(topic, partition, value)])
        while queue:
            topic, partition, value = queue.popleft()
            new = self._new.get((topic, partition))
            if new is None:
                new = self._new[topic, partition] = []
            new.append(Entry(value, timestamp_ms))
            if topic == ACTIVITIES:
                replica: Replica[Any] = self.routes[partition]
            elif topic == ROUTED:
                replica = self.shards[partition]
            else:
                continue
            outputs = replica.apply(Record(replica.offset + 1, value, timestamp_ms))
            queue.extend((output.topic, output.partition, output.value) for output in outputs)

    async def _finish(self) -> Batches:
        """Append what the batch made, and project it."""
        batches: Batches = {}
        for (topic, partition), entries in self._new.items():
            first = await self.log.append(topic, partition, entries)
            if topic == NOTICES:
                batches[partition] = [(first + i, told_of(entry.value)) for i, entry in enumerate(entries)]
            elif topic == DEAD:
                self.dead += len(entries)
            else:
                replica = (self.routes if topic == ACTIVITIES else self.shards)[partition]
                assert first + len(entries) - 1 == replica.offset, "the log and the replica count alike"
        if batches:
            told = {partition: [record for _, record in batch] for partition, batch in batches.items()}
            await self.store.apply(told, {partition: batch[-1][0] for partition, batch in batches.items()})
        return batches
