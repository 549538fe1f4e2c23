"""Planted bugs of the replica, the folds, the projection and the embedded runner."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from fanbell.projections import apply as meaning
from fanbell.projections.projector import Projector
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Fact, Mark, Told
from fanbell.schemas.topics import INTAKE, NOTICES
from fanbell.streams import embedded
from fanbell.streams import replica as replica_module
from fanbell.streams.core import hears
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import Output, Taken
from fanbell.streams.core.route import Route, Waiting
from fanbell.streams.core.slices import Steps
from fanbell.streams.embedded import Runner
from fanbell.streams.log import Log, LogFailed, Record
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from tests.simulation.one_process import File
from tests.simulation.planting import Patch, embedded_mutant, mutant
from tests.simulation.world import SimSnapshots, SimStore

# The replica


@mutant
def commit_before_the_acknowledgement() -> list[Patch]:
    advance = Replica.advance

    async def hasty(self: Any, records: Sequence[Record]) -> None:
        before = self._acknowledged
        self._acknowledged = max(self.offset, *(record.offset for record in records), before)
        await self.commit()
        self._acknowledged = before
        await advance(self, records)

    return [(Replica, "advance", hasty)]


@mutant
def snapshot_ahead_of_the_acknowledgements() -> list[Patch]:
    append = replica_module.append

    async def advance(self: Any, records: Sequence[Record]) -> None:
        outputs: list[Output] = []
        for record in records:
            while record.offset > self.offset + 1 and (missing := await self.missing(before=record.offset)):
                for one in missing:
                    outputs += self.apply(one)
            outputs += self.apply(record)
        if self.offset % 3 == 0:
            with suppress(SnapshotFailed):
                await self.save()
        await append(self._log, outputs, records[-1].timestamp_ms if records else 0)
        self._acknowledged = self.offset

    return [(Replica, "advance", advance)]


@mutant
def no_silent_catch_up() -> list[Patch]:
    async def out_already(self: Any) -> tuple[int, int]:
        return (-1, -1)

    return [(Replica, "_out_already", out_already)]


@mutant
def gap_not_healed() -> list[Patch]:
    async def missing(self: Any, before: int | None = None) -> list[Record]:
        if before is not None:
            return []
        found: list[Record] = await self._log.read(self.topic, self.partition, self.offset + 1, 5_000)
        return found

    return [(Replica, "missing", missing)]


@mutant
def repeats_are_applied() -> list[Patch]:
    def apply(self: Any, record: Record) -> list[Output]:
        self.offset = record.offset
        return [output for output in self.fold.step(record) if (output.n, output.index) > self._silent]

    return [(Replica, "apply", apply)]


@mutant
def goes_on_after_a_failed_append() -> list[Patch]:
    append = replica_module.append

    async def careless(log: Log, outputs: Sequence[Output], timestamp_ms: int) -> None:
        with suppress(LogFailed):
            await append(log, outputs, timestamp_ms)

    return [(replica_module, "append", careless)]


@mutant
def what_is_read_on_opening_counts_as_out() -> list[Patch]:
    """It takes what it reads on opening for out already."""

    async def out_already(self: Any) -> tuple[int, int]:
        return (await self._log.end(self.topic, self.partition) - 1, 1 << 62)

    return [(Replica, "_out_already", out_already)]


@mutant
def snapshot_of_a_foreign_log_accepted() -> list[Patch]:
    candidates = SimSnapshots.candidates

    async def blind(self: Any, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        found = await candidates(self, stage, partition, at_most)
        return [msgspec.structs.replace(snapshot, identity=self.log.identity) for snapshot in found]

    return [(SimSnapshots, "candidates", blind)]


@mutant
def snapshot_of_a_newer_version_accepted() -> list[Patch]:
    return [(replica_module, "FOLD_VERSION", replica_module.FOLD_VERSION + 1)]


# The folds


@mutant
def released_activity_dropped() -> list[Patch]:
    def release(self: Any, entity: str) -> None:
        queue = self.waiting.pop(entity, None)
        while queue:
            item: Waiting = queue.popleft()
            self.waiting_ids.pop(item.activity.id, None)
            if queue:
                self._take(item)

    return [(Route, "_release", release)]


@mutant
def released_out_of_order() -> list[Patch]:
    def release(self: Any, entity: str) -> None:
        queue = self.waiting.pop(entity, None)
        while queue:
            item: Waiting = queue.pop()
            self.waiting_ids.pop(item.activity.id, None)
            self._take(item)

    return [(Route, "_release", release)]


class _Unchecked(Taken):
    def is_new(self, source: int, n: int, index: int, prev_n: int, prev_index: int) -> bool:
        return True


@mutant
def origin_check_missing_in_shards() -> list[Patch]:
    made = FanOut.__init__

    def init(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        self.taken = _Unchecked()

    load = FanOut.load.__func__  # type: ignore[attr-defined]

    def loaded(cls: Any, *args: Any, **named: Any) -> Any:
        shard = load(cls, *args, **named)
        shard.taken = _Unchecked()
        return shard

    return [(FanOut, "__init__", init), (FanOut, "load", classmethod(loaded))]


@mutant
def forward_taken_twice() -> list[Patch]:
    made = Route.__init__

    def init(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        self.taken = _Unchecked()

    return [(Route, "__init__", init)]


@mutant
def fact_dropped() -> list[Patch]:
    """A fact from the partition's own source is taken for one that it knows."""
    step = Route.step

    def forgetful(self: Any, record: Record) -> list[Output]:
        item = None if record.value[:1] == b"{" else decode(record.value)
        if isinstance(item, Fact) and item.source == self.partition:
            self._advance(item.time_ms)
            return []
        return step(self, record)

    return [(Route, "step", forgetful)]


