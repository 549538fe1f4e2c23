"""SQLite files: how they are opened, what a transaction is, what their errors say."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fanbell.streams.sqlite import (
    DatabaseFailed,
    NewerFormat,
    explained,
    failure,
    give_back,
    make_durable,
    open_database,
    path_of,
    recall,
    remember,
    settle_format,
    transaction,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fan bell?%.db"  # characters that mean something in an address


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(path)) as opened:
        opened.execute("CREATE TABLE t (x INTEGER)")
        yield opened


def rows(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def insert(connection: sqlite3.Connection, x: int) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO t VALUES (?)", (x,))


def insert_and_crash(connection: sqlite3.Connection, x: int) -> None:
    with transaction(connection):
        insert(connection, x)
        raise RuntimeError("crash")


@pytest.mark.parametrize(("wanted", "found"), [("NORMAL", 1), ("FULL", 2)])
def test_settings_hold(path: Path, wanted: str, found: int) -> None:
    """A file is opened in WAL mode, as durable as was asked for, with a bounded wait."""
    with closing(open_database(path, synchronous=wanted)) as connection:  # type: ignore[arg-type]
        asked = ("journal_mode", "synchronous", "busy_timeout", "mmap_size")
        answers = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]

    assert answers == ["wal", found, 5_000, 0]


def test_the_path_is_the_files(connection: sqlite3.Connection, path: Path) -> None:
    """A connection knows its file, whatever characters its name has."""
    assert Path(path_of(connection)) == path
    assert path.exists()


def test_a_transaction_is_kept_whole(connection: sqlite3.Connection) -> None:
    """What ends well is kept."""
    with transaction(connection):
        insert(connection, 1)
        insert(connection, 2)

    assert not connection.in_transaction
    assert rows(connection) == [1, 2]


def test_a_transaction_that_raises_keeps_nothing(connection: sqlite3.Connection) -> None:
    """What raises, also after an inner part was done, is undone."""
    insert(connection, 1)

    with pytest.raises(RuntimeError, match="crash"):
        insert_and_crash(connection, 2)

    assert not connection.in_transaction
    assert rows(connection) == [1]


def test_a_part_that_rolled_all_back_cannot_be_swallowed(connection: sqlite3.Connection) -> None:
    """Where SQLite undid everything at an inner error, the whole fails even if the error was ignored."""

    def swallow() -> None:
        with transaction(connection):
            insert(connection, 1)
            connection.execute("ROLLBACK")

    with pytest.raises(DatabaseFailed, match="was rolled back before its end"):
        swallow()

    assert rows(connection) == []


def test_a_writer_waits_and_then_says_who_is_busy(connection: sqlite3.Connection, path: Path) -> None:
    """A second writer does not hang: after the bounded wait it is told that the file is held."""
    with closing(open_database(path)) as other, transaction(connection):
        other.execute("PRAGMA busy_timeout=1")
        with pytest.raises(DatabaseFailed, match="another process has held it"):
            insert(other, 1)


def test_a_file_of_another_kind_is_said_and_left(path: Path) -> None:
    """What is not a database is not overwritten."""
    path.write_bytes(b"Dear diary" * 1_000)

    with pytest.raises(DatabaseFailed, match=r"no SQLite database. It was left as it is"):
        open_database(path)

    assert path.read_bytes() == b"Dear diary" * 1_000


def test_a_database_of_another_program_is_said_and_left(path: Path) -> None:
    """A database that is not ours is not written into."""
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with pytest.raises(DatabaseFailed, match="another program's"):
        open_database(path)

    assert path.read_bytes() == before


def test_a_damaged_file_is_said_and_left(path: Path) -> None:
    """Damage is named, and the file left for whoever wants to rescue it."""
    with closing(open_database(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t SELECT randomblob(3000) FROM (VALUES (1), (2), (3), (4))")
    data = path.read_bytes()
    damaged = data[:4096] + b"\xa5" * (len(data) - 4096)
    path.write_bytes(damaged)

    connection = open_database(path)
    with closing(connection), pytest.raises(DatabaseFailed, match="it is damaged"), explained(connection):
        connection.execute("SELECT sum(length(x)) FROM t").fetchall()

    assert path.read_bytes() == damaged


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The message says what must be there."""
    with pytest.raises(DatabaseFailed, match="its folder must exist"):
        open_database(tmp_path / "absent" / "fanbell.db")


def test_reading_only(connection: sqlite3.Connection, path: Path) -> None:
    """A connection for reading reads, and says why it does not write."""
    insert(connection, 1)

    with closing(open_database(path, read_only=True)) as reader:
        assert rows(reader) == [1]
        with pytest.raises(DatabaseFailed, match="read-only"):
            insert(reader, 2)


def test_reading_only_makes_no_file(path: Path) -> None:
    """To read what is not there is an error, and leaves nothing behind."""
    with pytest.raises(DatabaseFailed, match="cannot be opened"):
        open_database(path, read_only=True)

    assert not path.exists()


def test_a_format_is_noted_down_once(connection: sqlite3.Connection) -> None:
    """Each part of a file has its own format; an older one is told, a newer one refused."""
    assert settle_format(connection, "log", 1) == 1
    assert settle_format(connection, "inbox", 3) == 3
    assert settle_format(connection, "log", 2) == 1
    with pytest.raises(
        NewerFormat, match=r"its inbox has format 3; this version of Fanbell knows 2 and older"
    ):
        settle_format(connection, "inbox", 2)


def test_what_is_remembered_is_recalled(connection: sqlite3.Connection) -> None:
    """A fact about the file is what was noted down last, and part of the transaction around it."""
    assert recall(connection, "epoch") is None
    remember(connection, "epoch", "a")
    connection.execute("BEGIN")
    remember(connection, "epoch", "b")
    assert recall(connection, "epoch") == "b"
    connection.execute("ROLLBACK")

    assert recall(connection, "epoch") == "a"


def test_what_was_committed_can_be_made_durable(connection: sqlite3.Connection, path: Path) -> None:
    """A commit is forced through the WAL, and the connection is as durable as before afterwards."""
    insert(connection, 1)
    wal = path.with_name(path.name + "-wal")

    for _ in range(2):
        size = wal.stat().st_size
        make_durable(connection)
        assert wal.stat().st_size > size

    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1
    assert rows(connection) == [1]


def test_the_room_of_the_wal_can_be_given_back(connection: sqlite3.Connection, path: Path) -> None:
    """What the WAL holds is moved into the file, and it takes no room any more."""
    insert(connection, 1)
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size > 0

    give_back(connection)

    assert wal.stat().st_size == 0
    assert rows(connection) == [1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_IOERR | (3 << 8), "the disk failed"),  # SQLITE_IOERR_WRITE
        (sqlite3.SQLITE_READONLY | (4 << 8), "read-only"),  # SQLITE_READONLY_DBMOVED
        (sqlite3.SQLITE_MISUSE, "SQLite refused"),
    ],
)
def test_errors_are_said_in_plain_words(code: int, said: str) -> None:
    """An error names the file and what happened; its details keep SQLite's own name."""
    error = sqlite3.OperationalError("some words")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_NAME"

    told = str(failure(error, "a.db"))
    assert told.startswith("a.db: ")
    assert said in told
    assert told.endswith("(SQLITE_NAME: some words)")
