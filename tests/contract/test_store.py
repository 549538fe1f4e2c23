"""What every store of inboxes does, asked of each adapter."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanbell.projections import rows as view
from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Body, Profile, Reading, Store, Traced
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.projections.store_memory import MemoryStore
from fanbell.projections.store_sqlite import SqliteStore
from fanbell.schemas.records import Preference, Told
from fanbell.streams.sqlite import open_database
from tests.cluster import keyspaces
from tests.projections.told import NAMES, content, histories, mark, notice, outcome, retraction, update, wish

T = TypeVar("T")

SMALL = 5
"""Rows kept by the stores below, so that trimming happens."""


class Made(Protocol):
    def __call__(self, keep: int = 200, keep_age_ms: int | None = None) -> Store: ...


@pytest.fixture(params=["memory", "sqlite", pytest.param("cassandra", marks=pytest.mark.cluster)])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Makes a store of each adapter, empty; the SQLite one trims as late as it can, or at once, as `trim_rows` says.

    Two of Cassandra's, made within one test, are of the same inboxes.
    """
    closing: list[Callable[[], None]] = []
    cassandra = request.param == "cassandra" and keyspaces.emptied(request.getfixturevalue("servers"))

    def make(keep: int = 200, keep_age_ms: int | None = None) -> Store:
        if request.param == "memory":
            return MemoryStore(keep, keep_age_ms)
        if cassandra:
            return CassandraStore(cassandra, keep, keep_age_ms)
        connection = open_database(tmp_path / f"{len(closing)}.db")
        store = SqliteStore(connection, keep, keep_age_ms)
        closing.extend((store.close, connection.close))
        return store

    yield make
    for close in closing:
        close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def told(store: Store, *records: Told, partition: int = 0) -> None:
    """Apply `records`, whose offsets are their seqs."""
    await store.apply({partition: records}, {partition: records[-1].seq})


async def seqs(store: Store, user: str) -> list[int]:
    return [row.seq for row in await store.rows(user)]


def test_notice_is_a_row_in_each_recipients_inbox(made: Made) -> None:
    """
    A notice shows in the inbox of each recipient, unread and unseen, and in no other.
    """

    async def story() -> None:
        store = made()
        await told(store, notice(1, ["ben", "cem"], scope="room", expires_at=9))
        (row,) = await store.rows("ben")
        assert (
            row.seq, row.changed_seq, row.flags, row.kind, row.scope, row.expires_at, row.body,
        ) == (1, 1, 0, "post", "room", 9, 1)  # fmt: skip
        assert [row] == await store.rows("cem")
        assert await store.rows("ana") == []

    run(story())


def test_body_says_what_the_notice_says(made: Made) -> None:
    """
    The body of a row is what its notice says: id, reason, actor, time and content.
    """

    async def story() -> None:
        store = made()
        await told(store, notice(1, ["ben"], "x", actor="ana", at_ms=77, data=b'{"a":"\xc3\xa9"}'))
        expected = Body(
            "x", "post", 1, ("ana",), 77, content("x", actor="ana", at_ms=77, data=b'{"a":"\xc3\xa9"}')
        )
        for _ in range(2):  # the second time from a cache, if there is one
            assert {1: expected} == await store.bodies("ben", [1, 2])
        assert await store.bodies("nobody", [1]) == {}

    run(story())


def test_newest_first_and_no_more_than_kept(made: Made) -> None:
    """
    An inbox is the newest rows, newest first, and never more than it keeps.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, *[notice(seq, ["ben"]) for seq in range(1, 8)])
        assert await seqs(store, "ben") == [7, 6, 5, 4, 3]

    run(story())


def test_retraction_brings_nothing_old_back(made: Made) -> None:
    """
    A row that left the inbox for newer ones does not come back when one of those is retracted.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, *[notice(seq, ["ben"]) for seq in range(1, 8)], retraction(8, ["ben"], 6))
        assert await seqs(store, "ben") == [7, 5, 4, 3]
        await told(store, mark(9, "ben", "read", up_to=9))
        await told(store, notice(10, ["ben"]), notice(11, ["ben"]))
        assert await seqs(store, "ben") == [11, 10, 7, 5, 4]

    run(story())


