"""A log in an SQLite file: the embedded mode's.

One append is one row, or a few (`log_batch.py` says how records are packed), with a checksum: a damaged batch
is said, never returned. One writer per file; each reader has its own connection and instance.

Inside a transaction that is open already an append is part of it: then it is acknowledged when that commits,
and was never there if that is rolled back. Nothing about a partition's end is remembered outside the file, so
there is nothing to put right after a rollback.
"""

import json
import secrets
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final
from zlib import crc32

from fanbell.streams.log import Entry, LogFailed, Record, check_entries, check_place
from fanbell.streams.log_batch import Batch, cut, pack
from fanbell.streams.sqlite import (
    DatabaseFailed,
    explained,
    one_state,
    path_of,
    put_rows,
    recall,
    remember,
    settle_format,
    transaction,
)

FORMAT: Final = 1
BATCHES_HELD_MAX: Final = 8  # unpacked, about 3 MiB each at most: who reads on finds the batch still open

# Not WITHOUT ROWID: its rows would be kept in the tree that is searched, and these are large.
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS log (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, base INTEGER NOT NULL, count INTEGER NOT NULL,
        checksum INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (topic, partition, base))""",
    """CREATE TABLE IF NOT EXISTS log_starts (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS log_commits (
        consumers TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (consumers, topic, partition)) WITHOUT ROWID""",
)
_ENDS: Final = """
SELECT json_group_array(json_array(number, coalesce(
    (SELECT base + count FROM log WHERE topic = t AND partition = p ORDER BY base DESC LIMIT 1),
    (SELECT start FROM log_starts WHERE topic = t AND partition = p), 0)))
FROM (SELECT key AS number, json_extract(value, '$[0]') AS t, json_extract(value, '$[1]') AS p FROM json_each(?))"""


class OtherPartitions(DatabaseFailed):
    """The file was made for another number of partitions."""


class SqliteLog:
    """See the module; the port is `streams.log.Log`. Whoever opened `connection` closes it."""

    def __init__(self, connection: sqlite3.Connection, partitions: int) -> None:
        """Open the log in `connection`'s file for reading and writing; make it if there is none.

        Raises OtherPartitions if it was made with another number of partitions; NewerFormat; DatabaseFailed.
        """
        if partitions < 1:
            raise ValueError(f"a log has at least one partition, not {partitions}")
        with transaction(connection):
            settle_format(connection, "log", FORMAT)
            for table in _TABLES:
                connection.execute(table)
            if recall(connection, "log.identity") is None:
                remember(connection, "log.identity", secrets.token_hex(8))
                remember(connection, "log.partitions", str(partitions))
        self._open(connection)
        if self._partitions != partitions:
            raise OtherPartitions(
                f"{path_of(connection)}: its log has {self._partitions} partitions, not {partitions}. It was "
                f"left as it is: set partitions to {self._partitions} again. A log is not split in place; to "
                f"have {partitions}, start with an empty data folder and publish into it anew"
            )

    @classmethod
    def reading(cls, connection: sqlite3.Connection) -> "SqliteLog":
        """Open the log in `connection`'s file for reading only. Raises DatabaseFailed if it has none yet."""
        if recall(connection, "log.identity") is None:
            raise DatabaseFailed(f"{path_of(connection)}: there is no log in it yet")
        settle_format(connection, "log", FORMAT)
        log = cls.__new__(cls)
        log._open(connection)
        return log

    def _open(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._identity = recall(connection, "log.identity") or ""
        self._partitions = int(recall(connection, "log.partitions") or 0)
        self._held: dict[tuple[str, int, int, int], Batch] = {}

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        return (await self.append_all(((topic, partition, entries),)))[0]

    async def append_all(self, batches: Sequence[tuple[str, int, Sequence[Entry]]]) -> list[int]:
        """As the port says, but all or nothing."""
        for topic, partition, entries in batches:
            check_place(topic, partition, self._partitions)
            check_entries(entries)
        with self._failing(), transaction(self._connection):
            ends = self._ends([(topic, partition) for topic, partition, _ in batches])
            bases, rows = [], []
            for topic, partition, entries in batches:
                bases.append(ends[topic, partition])
                for run in cut(entries):
                    at, data = ends[topic, partition], pack(run)
                    rows.append((topic, partition, at, len(run), _checksum(topic, partition, at, data), data))
                    ends[topic, partition] += len(run)
            put_rows(self._connection, "INSERT OR ROLLBACK INTO log", rows)
        return bases

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        """As the port says. Raises LogFailed where a batch is damaged or missing."""
        check_place(topic, partition, self._partitions)
        records: list[Record] = []
        # Of one moment: what was trimmed between start and batches would look as if it were missing.
        with self._failing(), one_state(self._connection):
            offset = max(offset, self._start(topic, partition))
            with closing(self._batches(topic, partition, offset)) as batches:
                while len(records) < at_most and (batch := next(batches, None)):
                    if batch.base > offset:
                        said = f"the records from {offset} to {batch.base - 1} are missing"
                        self._damaged(topic, partition, said)
                    records += batch.records(offset, at_most - len(records))
                    offset = batch.base + batch.count
        return records

    async def start(self, topic: str, partition: int) -> int:
        check_place(topic, partition, self._partitions)
        with self._failing():
            return self._start(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        check_place(topic, partition, self._partitions)
        with self._failing():
            return self._end(topic, partition)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """As the port says. The batch in which `before` lies stays whole, its first records out of reach."""
        check_place(topic, partition, self._partitions)
        place = (topic, partition)
        with self._failing(), transaction(self._connection):
            before = min(before, self._end(topic, partition))
            if before <= self._start(topic, partition):
                return
            self._connection.execute("INSERT OR REPLACE INTO log_starts VALUES (?, ?, ?)", (*place, before))
            self._connection.execute(
                "DELETE FROM log WHERE topic = ? AND partition = ? AND base < ? AND base + count <= ?",
                (*place, before, before),
            )

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        check_place(topic, partition, self._partitions)
        row = (group, topic, partition, offset)
        with self._failing(), transaction(self._connection):
            self._connection.execute("INSERT OR REPLACE INTO log_commits VALUES (?, ?, ?, ?)", row)

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        check_place(topic, partition, self._partitions)
        found = "SELECT offset FROM log_commits WHERE consumers = ? AND topic = ? AND partition = ?"
        with self._failing():
            row = self._connection.execute(found, (group, topic, partition)).fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Within, what SQLite refuses is LogFailed."""
        try:
            with explained(self._connection):
                yield
        except DatabaseFailed as error:
            raise LogFailed(str(error)) from error

    def _start(self, topic: str, partition: int) -> int:
        found = "SELECT start FROM log_starts WHERE topic = ? AND partition = ?"
        row = self._connection.execute(found, (topic, partition)).fetchone()
        return 0 if row is None else int(row[0])

    def _end(self, topic: str, partition: int) -> int:
        return self._ends([(topic, partition)])[topic, partition]

    def _ends(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The end of each place, in one step."""
        text = self._connection.execute(_ENDS, (json.dumps(places),)).fetchone()[0]
        return {places[number]: end for number, end in json.loads(text)}

    def _batches(self, topic: str, partition: int, offset: int) -> Generator[Batch, None, None]:
        """The batch that holds `offset` and those after it, each unpacked when it is asked for."""
        found = """
            SELECT rowid, base, count, checksum FROM log
            WHERE topic = ?1 AND partition = ?2 AND base >= coalesce((
                SELECT base FROM log WHERE topic = ?1 AND partition = ?2 AND base <= ?3
                ORDER BY base DESC LIMIT 1), 0)
            ORDER BY base"""
        with closing(self._connection.execute(found, (topic, partition, offset))) as rows:
            for row, base, count, checksum in rows:
                if base + count > offset:
                    yield self._batch(topic, partition, row, base, checksum)

    def _batch(self, topic: str, partition: int, row: int, base: int, checksum: int) -> Batch:
        name = (topic, partition, base, checksum)  # a batch that took the place of one rolled back differs
        batch = self._held.get(name)
        if batch is None:
            data = self._connection.execute("SELECT data FROM log WHERE rowid = ?", (row,)).fetchone()[0]
            if type(data) is not bytes or _checksum(topic, partition, base, data) != checksum:
                self._damaged(topic, partition, f"the batch at offset {base} does not match its checksum")
            batch = Batch(base, data)
            while len(self._held) >= BATCHES_HELD_MAX:
                del self._held[next(iter(self._held))]
            self._held[name] = batch
        return batch

    def _damaged(self, topic: str, partition: int, said: str) -> None:
        where = f"{path_of(self._connection)}: topic {topic}, partition {partition}"
        raise LogFailed(f"{where}: {said}. The file is damaged and was left as it is; restore a backup")


def _checksum(topic: str, partition: int, base: int, data: bytes) -> int:
    """CRC-32 of a batch and of the place it belongs to."""
    return crc32(data, crc32(f"{topic}/{partition}/{base}".encode()))
