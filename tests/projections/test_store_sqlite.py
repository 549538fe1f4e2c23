"""What only the SQLite store is asked: transactions, restarts, trimming, and files that cannot be used."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fanbell.projections.sqlite_traces import Traces, number_of
from fanbell.projections.store import StoreFailed, Traced
from fanbell.projections.store_sqlite import SqliteStore
from fanbell.schemas.records import Told
from fanbell.streams.sqlite import open_database, remember, transaction
from tests.projections.told import notice, outcome, retraction, update, wish


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "x.db")) as opened:
        yield opened


def seqs(store: SqliteStore, user: str) -> list[int]:
    return [row.seq for row in asyncio.run(store.rows(user))]


def tell(store: SqliteStore, *records: Told) -> None:
    """Apply without an event loop, as the runner's thread does."""
    with pytest.raises(StopIteration):
        store.apply({0: records}, {0: records[-1].seq}).send(None)


def test_part_of_the_transaction_around_it(connection: sqlite3.Connection) -> None:
    """
    What is applied inside a transaction shows once that is committed, and not before.
    """
    with closing(SqliteStore(connection)) as store:
        with transaction(connection):
            tell(store, notice(1, ["ben"]))
            assert seqs(store, "ben") == []
        assert seqs(store, "ben") == [1]


def test_rolled_back_as_if_it_had_not_been(connection: sqlite3.Connection) -> None:
    """
    After a rollback the same records can be applied again, users first met in them included.
    """
    records = [notice(1, ["ben", "cem"], "x"), outcome(2, "x", muted=1), wish(3, "follow", "dil", "ana")]
    with closing(SqliteStore(connection)) as store:
        connection.execute("BEGIN")
        tell(store, *records)
        connection.execute("ROLLBACK")
        tell(store, notice(1, ["dil"], kind="job"))
        assert seqs(store, "ben") == []
        tell(store, *[notice(2, ["ben"], "x"), *records[1:]])
        assert seqs(store, "ben") == [2]
        assert seqs(store, "dil") == [1]
        assert asyncio.run(store.traced("x")) == Traced(1, {"muted": 1})
        assert asyncio.run(store.listed("dil", "follows", None, 9)) == ["ana"]


def test_open_again_where_it_was(tmp_path: Path) -> None:
    """
    A store opened again has the inboxes and positions that it had, and goes on trimming.
    """
    for first in (1, 8, 15):
        with closing(open_database(tmp_path / "x.db")) as connection:
            with closing(SqliteStore(connection, 5, trim_rows=1)) as store:
                tell(store, *[notice(seq, ["ben"]) for seq in range(first, first + 7)])
                assert seqs(store, "ben") == list(range(first + 6, first + 1, -1))
                assert asyncio.run(store.positions()) == {0: first + 6}
            assert connection.execute("SELECT count(*) FROM inbox").fetchone()[0] <= 7


def test_trimming_deletes_rows_and_bodies_nobody_shows(connection: sqlite3.Connection) -> None:
    """
    However much is told, the file holds not much more than the inboxes do.
    """
    people = [f"user{number}" for number in range(20)]
    with closing(SqliteStore(connection, 10, trim_rows=40)) as store:
        for seq in range(1, 1_000):
            recipients = people[seq % 7 :: 3]
            tell(store, update(seq, recipients, f"g{seq}") if seq % 5 else notice(seq, recipients))
        rows, bodies = connection.execute(
            "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM bodies)"
        ).fetchone()
        assert rows <= 20 * (10 + 40) + 2 * 40
        assert bodies <= rows
        assert all(len(seqs(store, user)) == 10 for user in people)


def test_retraction_from_an_untrimmed_inbox(connection: sqlite3.Connection) -> None:
    """
    Rows that wait to be trimmed stay out of sight when rows above them are retracted.
    """
    with closing(SqliteStore(connection, 5)) as store:
        tell(store, *[notice(seq, ["ben", "cem"]) for seq in range(1, 31)])
        tell(store, retraction(31, ["ben"], 30), retraction(32, ["ben"], 3))
        assert seqs(store, "ben") == [29, 28, 27, 26]
        assert seqs(store, "cem") == [30, 29, 28, 27, 26]