@mutant
def stray_forgotten() -> list[Patch]:
    """It is counted where it stands, and goes nowhere."""

    def counted(self: Any, record: Record, home: int) -> None:
        self.strays += 1

    return [(Route, "_send_on", counted)]


@mutant
def delete_does_not_reach_the_threads_home() -> list[Patch]:
    send = Route._send_home

    def only_answers(self: Any, activity: Any, *args: Any) -> None:
        if activity.kind != "delete":
            send(self, activity, *args)

    return [(Route, "_send_home", only_answers)]


@mutant
def group_update_lost_at_a_crash() -> list[Patch]:
    load = FanOut.load.__func__  # type: ignore[attr-defined]

    def loaded(cls: Any, *args: Any, **named: Any) -> Any:
        shard = load(cls, *args, **named)
        shard.pending = []
        return shard

    return [(FanOut, "load", classmethod(loaded))]


@mutant
def waiting_lost_with_a_snapshot() -> list[Patch]:
    load = Route.load.__func__  # type: ignore[attr-defined]

    def loaded(cls: Any, *args: Any, **named: Any) -> Any:
        route = load(cls, *args, **named)
        route.waiting = {}
        return route

    return [(Route, "load", classmethod(loaded))]


@mutant
def last_pairs_lost_with_a_snapshot() -> list[Patch]:
    load = FanOut.load.__func__  # type: ignore[attr-defined]

    def loaded(cls: Any, *args: Any, **named: Any) -> Any:
        shard = load(cls, *args, **named)
        shard.taken = Taken()
        return shard

    return [(FanOut, "load", classmethod(loaded))]


@mutant
def blocks_are_one_way() -> list[Patch]:
    """Who was blocked still hears of who blocked them."""

    def one_way(graph: Any, asking: Any, asked: Any) -> Any:
        blocked_by = graph.blocked_by.get(asking.what.actor_hash)
        return blocked_by & asked if blocked_by else hears.NOBODY

    active = tuple((name, one_way if name == "block" else rule) for name, rule in hears._ACTIVE)
    return [(hears, "_ACTIVE", active)]


@mutant
def state_that_cannot_be_loaded() -> list[Patch]:
    """The log makes up for it, at the price of reading all of it at each start."""
    dumping = FanOut.dumping

    def less(self: Any) -> Steps[bytes]:
        tree = msgspec.msgpack.decode((yield from dumping(self)), strict=False)
        del tree["taken"]
        return msgspec.msgpack.encode(tree)

    return [(FanOut, "dumping", less)]


# The projection


@mutant
def projector_keeps_no_last_pair() -> list[Patch]:
    def new(self: Any, records: Sequence[Record]) -> list[Told]:
        self.position = records[-1].offset
        return [decode(record.value) for record in records]

    return [(Projector, "_new", new)]


@mutant
def projector_stores_the_place_of_a_repeat() -> list[Patch]:
    """Its position is that of the last record read, repeats included, so that a restart finds another last pair."""

    async def advance(self: Any, at_most: int = 5_000) -> int:
        records = await self._log.read(NOTICES, self.partition, self._next, at_most)
        if records:
            told = self._new(records)
            self.position = records[-1].offset
            await self._store.apply({self.partition: told}, {self.partition: self.position})
            self._next = self.position + 1
        return len(records)

    return [(Projector, "advance", advance)]


@mutant
def position_before_rows() -> list[Patch]:
    def position_only(self: Any, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        self._positions.update(positions)

    return [(SimStore, "put_rows", position_only)]


@mutant
def stale_mark_applied_to_a_moved_row() -> list[Patch]:
    mark = MemoryStore._mark

    def by_id(self: Any, record: Mark) -> None:
        mark(self, record)
        inbox = self._inboxes.get(record.user, {})
        for seq, (row, body) in inbox.items():
            if body.id in record.ids:
                flags = meaning.marked(row.flags, record.verb)
                inbox[seq] = (msgspec.structs.replace(row, flags=flags), body)

    return [(MemoryStore, "_mark", by_id)]


# The embedded runner


@embedded_mutant
def intake_position_outside_the_transaction() -> list[Patch]:
    run = Runner.run

    async def hasty(self: Any, records: Sequence[Record], weight: int, seconds: float) -> Any:
        await self.log.commit(embedded.INTAKE_GROUP, INTAKE, 0, records[-1].offset + 1)
        return await run(self, records, weight, seconds)

    return [(Runner, "run", hasty)]


@embedded_mutant
def snapshot_before_it_is_durable() -> list[Patch]:
    return [(File, "make_durable", lambda self: None)]