def test_grown_group_moves_to_the_front(made: Made) -> None:
    """
    A group that grew is one row, first in the list, unread again, with the same id.
    """

    async def story() -> None:
        store = made()
        await told(store, update(1, ["ben"]), notice(2, ["ben"]), mark(3, "ben", "archive", 1, 2))
        await told(store, update(4, ["ben"], prev=1, actors=("cem", "ana"), count=2))
        first, second = await store.rows("ben")
        assert (first.seq, first.changed_seq, first.flags, first.kind) == (4, 4, 0, "like")
        assert (second.seq, second.changed_seq) == (2, 3)
        body = (await store.bodies("ben", [first.body]))[first.body]
        assert (body.id, body.count, body.actors, body.created_ms) == ("g1", 2, ("cem", "ana"), 500)
        assert await store.seqs_of("ben", ["g1", "g1.1", "unknown"]) == {"g1": 4}

    run(story())


def test_group_grown_twice_in_one_batch_is_one_row(made: Made) -> None:
    """
    A group is one row, however often it grew between two reads.
    """

    async def story() -> None:
        store = made()
        await told(store, update(1, ["ben"]), update(2, ["ben"], prev=1), update(3, ["ben"], prev=2))
        assert await seqs(store, "ben") == [3]

    run(story())


def test_quiet_correction_keeps_place_and_flags(made: Made) -> None:
    """
    A group that lost an actor shows so where it stands: neither moved nor unread.
    """

    async def story() -> None:
        store = made()
        await told(
            store, update(1, ["ben"], actors=("cem", "ana")), notice(2, ["ben"]), mark(3, "ben", "read", 1)
        )
        await told(
            store, update(4, ["ben"], row_seq=1, prev=1, announces=False, actors=("ana",), scope="room")
        )
        row = (await store.rows("ben"))[1]
        assert (row.seq, row.changed_seq, row.flags, row.scope, row.body) == (1, 4, READ | SEEN, "room", 4)
        assert (await store.bodies("ben", [4]))[4].actors == ("ana",)

    run(story())