def test_reads_beside_an_open_write(connection: sqlite3.Connection) -> None:
    """
    Readers do not wait for a writer, and see what was committed before.
    """

    async def story(store: SqliteStore) -> None:
        await store.apply({0: [notice(1, ["ben"])]}, {0: 1})
        with transaction(connection):
            await store.apply({0: [notice(2, ["ben"])]}, {0: 2})
            rows = await asyncio.gather(*[store.rows("ben") for _ in range(20)])
            assert {row.seq for found in rows for row in found} == {1}

    with closing(SqliteStore(connection)) as store:
        asyncio.run(story(store))


def test_traces_forget_the_older_generation(connection: sqlite3.Connection) -> None:
    """
    Traces are bounded: the oldest go when two generations are full, the latest stay.
    """
    with closing(SqliteStore(connection)) as store:
        for number in range(10):
            traces = Traces(connection, generation_rows=3)  # opened anew each time, as after a restart
            traces.heard(f"a{number}", 1)
            traces.flush(lambda _: 1)
        known = [number for number in range(10) if asyncio.run(store.traced(f"a{number}"))]
        assert known == list(range(known[0], 10))
        assert 3 <= len(known) <= 6


def test_number_of_an_activity_stays() -> None:
    """
    An activity's number in the file is the same in every process and version.
    """
    assert number_of("名前") == -1_784_568_933_567_387_922


def test_damaged_file_is_said_and_left(tmp_path: Path) -> None:
    """
    A damaged file is refused in plain words and left as it is.
    """
    path = tmp_path / "x.db"
    with closing(open_database(path)) as connection, closing(SqliteStore(connection)) as store:
        for seq in range(1, 400):
            tell(store, notice(seq, [f"user{seq}"]))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
    path.write_bytes(damaged)
    with (
        closing(open_database(path)) as connection,
        pytest.raises(StoreFailed, match=r"damaged.*left as it is"),
    ):
        SqliteStore(connection)
    assert path.read_bytes() == damaged


def test_full_disk_is_said_and_nothing_kept(connection: sqlite3.Connection) -> None:
    """
    When the disk is full, that is said, nothing of the batch is kept, and with room again the store goes on.
    """
    with closing(SqliteStore(connection)) as store:
        tell(store, notice(1, ["ben"]))
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")  # stands for a full disk: the same error
        many = [notice(seq, [f"user{number}" for number in range(50)]) for seq in range(2, 400)]
        with pytest.raises(StoreFailed, match="disk is full"):
            store.apply({0: many}, {0: 400}).send(None)
        assert asyncio.run(store.positions()) == {0: 1}
        assert seqs(store, "user1") == []
        connection.execute("PRAGMA max_page_count=1000000")
        tell(store, *many)
        assert len(seqs(store, "user1")) == 200


def test_read_only_file_is_said(tmp_path: Path) -> None:
    """
    A file that cannot be written is refused in plain words.
    """
    with closing(open_database(tmp_path / "x.db")) as connection, closing(SqliteStore(connection)) as store:
        tell(store, notice(1, ["ben"]))
        with (
            closing(open_database(tmp_path / "x.db", read_only=True)) as reading,
            closing(SqliteStore(reading)) as looking,
        ):
            with pytest.raises(StoreFailed, match="read-only"):
                looking.apply({0: [notice(2, ["ben"])]}, {0: 2}).send(None)
            assert seqs(looking, "ben") == [1]


def test_newer_format_is_refused(connection: sqlite3.Connection) -> None:
    """
    Inboxes written by a newer version are refused and left as they are.
    """
    remember(connection, "inboxes.format", "99")
    with pytest.raises(StoreFailed, match="format 99"):
        SqliteStore(connection)
