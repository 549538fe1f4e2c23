"""What the log in SQLite has beside the contract: transactions, readers, damage, formats."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanbell.schemas.topics import ACTIVITIES, NOTICES
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_sqlite import BATCHES_HELD_MAX, OtherPartitions, SqliteLog
from fanbell.streams.sqlite import DatabaseFailed, NewerFormat, open_database, remember, transaction

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(path)) as opened:
        yield opened


@pytest.fixture
def log(connection: sqlite3.Connection) -> SqliteLog:
    return SqliteLog(connection, 2)


def entries(*values: str) -> list[Entry]:
    return [Entry(value.encode(), 1_000) for value in values]


async def values(log: SqliteLog, offset: int = 0) -> list[str]:
    return [record.value.decode() for record in await log.read(NOTICES, 0, offset, 1_000)]


async def test_an_append_is_part_of_the_open_transaction(
    log: SqliteLog, connection: sqlite3.Connection
) -> None:
    """Appends, trims and commits are kept or lost together with what else the transaction wrote."""
    with transaction(connection):
        await log.append(NOTICES, 0, entries("a", "b"))
        await log.append(ACTIVITIES, 1, entries("c"))
        await log.commit("inbox", NOTICES, 0, 1)
        await log.trim(NOTICES, 0, 1)
        assert connection.in_transaction

    assert await values(log) == ["b"]
    assert await log.end(ACTIVITIES, 1) == 1
    assert await log.committed("inbox", NOTICES, 0) == 1


async def test_a_rollback_takes_the_append_back(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """After a rollback the end is where it was, and its offsets are given to what comes next."""
    await log.append(NOTICES, 0, entries("a"))

    async def crash() -> None:
        with transaction(connection):
            assert await log.append(NOTICES, 0, entries("b", "c")) == 1
            assert await values(log) == ["a", "b", "c"]
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await crash()

    assert await log.end(NOTICES, 0) == 1
    assert await values(log) == ["a"]
    assert await log.append(NOTICES, 0, entries("d", "e")) == 1
    assert await values(log) == ["a", "d", "e"]


async def test_a_log_survives_being_closed(path: Path) -> None:
    """Records, start, commits and identity are those of before when the file is opened again."""
    with closing(open_database(path)) as connection:
        log = SqliteLog(connection, 2)
        identity = log.identity
        await log.append(NOTICES, 0, entries("a", "b", "c"))
        await log.trim(NOTICES, 0, 1)
        await log.commit("inbox", NOTICES, 0, 2)

    with closing(open_database(path)) as connection:
        log = SqliteLog(connection, 2)
        assert log.identity == identity
        assert await values(log) == ["b", "c"]
        assert await log.start(NOTICES, 0) == 1
        assert await log.committed("inbox", NOTICES, 0) == 2


async def test_a_reader_sees_what_is_committed(
    log: SqliteLog, connection: sqlite3.Connection, path: Path
) -> None:
    """A reader with a connection of its own sees an append once its transaction has ended, not before."""
    with closing(open_database(path, read_only=True)) as other:
        reader = SqliteLog.reading(other)
        assert (reader.identity, reader.partitions) == (log.identity, 2)
        with transaction(connection):
            await log.append(NOTICES, 0, entries("a"))
            assert await reader.end(NOTICES, 0) == 0
        assert await values(reader) == ["a"]

        await log.trim(NOTICES, 0, 1)
        assert await reader.start(NOTICES, 0) == 1
        assert await values(reader) == []


async def test_a_reader_does_not_write(log: SqliteLog, path: Path) -> None:
    """Appending through a connection for reading fails and says why."""
    with closing(open_database(path, read_only=True)) as other, pytest.raises(LogFailed, match="read-only"):
        await SqliteLog.reading(other).append(NOTICES, 0, entries("a"))


def test_nothing_to_read_yet(tmp_path: Path) -> None:
    """A reader of a file without a log is told so."""
    connection = open_database(tmp_path / "empty.db")
    with closing(connection), pytest.raises(DatabaseFailed, match="no log in it yet"):
        SqliteLog.reading(connection)


def test_another_number_of_partitions_is_refused(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """A log is never re-hashed in silence: what was made with 2 partitions is not opened with 8."""
    with pytest.raises(OtherPartitions, match=r"has 2 partitions, not 8.*set partitions to 2 again"):
        SqliteLog(connection, 8)

    assert SqliteLog(connection, 2).identity == log.identity


def test_a_newer_format_is_refused(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """A file written by a newer version is left as it is."""
    remember(connection, "log.format", "2")

    with pytest.raises(NewerFormat, match="has format 2"):
        SqliteLog(connection, 2)
    with pytest.raises(NewerFormat, match="use the newer version"):
        SqliteLog.reading(connection)


async def test_a_damaged_batch_is_said(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """Bytes that changed on the disk are an error that names the place, never a record."""
    await log.append(NOTICES, 0, entries("a"))
    await log.append(NOTICES, 0, entries("bell"))
    connection.execute("UPDATE log SET data = CAST(replace(data, x'62', x'63') AS BLOB) WHERE base = 1")

    with pytest.raises(LogFailed, match=r"topic notices, partition 0: the batch at offset 1 does not match"):
        await log.read(NOTICES, 0, 0, 10)
    assert [record.value for record in await log.read(NOTICES, 0, 0, 1)] == [b"a"]


async def test_a_batch_in_the_wrong_place_is_said(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """A whole batch is no good elsewhere than where it was appended."""
    await log.append(NOTICES, 0, entries("a"))
    connection.execute("UPDATE log SET partition = 1")

    with pytest.raises(LogFailed, match="partition 1: the batch at offset 0 does not match"):
        await log.read(NOTICES, 1, 0, 10)


async def test_a_missing_batch_is_said(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """A gap that trimming did not make is damage: nobody reads over it."""
    for value in "abc":
        await log.append(NOTICES, 0, entries(value))
    connection.execute("DELETE FROM log WHERE base = 1")

    with pytest.raises(LogFailed, match="the records from 1 to 1 are missing"):
        await log.read(NOTICES, 0, 0, 10)
    with pytest.raises(LogFailed, match="the records from 1 to 1 are missing"):
        await log.read(NOTICES, 0, 1, 10)


async def test_trimming_frees_whole_batches(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """What lies wholly below the start leaves the file; the batch with the start in it stays."""
    for run in ("ab", "cd", "ef"):
        await log.append(NOTICES, 0, entries(*run))

    await log.trim(NOTICES, 0, 3)

    assert connection.execute("SELECT base FROM log ORDER BY base").fetchall() == [(2,), (4,)]
    assert await values(log) == ["d", "e", "f"]


async def test_few_unpacked_batches_are_held(log: SqliteLog) -> None:
    """However many batches are read, memory for the unpacked ones is bounded."""
    for i in range(3 * BATCHES_HELD_MAX):
        await log.append(NOTICES, 0, entries(str(i)))

    assert await values(log) == [str(i) for i in range(3 * BATCHES_HELD_MAX)]
    assert len(log._held) == BATCHES_HELD_MAX


async def test_a_full_disk_is_said_and_keeps_nothing(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """With no room left an append fails as a whole, in words, and succeeds once there is room."""
    await log.append(NOTICES, 0, entries("a"))
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 20}")

    with pytest.raises(LogFailed, match="the disk is full"):
        await log.append(NOTICES, 0, [Entry(bytes(400_000), 1)] * 6)

    assert await values(log) == ["a"]
    connection.execute("PRAGMA max_page_count=1000000")
    assert await log.append(NOTICES, 0, entries("b")) == 1


async def test_a_closed_connection_is_log_failed(log: SqliteLog, connection: sqlite3.Connection) -> None:
    """Whatever SQLite raises, callers of the port meet LogFailed."""
    connection.close()

    with pytest.raises(LogFailed, match="closed"):
        await log.read(NOTICES, 0, 0, 1)


def test_any_flipped_byte_is_said_or_harmless(path: Path) -> None:
    """Wherever in the file a byte changes: what is still returned is what was appended at that offset."""
    appended = [Entry(b"record %d" % i * (1 + i % 50), i, b"k%d" % i if i % 2 else None) for i in range(40)]
    with closing(open_database(path)) as connection:
        log = SqliteLog(connection, 1)
        for first in range(0, 40, 8):
            asyncio.run(log.append(NOTICES, 0, appended[first : first + 8]))
    whole = path.read_bytes()
    said = 0

    for place in range(18, len(whole), 97):  # a prime, so that all kinds of places are met
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        try:
            with closing(open_database(path)) as connection:
                found = asyncio.run(SqliteLog(connection, 1).read(NOTICES, 0, 0, 100))
        except (DatabaseFailed, LogFailed):
            said += 1
            continue
        finally:
            for name in ("-wal", "-shm"):
                path.with_name(path.name + name).unlink(missing_ok=True)
        for record in found:
            entry = appended[record.offset]
            assert (record.value, record.timestamp_ms, record.key) == (
                entry.value,
                entry.timestamp_ms,
                entry.key,
            )

    assert said > 50


CRASHING = """
import asyncio, sys
from fanbell.streams.log import Entry
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import open_database

