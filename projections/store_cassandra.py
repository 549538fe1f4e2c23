"""Inboxes in Cassandra, for any number of processes: writers, one at a time for each partition, and readers.

Rows and position are not one transaction: rows are acknowledged first, the position is written after them, and what
was written twice is there once. Two workers that both believe they own a partition write the same cells with the same
stamps. The parts: `cassandra_tables`, `cassandra_writer`, `cassandra_reader` and `cassandra_inbox`.

A mark that changed none of a row's flags may still raise the row's `changed_seq`: nobody reads before writing.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from fanbell.projections import cassandra_tables as tables
from fanbell.projections.cassandra_reader import Reader
from fanbell.projections.cassandra_schema import check_schema
from fanbell.projections.cassandra_writer import Writer
from fanbell.projections.projector import Discontinued
from fanbell.projections.store import Body, Profile, Reading, Row, StoreFailed, Traced
from fanbell.schemas.records import Preference, Told
from fanbell.streams.cassandra import Cassandra, CassandraFailed, each

T = TypeVar("T")


class CassandraStore:
    """The port `Store` on an open connection, which is its owner's to close.

    `keep`: rows of an inbox; `keep_age_ms`: how long one is shown, None for ever. Calls of `apply` may overlap if no
    partition is in two of them.
    """

    def __init__(self, cassandra: Cassandra, keep: int = 200, keep_age_ms: int | None = None) -> None:
        self.keep, self.keep_age_ms = keep, keep_age_ms
        self._cassandra = cassandra
        self._reader = Reader(cassandra, keep)
        self._writers: dict[int, Writer] = {}
        self._positions: dict[int, int] = {}
        """As this process wrote them last, or found them where it had not."""

    async def check(self, identity: str) -> None:
        """Raise StoreFailed unless the tables are there and of this version, Discontinued if another log is theirs.

        By its positions alone a log that was made anew would be taken for the old one, once it is as long.
        """
        await check_schema(self._cassandra)
        await self._claimed(identity)

    async def claim(self, identity: str) -> None:
        """For who is about to write, after `check`: a keyspace that is of no log yet is of this one from now on."""
        if not await self._claimed(identity):  # a transaction, so only once: it needs a quorum everywhere
            await said(self._cassandra.execute(tables.CLAIM, (tables.POSITIONS, identity)))
            await self._claimed(identity)

    async def _claimed(self, identity: str) -> bool:
        """Whether a log was written down, which is this one. Raises Discontinued if it is another."""
        rows = await said(self._cassandra.execute(tables.READ_LOG, (tables.POSITIONS,)))
        found = rows[0][0] if rows else None
        if found not in (None, identity):
            raise Discontinued(
                f"Cassandra's keyspace {self._cassandra.config.keyspace} holds the inboxes of the log {found}, "
                f"not of {identity}: the topics were made anew, or are those of another installation. Set "
                "cassandra_keyspace to a new name and run `fanbell store apply`, or go back to the topics that it is of"
            )
        return found is not None

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        if any(partition not in self._positions for partition in positions):
            await self.positions()
        moved = {p: at for p, at in positions.items() if at > self._positions.get(p, -1)}

        async def one(partition: int) -> None:
            await self._apply(partition, batches.get(partition, ()), moved[partition])

        await said(each(moved, one))

    async def _apply(self, partition: int, records: Sequence[Told], position: int) -> None:
        writer = self._writers.pop(
            partition, None
        )  # and put back once all is well: a failed one is of no use
        before = self._positions.pop(partition, -1)
        if records:
            if writer is None:
                writer = Writer(self._cassandra, partition, self.keep, self.keep_age_ms)
                await writer.open()
            await writer.apply(records)
        values = (tables.POSITIONS, partition, position, position)
        await self._cassandra.execute(tables.PUT_POSITION, values)
        self._positions[partition] = max(position, before)
        if writer is not None:
            self._writers[partition] = writer

    async def positions(self) -> dict[int, int]:
        found = await said(self._reader.positions())
        for partition, position in found.items():
            if self._positions.get(partition) != position:  # another process wrote since; count inboxes anew
                self._positions[partition] = position
                self._writers.pop(partition, None)
        return found

    async def rows(self, user: str) -> list[Row]:
        return (await self.read(user)).rows

    async def read(self, user: str) -> Reading:
        return await said(self._reader.read(user))

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        return await said(self._reader.bodies(user, seqs))

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        return await said(self._reader.seqs_of(user, ids))

    async def changed_since(self, user: str, seq: int) -> list[Row]:
        return [row for row in await self.rows(user) if row.changed_seq > seq]

    async def preferences(self, user: str) -> list[Preference]:
        return await said(self._reader.preferences(user))

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        return await said(self._reader.profiles(users))

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        return await said(self._reader.listed(user, what, after, limit))

    async def traced(self, activity_id: str) -> Traced | None:
        return await said(self._reader.traced(activity_id))


async def said(work: Awaitable[T]) -> T:
    """What `work` gives; what Cassandra would not do is a failure of the store."""
    try:
        return await work
    except CassandraFailed as error:
        raise StoreFailed(str(error)) from error
