"""Inboxes in an SQLite file that other parts of the process may share.

Writing is for one thread, in its transaction if it has one open; reading is for any event loop, from connections of
its own, and sees what is committed. The parts: `sqlite_tables`, `sqlite_writer` and `sqlite_reader`.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from fanbell.projections.sqlite_reader import Reader
from fanbell.projections.sqlite_tables import LISTS, create_tables
from fanbell.projections.sqlite_traces import number_of
from fanbell.projections.sqlite_writer import TRIM_ROWS, Writer
from fanbell.projections.store import Body, Profile, Reading, Row, StoreFailed, Traced
from fanbell.schemas.records import Preference, Told
from fanbell.streams.sqlite import DatabaseFailed, failure, path_of, transaction

READERS: Final = 2  # threads: one slow read from disk must not hold up all


class SqliteStore:
    """The port `Store` on the file that `connection` has open; makes its tables if need be.

    `keep`: rows of an inbox; `keep_age_ms`: how long one is shown, None for ever; `trim_rows`: about how many rows of
    a partition may be beyond `keep` until they are deleted (readers never see them). Raises StoreFailed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keep: int = 200,
        keep_age_ms: int | None = None,
        *,
        readers: int = READERS,
        trim_rows: int = TRIM_ROWS,
    ) -> None:
        self.keep, self.keep_age_ms = keep, keep_age_ms
        self._connection = connection
        self._path = path_of(connection)
        if self._path == ":memory:":
            raise ValueError("inboxes are read over connections of their own, and so need a file")
        create_tables(connection)
        try:
            self._writer = Writer(connection, keep, keep_age_ms, trim_rows)
        except sqlite3.Error as error:
            raise StoreFailed(str(failure(error, self._path))) from error
        self._reader = Reader(self._path, keep, readers)

    def close(self) -> None:
        """Let go of the readers; the connection given is its owner's to close."""
        self._reader.close()

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        """Never awaits: it may be called inside a transaction of the connection's thread, and is then part of it."""
        try:
            with transaction(self._connection):
                self._writer.apply(batches, positions)
        except DatabaseFailed as error:
            raise StoreFailed(str(error)) from error

    async def positions(self) -> dict[int, int]:
        """Never awaits, so it also serves a thread without an event loop."""
        try:
            return self._reader.positions()
        except DatabaseFailed as error:
            raise StoreFailed(str(error)) from error

    async def rows(self, user: str) -> list[Row]:
        return (await self._reader.read(user)).rows

    async def read(self, user: str) -> Reading:
        return await self._reader.read(user)

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        return await self._reader.bodies(user, seqs)

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        return await self._reader.seqs_of(user, ids)

    async def changed_since(self, user: str, seq: int) -> list[Row]:
        return [row for row in await self.rows(user) if row.changed_seq > seq]

    async def preferences(self, user: str) -> list[Preference]:
        return await self._reader.preferences(user)

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        return await self._reader.profiles(users)

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        return await self._reader.listed(user, LISTS[what], after, limit)

    async def traced(self, activity_id: str) -> Traced | None:
        counts = await self._reader.traced(number_of(activity_id))
        if not counts:
            return None
        silenced: dict[str, int] = {}
        for rule, count in counts:
            if rule is not None and count:
                silenced[rule] = silenced.get(rule, 0) + count
        return Traced(sum(count for rule, count in counts if rule is None), silenced)