def test_quiet_correction_of_no_row_is_nothing(made: Made) -> None:
    """
    A correction of a row that the inbox no longer has does nothing.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, update(1, ["ben"]), *[notice(seq, ["ben"]) for seq in range(2, 8)])
        await told(store, update(8, ["ben", "new"], row_seq=1, prev=1, announces=False))
        assert await seqs(store, "ben") == [7, 6, 5, 4, 3]
        assert await store.rows("new") == []

    run(story())


def test_restored_row_is_no_news(made: Made) -> None:
    """
    A row that was retracted and is put back stands at its old place, read and seen.
    """

    async def story() -> None:
        store = made()
        await told(store, update(1, ["ben"]), notice(2, ["ben"]), retraction(3, ["ben"], 1))
        assert await seqs(store, "ben") == [2]
        await told(store, update(4, ["ben"], row_seq=1, announces=False))
        row = (await store.rows("ben"))[1]
        assert (row.seq, row.changed_seq, row.flags, row.body) == (1, 4, READ | SEEN, 4)

    run(story())


@pytest.mark.parametrize(
    ("verbs", "flags"),
    [
        (["read"], READ | SEEN),
        (["read", "unread"], SEEN),
        (["seen"], SEEN),
        (["archive"], ARCHIVED | READ | SEEN),
        (["archive", "unarchive"], READ | SEEN),
        (["click"], CLICKED | READ | SEEN),
    ],
)
def test_marks(made: Made, verbs: list[str], flags: int) -> None:
    """
    A mark sets and clears what its verb says, on the rows that it names.
    """

    async def story() -> None:
        store = made()
        await told(store, notice(1, ["ben"]), notice(2, ["ben"]), notice(3, ["cem"]))
        for seq, verb in enumerate(verbs, 4):
            await told(store, mark(seq, "ben", verb, 1, 99))
        assert [(2, 0), (1, flags)] == [(row.seq, row.flags) for row in await store.rows("ben")]
        assert [row.flags for row in await store.rows("cem")] == [0]

    run(story())


def test_mark_all_goes_up_to_its_bound(made: Made) -> None:
    """A mark on everything up to a seq leaves what came after it, and what it does not change keeps its seq of
    change.
    """

    async def story() -> None:
        store = made()
        await told(store, *[notice(seq, ["ben"]) for seq in (1, 2, 3)], mark(4, "ben", "read", 1))
        await told(store, mark(5, "ben", "read", up_to=2))
        assert [(row.seq, row.changed_seq, row.flags) for row in await store.rows("ben")] == [
            (3, 3, 0),
            (2, 5, READ | SEEN),
            (1, 4, READ | SEEN),
        ]
        assert [row.seq for row in await store.changed_since("ben", 4)] == [2]

    run(story())


def test_mark_never_brings_a_row_to_life(made: Made) -> None:
    """
    A mark on a row that was retracted or has moved marks nothing.
    """

    async def story() -> None:
        store = made()
        await told(
            store,
            notice(1, ["ben"]),
            update(2, ["ben"]),
            retraction(3, ["ben"], 1),
            update(4, ["ben"], prev=2),
        )
        await told(store, mark(5, "ben", "read", 1, 2), mark(6, "nobody", "read", up_to=9))
        assert [(row.seq, row.flags) for row in await store.rows("ben")] == [(4, 0)]
        assert await store.rows("nobody") == []

    run(story())


def test_marks_on_trimmed_rows(made: Made) -> None:
    """
    Marks and corrections of rows that were trimmed bring none of them back, nor do they hide those that are there.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, *[notice(seq, ["ben"]) for seq in range(1, 40)])
        await told(store, mark(40, "ben", "read", *range(1, 35)))
        await told(
            store,
            *[update(41 + seq, ["ben"], row_seq=seq, prev=seq, announces=False) for seq in range(1, 30)],
        )
        await told(store, *[retraction(80 + seq, ["ben"], seq) for seq in (35, 36, 37, 38, 39)])
        assert await seqs(store, "ben") == []
        await told(store, notice(130, ["ben"]))
        assert [(row.seq, row.flags) for row in await store.rows("ben")] == [(130, 0)]

    run(story())


