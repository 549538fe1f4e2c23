"""Both stages of every partition in one loop: the folds of the embedded mode.

They take `intake` (what was acknowledged, in the one order of appending), put each record where the cluster's producers
would have put it, and carry every activity to its end, facts and forwards included, before they take the next: so the
outcome is that of publishing order, whatever the number of partitions.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from fanbell.schemas.codec import activity_of, decode, encode, kind_of_record
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Notice, Outcome, Rules, Tick, Update
from fanbell.schemas.topics import ACTIVITIES, DEAD, INTAKE, NOTICES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import effective_ms
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry, Log, Record
from fanbell.streams.replica import LogShort, Replica
from fanbell.streams.snapshots import Snapshots
from fanbell.streams.trim import first_after, trim

INTAKE_GROUP: Final = "fanbell.intake"
YIELD_EVERY: Final = (
    4  # records, half a millisecond: who publishes is answered before what was published is folded
)
_FOLDED: Final = (ROUTED, ACTIVITIES)


class Work(Struct):
    """What folding some records of `intake` made, to be kept whole or not at all."""

    outputs: list[tuple[str, int, list[Entry]]]
    """(topic, partition, records to append)"""
    ends: list[int]
    """For each of `outputs`, the offset after its last record where that is known: -1 in `notices` and `dead`"""
    told: list[list[Notice | Update | Outcome | None]]
    """By partition, what its records in `notices` encode, where that is at hand"""
    position: int
    """Offset in `intake` of the next record to take."""


class Folds:
    """Reads the log, writes nothing but snapshots: what is made is for whoever keeps it (`embedded.py`)."""

    def __init__(self, log: Log, intake: Log, snapshots: Snapshots) -> None:
        self.log, self.intake, self.snapshots = log, intake, snapshots
        self.partitions = log.partitions
        self.routes: list[Replica[Route]] = []
        self.shards: list[Replica[FanOut]] = []
        self.position = 0
        """Offset in `intake` of the next record to take."""
        self.clock_ms = 0
        """The latest fold time of any partition."""
        self._new: dict[str, list[list[Entry]]] = {}
        self._told: list[list[Notice | Update | Outcome | None]] = []

    @property
    def replicas(self) -> list[Replica[Any]]:
        return [*self.routes, *self.shards]

    @property
    def told(self) -> int:
        """Notifications put out since opening."""
        return sum(shard.fold.told for shard in self.shards)

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
        await self._check_intake()

    async def _check_intake(self) -> None:
        """Numbered anew, what is accepted from now on would count as taken long ago, and nobody would hear it."""
        end, start = await self.intake.end(INTAKE, 0), await self.intake.start(INTAKE, 0)
        if end < self.position:
            raise LogShort(
                f"intake ends at {end}, but {self.position} of its records were taken already: it was removed, cut or "
                "replaced by an older copy. Restore the newest one, or both it and the state from the same backup"
            )
        if start > self.position:
            raise LogShort(
                f"intake begins at {start}, but its records were taken only up to {self.position}: those between them "
                "are gone. Restore the state, or both it and intake from the same backup"
            )

    def _route(self, partition: int) -> Replica[Route]:
        return Replica(
            ACTIVITIES, partition, self.log, self.snapshots,
            lambda: Route(partition, self.partitions), lambda data: Route.load(partition, self.partitions, data),
        )  # fmt: skip

    def _shard(self, partition: int) -> Replica[FanOut]:
        return Replica(
            ROUTED, partition, self.log, self.snapshots,
            lambda: FanOut(partition, True), lambda data: FanOut.load(partition, data, True),
        )  # fmt: skip

    def fold(self, records: Sequence[Record], weight: int, seconds: float, alone: bool = False) -> Work:
        """Take `intake` records (from `position` on, in order) to their end; what is to be kept.

        Stops early once about `weight` notifications came of them or `seconds` have passed; `position` says where.

        What is not kept must not be folded on: then the runner is to be thrown away. `alone`: no other thread of the
        process has anything to do.
        """
        until = time.monotonic() + seconds
        told = self.told + weight
        self._begin()
        for taken, record in enumerate(records, 1):
            self._take(record)
            self.position = record.offset + 1
            if taken % YIELD_EVERY == 0 and not alone:
                time.sleep(0)  # others have the interpreter's lock for 70 µs, by Linux's timers
            if taken % 32 == 0 and (self.told >= told or time.monotonic() >= until):
                break
        return self._work()

    def due(self, now_ms: int) -> bool:
        """Whether something happens by time alone until then; if so, a tick in `intake` makes it happen."""
        return bool(self._due(max(now_ms, self.clock_ms)))

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
            await trim(self.log, replica.topic, replica.partition, before_ms, await replica.needed())
        for partition in range(self.partitions):
            end = await self.log.end(NOTICES, partition)
            # Its last record tells where it stands.
            await trim(self.log, NOTICES, partition, before_ms, end - 1)
        return await first_after(self.intake, INTAKE, 0, before_ms, self.position)

    def _take(self, record: Record) -> None:
        cls = kind_of_record(record.value)
        if cls is Tick:
            self._pass_time(decode(record.value).time_ms, record.timestamp_ms)
            return
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

    def _pass_time(self, now_ms: int, timestamp_ms: int) -> None:
        """Let the folds that wait for it know that it is `now_ms`.

        Partitions that lag are brought up first: alone, they are no reason to move the others' time.
        """
        for to_ms in (self.clock_ms, now_ms):
            for replica in self._due(to_ms):
                self._put(replica.topic, replica.partition, encode(Tick(to_ms)), timestamp_ms)
                self.clock_ms = max(self.clock_ms, to_ms)

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
            self._new[topic][partition].append(Entry(value, timestamp_ms))
            replica: Replica[Any] = (self.routes if topic == ACTIVITIES else self.shards)[partition]
            for output in replica.apply(Record(replica.offset + 1, value, timestamp_ms)):
                if output.topic in _FOLDED:
                    queue.append((output.topic, output.partition, output.value))
                    continue
                self._new[output.topic][output.partition].append(Entry(output.value, timestamp_ms))
                if output.topic == NOTICES:
                    self._told[output.partition].append(output.told)

    def _begin(self) -> None:
        self._new = {topic: [[] for _ in range(self.partitions)] for topic in (ACTIVITIES, ROUTED, NOTICES)}
        self._new[DEAD] = [[]]
        self._told = [[] for _ in range(self.partitions)]

    def _work(self) -> Work:
        outputs = [
            (topic, partition, entries)
            for topic, partitions in self._new.items()
            for partition, entries in enumerate(partitions)
            if entries
        ]
        ends = [self._end(topic, partition) for topic, partition, _ in outputs]
        return Work(outputs, ends, self._told, self.position)

    def _end(self, topic: str, partition: int) -> int:
        if topic not in _FOLDED:
            return -1
        return (self.routes if topic == ACTIVITIES else self.shards)[partition].offset + 1