async def main():
    log = SqliteLog(open_database(sys.argv[1]), 1)
    while True:
        first = await log.append("notices", 0, [Entry(b"%d" % i, i) for i in range(10)])
        print(first + 10, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """A process killed while it appends leaves every acknowledged append, whole, and nothing half."""
    command = [sys.executable, "-c", CRASHING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(30)][-1]
        process.kill()
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith(b"\n"))])

    with closing(open_database(path)) as connection:
        log = SqliteLog(connection, 1)
        end = asyncio.run(log.end(NOTICES, 0))
        found = asyncio.run(log.read(NOTICES, 0, 0, end + 1))

    assert acknowledged <= end
    assert end % 10 == 0
    assert [(record.offset, record.value) for record in found] == [(i, b"%d" % (i % 10)) for i in range(end)]


async def test_a_reader_in_another_thread_sees_whole_appends(log: SqliteLog, path: Path) -> None:
    """While one thread appends and trims, another reads with a connection of its own: in order, nothing half."""
    appends = 100
    halves: list[list[int]] = []

    def follow() -> int:
        with closing(open_database(path, read_only=True)) as other:
            reader = SqliteLog.reading(other)
            at = 0
            while at < appends * 7:
                end = asyncio.run(reader.end(NOTICES, 0))
                found = [record.offset for record in asyncio.run(reader.read(NOTICES, 0, at, 1_000))]
                if end % 7 or (found and found != list(range(found[0], found[-1] + 1))):
                    halves.append(found)
                at = found[-1] + 1 if found else at
            return at

    with ThreadPoolExecutor(1) as threads:
        followed = threads.submit(follow)
        for i in range(appends):
            assert await log.append(NOTICES, 0, entries(*"abcdefg")) == i * 7
            if i % 10 == 9:
                await log.trim(NOTICES, 0, (i - 5) * 7)
        assert followed.result(timeout=30) == appends * 7

    assert halves == []


