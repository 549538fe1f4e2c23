"""From `notices` to a store: one partition's records, each taken once and in order.

What comes in is the log, repeats included: two workers that both believe they own a partition write the same records.
What is not above the last pair (n, index) taken is dropped; a record that does not follow on it stops the projector,
for then something is missing and inboxes would be wrong for good. The store's position names the last record *taken*,
never a dropped one, so the pair is found again where the position points.
"""

from collections.abc import Sequence
from typing import Final

from fanbell.projections.store import Store
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Told
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Log, Record

READ_MAX: Final = 5_000  # records read at once: a few MB
NONE_YET: Final = (-1, -1)


class Discontinued(Exception):
    """`notices` does not go on where the store stands: it was cut or replaced, or somebody wrote out of order."""


class Projector:
    """Applies one partition of `notices` to `store`.

    Not safe to use after an exception: throw it away and open another one.
    """

    def __init__(self, partition: int, log: Log, store: Store) -> None:
        self.partition = partition
        self.position = -1
        """Offset of the last record taken, as the store has it."""
        self.last = NONE_YET
        """The pair (n, index) of that record."""
        self._log, self._store = log, store
        self._next = 0

    async def open(self) -> None:
        """Find where the store stands. Raises Discontinued, LogFailed, StoreFailed."""
        self.position = (await self._store.positions()).get(self.partition, -1)
        self._next = self.position + 1
        if self.position < 0:
            return
        found = await self._log.read(NOTICES, self.partition, self.position, 1)
        if not found or found[0].offset != self.position:
            raise Discontinued(
                f"{self._name} has no record {self.position}, but the store was brought so far"
            )
        record = decode(found[0].value)
        self.last = (record.n, record.index)

    async def advance(self, at_most: int = READ_MAX) -> int:
        """Read up to `at_most` records and apply what is new; how many were read, 0 at the end.

        Raises Discontinued, LogFailed, StoreFailed.
        """
        records = await self._log.read(NOTICES, self.partition, self._next, at_most)
        if not records:
            return 0
        await self._apply(records)
        return len(records)

    async def take(self, records: Sequence[Record]) -> None:
        """Apply records as they were handed over: repeats are dropped, gaps are read from the log.

        Raises Discontinued, LogFailed, StoreFailed.
        """
        contiguous: list[Record] = []
        for record in records:
            expected = contiguous[-1].offset + 1 if contiguous else self._next
            if record.offset > expected:
                await self._apply(contiguous)
                contiguous = []
                await self._heal(record.offset)
            if record.offset >= self._next:
                contiguous.append(record)
        await self._apply(contiguous)

    async def _heal(self, before: int) -> None:
        """Read what the log has up to there; what it has not was aborted, or is control records."""
        while self._next < before:
            found = await self._log.read(NOTICES, self.partition, self._next, READ_MAX)
            missing = [record for record in found if record.offset < before]
            if not missing:
                return
            await self._apply(missing)

    async def missing(self) -> list[Record]:
        """The records after the last one seen, at most `READ_MAX`; empty at the end."""
        return await self._log.read(NOTICES, self.partition, self._next, READ_MAX)

    @property
    def seen(self) -> int:
        """Offset of the last record taken or dropped."""
        return self._next - 1

    async def _apply(self, records: Sequence[Record]) -> None:
        if not records:
            return
        told = self._new(records)
        if told:
            await self._store.apply({self.partition: told}, {self.partition: self.position})
        self._next = records[-1].offset + 1

    def _new(self, records: Sequence[Record]) -> list[Told]:
        """Those that were not taken before; moves `position` and `last` to the last of them."""
        told: list[Told] = []
        for record in records:
            item: Told = decode(record.value)
            pair = (item.n, item.index)
            if pair <= self.last:
                continue
            if (item.prev_n, item.prev_index) != self.last:
                raise Discontinued(
                    f"{self._name}: record {record.offset} follows on {(item.prev_n, item.prev_index)}, "
                    f"but the last one taken is {self.last}"
                )
            self.position, self.last = record.offset, pair
            told.append(item)
        return told

    @property
    def _name(self) -> str:
        return f"{NOTICES}[{self.partition}]"