def test_what_left_no_trace_in_the_rows_is_known_to_have_been(made: Made) -> None:
    """
    A row that was put back below a full inbox, and a retraction that made room later, are not in the rows; what is read
    says that both have been.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, update(1, ["ben"], "g1"), retraction(2, ["ben"], 1, "g1"))
        await told(store, *[notice(seq, ["ben"]) for seq in range(3, 8)])
        put_back = update(8, ["ben"], "g1", row_seq=1, prev=-1, announces=False)
        await told(store, put_back, retraction(9, ["ben"], 5, "a5"))
        reading = await store.read("ben")
        assert [row.seq for row in reading.rows] == [7, 6, 4, 3]
        assert reading.as_of == 9
        await told(store, notice(10, ["ben", "cem"]))
        assert (await store.read("ben")).as_of == 10
        assert (await store.read("cem")).as_of == 10
        assert await store.read("nobody") == Reading([], 0)

    run(story())


def test_rows_that_are_gone_do_not_hide_those_that_are_there(made: Made) -> None:
    """
    However many marks lie on rows that are gone, the newest rows are found below them.
    """

    async def story() -> None:
        store = made(SMALL)
        await told(store, *[notice(seq, ["ben"]) for seq in range(1, 6)])
        await told(
            store,
            mark(200, "ben", "seen", *range(6, 150)),
            *[mark(201 + seq, "ben", "read", up_to=120 - seq) for seq in range(40)],
        )
        assert await seqs(store, "ben") == [5, 4, 3, 2, 1]

    run(story())


def test_what_comes_late_changes_nothing(made: Made) -> None:
    """
    A batch that was applied long since, or a part of it, changes nothing when it comes again after newer ones: neither
    rows and marks, nor the position.
    """

    async def story() -> None:
        store = made(SMALL)
        old = [
            notice(1, ["ben"]), update(2, ["ben"]), notice(3, ["ben"]), mark(4, "ben", "read", up_to=9),
            wish(5, "follow", "ben", "ana"), notice(6, ["ben"], "x"),
        ]  # fmt: skip
        new = [
            update(7, ["ben"], prev=2), retraction(8, ["ben"], 1), mark(9, "ben", "unread", 3),
            mark(10, "ben", "archive", 7), wish(11, "unfollow", "ben", "ana"),
            update(12, ["ben"], row_seq=7, prev=7, announces=False, actors=("cem",)),
        ]  # fmt: skip
        await told(store, *old)
        await told(store, *new)
        shown = await everything(store, ["ben"])
        assert await seqs(store, "ben") == [7, 6, 3]
        for late in (old, old[:2], old[1:4], old + new):
            await told(store, *late)
            assert await everything(store, ["ben"]) == shown

    run(story())


def test_a_notice_that_comes_after_its_retraction(made: Made) -> None:
    """
    What was taken back before it came stays so when it comes, late as it is.
    """

    async def story() -> None:
        store = made()
        await told(store, retraction(2, ["ben"], 1), notice(3, ["ben"]))
        await told(store, notice(1, ["ben"]))
        assert await seqs(store, "ben") == [3]
        assert await store.positions() == {0: 3}

    run(story())


def test_seqs_name_rows_within_a_partition(made: Made) -> None:
    """
    Users of two partitions have rows of the same seq, each with its own body.
    """

    async def story() -> None:
        store = made()
        batches = {0: [notice(1, ["ben"], "x")], 5: [notice(1, ["cem"], "y")]}
        await store.apply(batches, {0: 10, 5: 11})
        assert (await store.bodies("ben", [1]))[1].id == "x"
        assert (await store.bodies("cem", [1]))[1].id == "y"
        assert await store.positions() == {0: 10, 5: 11}

    run(story())


def test_age_ends_a_row(made: Made) -> None:
    """
    Where an inbox has an age, a row expires at that age, or earlier if its kind says so.
    """

    async def story() -> None:
        store = made(keep_age_ms=100)
        await told(store, notice(1, ["ben"], at_ms=1_000), notice(2, ["ben"], at_ms=1_000, expires_at=1_050))
        assert [row.expires_at for row in await store.rows("ben")] == [1_050, 1_100]

    run(story())


def test_lists_hold_what_was_wished(made: Made) -> None:
    """
    Follows, mutes and blocks are listed in the order of ids, page by page, until they are taken back.
    """

    async def story() -> None:
        store = made()
        follows = [wish(seq, "follow", "ben", name) for seq, name in enumerate(NAMES, 1)]
        await told(store, *follows, wish(20, "follow", "ben", "gone"), wish(21, "unfollow", "ben", "gone"))
        await told(store, wish(22, "mute", "ben", "p1", aspect="entity"), wish(23, "follow", "ben", NAMES[0]))
        assert sorted(NAMES) == await store.listed("ben", "follows", None, 100)
        assert sorted(NAMES)[3:5] == await store.listed("ben", "follows", sorted(NAMES)[2], 2)
        assert await store.listed("ben", "mutes", None, 100) == ["entity:p1"]
        await told(store, wish(24, "unmute", "ben", "p1", aspect="entity"))
        assert await store.listed("ben", "mutes", None, 100) == []
        assert await store.listed("nobody", "blocks", None, 100) == []

    run(story())


def test_block_ends_follows_both_ways(made: Made) -> None:
    """
    A block ends the follows between the two, each where the one who follows lives.
    """

    async def story() -> None:
        store = made()
        await told(store, wish(1, "follow", "ben", "ana"))
        await told(store, wish(1, "follow", "ana", "ben"), partition=1)
        await told(store, wish(2, "block", "ben", "ana", "user"))
        assert await store.listed("ben", "follows", None, 9) == []
        assert await store.listed("ben", "blocks", None, 9) == ["ana"]
        assert await store.listed("ana", "follows", None, 9) == ["ben"]
        await told(store, wish(2, "block", "ben", "ana", "other"), partition=1)
        assert await store.listed("ana", "follows", None, 9) == []
        assert await store.listed("ana", "blocks", None, 9) == []

    run(story())


def test_profile_and_preferences_replace(made: Made) -> None:
    """
    A profile and preferences are replaced whole; who has none has none.
    """

    async def story() -> None:
        store = made()
        await told(
            store, wish(1, "profile", "ben", name="Ben", locale="de"), wish(2, "profile", "名前", name="🐙")
        )
        await told(store, wish(3, "profile", "ben", avatar_url="https://x/y"))
        some = [Preference("*", "email", "*", "off"), Preference("like", "*", "room", "digest")]
        await told(store, wish(4, "preferences", "ben", preferences=some))
        profiles = {"ben": Profile(avatar_url="https://x/y"), "名前": Profile(name="🐙")}
        assert profiles == await store.profiles(["ben", "名前", "ana"])
        assert some == await store.preferences("ben")
        await told(store, wish(5, "preferences", "ben", preferences=[]))
        assert await store.preferences("ben") == []
        assert await store.preferences("ana") == []

    run(story())


def test_trace_adds_up_partitions(made: Made) -> None:
    """
    A trace counts who heard, and who did not by which rule, over all partitions.
    """

    async def story() -> None:
        store = made()
        await told(store, notice(1, ["ben", "cem"], "x"), outcome(2, "x", muted=2, blocked=1))
        await told(store, notice(1, ["dil"], "x"), outcome(2, "x", heard=4, muted=1), partition=1)
        assert Traced(7, {"muted": 3, "blocked": 1}) == await store.traced("x")
        assert await store.traced("y") is None

    run(story())


async def everything(store: Store, people: Sequence[str], now_ms: int = 3_000) -> list[object]:
    """All that readers can learn."""
    found: list[object] = [await store.positions(), await store.profiles(people)]
    for user in people:
        rows = await store.rows(user)
        bodies = await store.bodies(user, [row.body for row in rows])
        ids = [body.id for body in bodies.values()]
        found += [user, rows, bodies, await store.seqs_of(user, ids), view.counts(rows, now_ms)]
        found += [await store.listed(user, what, None, 99) for what in ("follows", "mutes", "blocks")]
        found += [await store.preferences(user), await store.changed_since(user, 7)]
    return [*found, *[await store.traced(f"a{seq}") for seq in range(1, 61)]]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    history=histories(),
    cuts=st.lists(st.integers(0, 60)),
    keep=st.sampled_from((1, 2, SMALL)),
    trim_rows=st.sampled_from((1, 3, 20_000)),
)
def test_both_adapters_agree(
    history: list[Told], cuts: list[int], keep: int, trim_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Whatever a partition carries, however it is cut into batches, applied once or twice, both adapters show the same.
    """

    async def story() -> None:
        with ExitStack() as opened:
            connection = opened.enter_context(
                closing(open_database(tmp_path_factory.mktemp("agree") / "x.db"))
            )
            sqlite = opened.enter_context(closing(SqliteStore(connection, keep, trim_rows=trim_rows)))
            memory = MemoryStore(keep)
            bounds = [0, *sorted({cut for cut in cuts if cut < len(history)}), len(history)]
            for first, end in pairwise(bounds):
                if first < end:
                    for store in (memory, sqlite, sqlite):  # the second time it has these already
                        await told(store, *history[first:end], partition=3)
            assert await everything(memory, NAMES) == await everything(sqlite, NAMES)
            check_bodies(connection)

    run(story())


def check_bodies(connection: Any) -> None:
    """Bodies count the rows that show them, and none is kept that no row shows."""
    sql = "SELECT 3 << 36 | (seq + body_later), count(*) FROM inbox GROUP BY 1 ORDER BY 1"
    counted = connection.execute(sql).fetchall()
    assert connection.execute("SELECT id, refs FROM bodies ORDER BY id").fetchall() == counted
