"""The embedded runner: both stages and the projection, over one log in one process. A batch is one transaction."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fanbell.schemas.by_hand import told_of
from fanbell.schemas.records import Told
from fanbell.schemas.topics import DEAD, INTAKE, NOTICES
from fanbell.streams.folds import INTAKE_GROUP, Folds, Work
from fanbell.streams.log import Log, Record
from fanbell.streams.replica import READ_MAX
from fanbell.streams.snapshots import Snapshots

Batches = dict[int, list[tuple[int, Told]]]
"""partition → [(offset in `notices`, record)]"""
Transaction = Callable[[], AbstractContextManager[Any]]
"""Makes all that happens inside it one; without one (memory, tests) a crash is the end anyway."""


class Projection(Protocol):
    """What keeping needs of the store (`projections.store.Store` has it)."""

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None: ...

    async def positions(self) -> dict[int, int]: ...


class Keeper:
    """Writes down what folds made: log, inboxes and position together."""

    def __init__(self, log: Log, store: Projection, transaction: Transaction) -> None:
        self.log, self.store = log, store
        self._transaction = transaction
        self.dead = 0
        """Dead letters kept since opening."""

    async def catch_up(self) -> None:
        """Bring a store that is new, or was restored from an older copy, up from `notices`."""
        positions = await self.store.positions()
        for partition in range(self.log.partitions):
            at = positions.get(partition, -1) + 1
            while records := await self.log.read(NOTICES, partition, at, READ_MAX):
                at = records[-1].offset + 1
                with self._transaction():
                    await self.store.apply(
                        {partition: [told_of(record.value) for record in records]}, {partition: at - 1}
                    )

    async def keep(self, work: Work) -> Batches:
        """Append what was made, project it, and remember how far `intake` was taken: all of it or nothing."""
        batches: Batches = {}
        with self._transaction():
            firsts = await self.log.append_all(work.outputs)
            for (topic, partition, entries), end, first in zip(work.outputs, work.ends, firsts, strict=True):
                assert end in (-1, first + len(entries)), "the log and the replica count alike"
                if topic == NOTICES:
                    at_hand = zip(entries, work.told[partition], strict=True)
                    told = [told_of(entry.value) if known is None else known for entry, known in at_hand]
                    batches[partition] = list(enumerate(told, first))
                elif topic == DEAD:
                    self.dead += len(entries)
            if batches:
                records = {p: [record for _, record in batch] for p, batch in batches.items()}
                await self.store.apply(records, {p: batch[-1][0] for p, batch in batches.items()})
            await self.log.commit(INTAKE_GROUP, INTAKE, 0, work.position)
        return batches


class Runner(Folds):
    """Folds that keep what they made at once."""

    def __init__(
        self, log: Log, intake: Log, store: Projection, snapshots: Snapshots, transaction: Transaction
    ) -> None:
        super().__init__(log, intake, snapshots)
        self.keeper = Keeper(log, store, transaction)
        self.failed_at: int | None = None
        """Offset in `intake` of the record that could not be folded, if one could not."""

    async def open(self) -> None:
        """As `Folds.open`, and the store is brought up too."""
        await super().open()
        await self.keeper.catch_up()

    async def run(self, records: Sequence[Record], weight: int, seconds: float) -> Batches:
        """`fold`, and keep it; what `notices` gained."""
        try:
            work = self.fold(records, weight, seconds)
        except Exception:
            self.failed_at = self.position
            raise
        return await self.keeper.keep(work)