Step = tuple[str, int, int]
"""(what, a number, another)"""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5), st.integers(0, 400_000)),
        st.tuples(st.just("rollback"), st.integers(1, 5), st.integers(0, 1_000)),
        st.tuples(st.just("trim"), st.integers(-2, 40), st.just(0)),
        st.tuples(st.just("read"), st.integers(-2, 40), st.integers(0, 12)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_it_is_a_list_that_forgets_its_beginning(steps: list[Step]) -> None:
    """Whatever is appended, rolled back, trimmed and read: the log answers as a plain list would."""

    async def history() -> None:
        with closing(open_database(":memory:")) as connection:
            log = SqliteLog(connection, 1)
            plain: list[tuple[int, bytes, int]] = []
            start = made = 0
            for what, number, other in steps:
                new = [Entry(bytes([(made + i) % 256]) * other, made + i) for i in range(number)]
                made += max(0, number)
                if what == "append":
                    assert await log.append(NOTICES, 0, new) == len(plain)
                    plain += [(len(plain) + i, e.value, e.timestamp_ms) for i, e in enumerate(new)]
                elif what == "rollback":
                    connection.execute("BEGIN")
                    assert await log.append(NOTICES, 0, new) == len(plain)
                    assert len(await log.read(NOTICES, 0, len(plain), 10)) == len(new)
                    connection.execute("ROLLBACK")
                elif what == "trim":
                    await log.trim(NOTICES, 0, number)
                    start = max(start, min(number, len(plain)))
                else:
                    found = await log.read(NOTICES, 0, number, other)
                    first = max(start, number)
                    assert [(r.offset, r.value, r.timestamp_ms) for r in found] == plain[
                        first : first + other
                    ]
                assert (await log.start(NOTICES, 0), await log.end(NOTICES, 0)) == (start, len(plain))

    asyncio.run(history())
