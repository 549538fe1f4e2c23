"""One way to open SQLite files, to write in them, and to say what went wrong.

Relied on by every adapter that keeps something in SQLite; several may share one file and one transaction.
A connection is used by one thread at a time; a file has one writer (the data folder's lock sees to that) and
readers with connections of their own.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

APPLICATION_ID: Final = 0x46616E62  # "Fanb", in the file's header: no other program's file is written into
BUSY_TIMEOUT_MS: Final = 5_000  # a checkpoint or a backup may hold the file this long; longer is said
CACHE_KIB: Final = 64 * 1024  # the upper pages of about 1 M inboxes; beyond, the system's cache serves
CHECKPOINT_PAGES: Final = 4_000  # 16 MiB of WAL, so that rows written again and again reach the file once
ROWS_AT_ONCE: Final = 64  # rows of one statement; more save nothing
STATEMENTS_CACHED: Final = 512  # one for each number of rows at once
WAL_KEPT_BYTES: Final = 64 * 1024 * 1024  # a WAL grown by one huge transaction is cut back to this


class DatabaseFailed(Exception):
    """What an SQLite file would not do, in plain words: which file, what happened, what to do."""


class NewerFormat(DatabaseFailed):
    """The file was written by a newer version of Fanbell."""


_SAID: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: (
        "the disk is full; nothing of this transaction was kept. Make room: a running server goes on by itself"
    ),
    sqlite3.SQLITE_READONLY: "it cannot be written: the file, its folder or the file system is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: its folder must exist, and this user be allowed there",
    sqlite3.SQLITE_PERM: "this user may not use it",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database. It was left as it is; move it away or name another one",
    sqlite3.SQLITE_CORRUPT: "it is damaged. It was left as it is; restore a backup or move it away",
    sqlite3.SQLITE_BUSY: f"another process has held it for more than {BUSY_TIMEOUT_MS // 1000} s",
    sqlite3.SQLITE_LOCKED: "another connection of this process holds the table",
    sqlite3.SQLITE_IOERR: (
        "the disk failed, or does not let the file grow (see the system's log); nothing of this transaction was kept"
    ),
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite can hold",
}


def failure(error: sqlite3.Error, path: str | Path) -> DatabaseFailed:
    """`error`, which came of the file `path`, in plain words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the class, the rest its detail
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    said = _SAID.get(code, "SQLite refused")
    return DatabaseFailed(f"{path}: {said} ({name}: {error})")


def path_of(connection: sqlite3.Connection) -> str:
    """The file that `connection` has open; `:memory:` if none. For messages: it never raises."""
    try:
        rows = connection.execute("PRAGMA database_list").fetchall()
    except sqlite3.Error:  # closed; what is being said matters more than where
        return "a closed database"
    return next((row[2] for row in rows if row[1] == "main"), "") or ":memory:"


