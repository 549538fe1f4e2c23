"""`fanbell`, with something changed in it: faults that cannot be done from outside, and planted bugs.

python -m tests.cluster.faults.variant NAME worker ...
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

import structlog

from fanbell.edge import start as start_of_sessions
from fanbell.infra.cli import main
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.schemas.topics import ROUTED
from fanbell.streams import replica as replica_module
from fanbell.streams.agents import held
from fanbell.streams.agents.batches import Batch
from fanbell.streams.agents.worker import Partitions
from fanbell.streams.core.fold import Output
from fanbell.streams.log import Entry, Log, LogFailed, Record
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.replica import READ_MAX, Replica

CUT_OFF_S: Final = 0.002  # an append that takes longer is cut off, its outcome open
DIES_AT: Final = 20  # batches with something to lose, after which a process that is to die does
STRUCK: Final = "fault_struck"
VARIANTS: Final[dict[str, Callable[[], None]]] = {}
Places = Sequence[tuple[str, int, Sequence[Entry]]]

logger = structlog.get_logger()


def variant(change: Callable[[], None]) -> Callable[[], None]:
    VARIANTS[change.__name__.replace("_", "-")] = change
    return change


def struck(fault: str) -> None:
    """Those who started the process count these lines."""
    logger.info(STRUCK, fault=fault)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# Faults


@variant
def appends_fail() -> None:
    """Of the appends, some fail before they are done, some after, some half done, and some are cut off."""
    random, append_all = Random(1), KafkaLog.append_all

    async def failing(self: Any, batches: Places) -> list[int]:
        chance = random.random()
        if chance < 0.05:
            struck("append refused")
            raise LogFailed("planted: refused")
        if chance < 0.10:
            struck("acknowledgement lost")
            await append_all(self, batches)
            raise LogFailed("planted: the acknowledgement was lost")
        if chance < 0.15 and len(batches) > 1:
            struck("append half done")
            await append_all(self, batches[: len(batches) // 2])
            raise LogFailed("planted: some of it was refused")
        if chance < 0.20:
            struck("append cut off")
            try:
                return await asyncio.wait_for(append_all(self, batches), CUT_OFF_S)
            except TimeoutError:
                raise LogFailed("planted: no answer in time") from None
        return await append_all(self, batches)

    KafkaLog.append_all = failing  # type: ignore[method-assign]


@variant
def hands_over_badly() -> None:
    """Batches are handed over twice, not at all, or with a record missing."""
    random, take = Random(2), Partitions.take
    last: dict[tuple[str, int], Batch] = {}

    def bad(self: Any, fetched: Iterable[Batch]) -> None:
        for batch in fetched:
            hand_over(self, batch)

    def hand_over(self: Any, batch: Batch) -> None:
        before = last.get((batch.topic, batch.partition))
        last[batch.topic, batch.partition] = batch
        chance = random.random()
        if chance < 0.1:
            struck("batch skipped")
            return
        if chance < 0.2 and len(batch.records) > 2:
            struck("record skipped")
            middle = len(batch.records) // 2
            batch = Batch(batch.topic, batch.partition, batch.records[:middle] + batch.records[middle + 1 :])
        take(self, [batch])
        if chance > 0.9:
            struck("batch twice")
            take(self, [batch])
        if chance > 0.95 and before is not None:
            struck("old batch again")
            take(self, [before])

    Partitions.take = bad  # type: ignore[method-assign]


@variant
def all_at_once() -> None:
    appends_fail()
    hands_over_badly()


# Planted bugs


@variant
def commits_first() -> None:
    """The position is committed before the outputs are acknowledged, and the process dies in between."""
    advance, append = Replica.advance, replica_module.append
    batches = 0

    async def hasty(self: Any, records: Sequence[Record]) -> None:
        if self.fold.stage == "route" and records and records[-1].offset > self.offset:
            before, self._acknowledged = self._acknowledged, records[-1].offset
            await self.commit()
            self._acknowledged = before
        await advance(self, records)

    async def dying(log: Log, outputs: Iterable[Output], timestamp_ms: int) -> int:
        nonlocal batches  # those that put out commands: of another one nothing would be lost
        made = list(outputs)
        batches += any(output.topic == ROUTED for output in made)
        if batches >= DIES_AT:
            die()
        return await append(log, made, timestamp_ms)

    Replica.advance = hasty  # type: ignore[method-assign]
    replica_module.append = dying


@variant
def skips_batches() -> None:
    """A batch that was not handed over is taken for a hole in the log."""
    hands_over_badly()

    async def missing(self: Any, before: int | None = None) -> list[Record]:
        if before is not None:
            return []
        found: list[Record] = await self._log.read(self.topic, self.partition, self.offset + 1, READ_MAX)
        return found

    Replica.missing = missing  # type: ignore[method-assign]
    held.LOOK_S = 1e9  # type: ignore[misc]


@variant
def goes_on_after_a_failed_append() -> None:
    """An append that failed is taken for done."""
    append = replica_module.append
    appends_fail()

    async def careless(log: Log, outputs: Iterable[Output], timestamp_ms: int) -> int:
        try:
            return await append(log, outputs, timestamp_ms)
        except LogFailed:
            struck("failure ignored")
            return 0

    replica_module.append = careless


@variant
def position_before_rows() -> None:
    """The projection's position is stored before the rows are, and the process dies in between."""
    apply = CassandraStore.apply
    batches = 0

    async def hasty(self: Any, told: Mapping[int, Sequence[Any]], positions: Mapping[int, int]) -> None:
        nonlocal batches
        batches += 1
        if batches >= DIES_AT:
            await apply(self, {}, positions)
            die()
        await apply(self, told, positions)

    CassandraStore.apply = hasty  # type: ignore[method-assign]


@variant
def forgets_who_was_away() -> None:
    """An edge that tells who resumes nothing of what they missed."""

    async def nothing(*_: Any) -> list[Any]:
        return []

    start_of_sessions._records = nothing


if __name__ == "__main__":
    VARIANTS[sys.argv.pop(1)]()
    main()