@contextmanager
def explained(connection: sqlite3.Connection) -> Iterator[None]:
    """Within, SQLite's errors become DatabaseFailed."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure(error, path_of(connection)) from error


def open_database(
    path: str | Path, *, synchronous: Literal["NORMAL", "FULL"] = "NORMAL", read_only: bool = False
) -> sqlite3.Connection:
    """Open the file `path`, made if there is none, in autocommit mode (see `transaction`).

    With `FULL` every commit survives loss of power, with `NORMAL` all up to some moment before; death of the
    process harms neither. `:memory:` is a database of this connection alone. Raises DatabaseFailed.
    """
    memory = str(path) == ":memory:"
    where = ":memory:" if memory else f"{Path(path).absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            where,
            uri=True,
            isolation_level=None,  # transactions are begun by `transaction`, never behind our back
            timeout=BUSY_TIMEOUT_MS / 1000,
            cached_statements=STATEMENTS_CACHED,
            check_same_thread=False,  # opened by the main thread, used by the runner's
        )
        _recognise(connection, path, read_only)
        _set(connection, synchronous, read_only)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise failure(error, path) from error
        raise
    return connection


def _recognise(connection: sqlite3.Connection, path: str | Path, read_only: bool) -> None:
    """Refuse a file of another program before anything in it is changed, its journal mode included."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found == APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if found != 0 or tables:
        said = "it is another program's SQLite database. It was left as it is; name another folder"
        raise DatabaseFailed(f"{path}: {said}")
    if not read_only:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def _set(connection: sqlite3.Connection, synchronous: str, read_only: bool) -> None:
    if not read_only:
        # Readers never wait for the writer, nor it for them.
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode not in ("wal", "memory"):
            said = "its file system does not do SQLite's WAL (network file systems do not); use a local disk"
            raise DatabaseFailed(f"{path_of(connection)}: {said}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    # On macOS a plain fsync stops at the drive's cache.
    connection.execute(f"PRAGMA fullfsync={int(synchronous == 'FULL')}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    # No mapping: a disk that fails under one kills the process; under read() it is an error that can be said.
    connection.execute("PRAGMA mmap_size=0")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA cell_size_check=ON")  # damage is met as a page is read, not rows later
    connection.execute("PRAGMA trusted_schema=OFF")


def put_rows(
    connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = ""
) -> None:
    """Run `head` VALUES (…), (…) … `tail` for `rows`, which have one width. Raises sqlite3.Error.

    In as few steps as can be: the interpreter's lock is let go at each, and where another thread waits for it, it comes
    back after that one's turn. (`executemany` takes a step for each row.)
    """
    for at in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[at : at + ROWS_AT_ONCE]
        row = f"({', '.join('?' * len(some[0]))})"
        values = [value for fields in some for value in fields]
        connection.execute(f"{head} VALUES {', '.join([row] * len(some))} {tail}", values)


def _within(connection: sqlite3.Connection) -> bool:
    return connection.in_transaction


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written within is kept whole, or not at all if it raises. Within another, it is part of that.

    Raises DatabaseFailed in place of SQLite's own errors. A part that failed must fail the whole: SQLite may
    have rolled all of it back already (disk full, I/O error).
    """
    if _within(connection):
        with explained(connection):
            yield
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        if not _within(connection):  # a part failed, its error was swallowed, and SQLite had rolled back
            said = "the transaction was rolled back before its end; nothing of it was kept"
            raise DatabaseFailed(f"{path_of(connection)}: {said}")
        connection.execute("COMMIT")
    except BaseException as error:
        if _within(connection):
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise failure(error, path_of(connection)) from error
        raise


@contextmanager
def one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read within is of one moment, whatever others commit meanwhile. Within a transaction it is anyway."""
    with explained(connection):
        if _within(connection):
            yield
            return
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if _within(connection):
                connection.execute("ROLLBACK")  # nothing was written


def make_durable(connection: sqlite3.Connection) -> None:
    """Let all that was committed survive loss of power, also where `synchronous` is NORMAL. About 0.3 ms.

    Call it between transactions, before something durable elsewhere relies on them (a snapshot on its log). SQLite
    has to do it: to open and close the file beside it would drop the locks that its connections hold on it.
    """
    with explained(connection):
        before = connection.execute("PRAGMA synchronous").fetchone()[0]
        connection.execute(
            "PRAGMA synchronous=FULL"
        )  # the WAL is synced with the next commit, and all before it
        try:
            remember(connection, "synced", str(int(recall(connection, "synced") or 0) + 1))
        finally:
            connection.execute(f"PRAGMA synchronous={before}")


def give_back(connection: sqlite3.Connection) -> None:
    """Move what the WAL holds into the file and give the WAL's room back to the disk, if there is room to do so.

    Pages written again and again are in the WAL once for each time: on a disk that was full it may hold more than
    the file needs. Call it between transactions. Raises DatabaseFailed, and then nothing has changed.
    """
    with explained(connection):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def settle_format(connection: sqlite3.Connection, part: str, version: int) -> int:
    """The format version of `part`'s tables in this file: `version`, noted down, if it has none yet.

    Raises NewerFormat if the file's is above `version`; an older one is for the caller to bring up to date.
    """
    found = recall(connection, f"{part}.format")
    if found is None:
        remember(connection, f"{part}.format", str(version))
        return version
    if int(found) > version:
        raise NewerFormat(
            f"{path_of(connection)}: its {part} has format {found}; this version of Fanbell knows {version} "
            "and older. It was left as it is; use the newer version"
        )
    return int(found)


def recall(connection: sqlite3.Connection, name: str) -> str | None:
    """What `remember` noted down under `name` in this file; None if nothing."""
    with explained(connection):
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
            return None
        row = connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def remember(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Note down one fact about this file, in place of what was noted under `name` before."""
    with transaction(connection):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        )
        connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))
