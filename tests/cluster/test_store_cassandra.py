"""What the Cassandra store adds to the contract: several writers, late ones among them, and crashes half way."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanbell.infra.local.cluster import Cluster
from fanbell.projections import cassandra_tables as tables
from fanbell.projections import cassandra_writer
from fanbell.projections.cassandra_held import MARKS_MAX
from fanbell.projections.projector import Discontinued
from fanbell.projections.store import Row, Store, StoreFailed
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.records import Mark, Told
from fanbell.streams.cassandra import Cassandra, CassandraFailed, Rows
from fanbell.streams.cassandra_packed import PackedBatch
from tests.cluster import keyspaces
from tests.projections.salted import for_others, salted
from tests.projections.told import NAMES, histories, mark, notice, retraction, update, wish

pytestmark = pytest.mark.cluster
T = TypeVar("T")
KEEP = 5


@pytest.fixture
def cassandra(servers: Cluster) -> Cassandra:
    return keyspaces.emptied(servers)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def told(store: Store, *records: Told, partition: int = 0) -> None:
    await store.apply({partition: records}, {partition: records[-1].seq})


async def seqs(store: Store, user: str) -> list[int]:
    return [row.seq for row in await store.rows(user)]


class Zombie(CassandraStore):
    """A store that believes nothing was applied yet, and never hears otherwise."""

    async def positions(self) -> dict[int, int]:
        self._positions.setdefault(0, -1)
        return {}


def test_a_zombie_changes_nothing(cassandra: Cassandra) -> None:
    """
    A worker that applies what another one has applied long since, and more came after, changes nothing.
    """

    async def story() -> None:
        old = [notice(1, ["ben"]), update(2, ["ben"]), notice(3, ["ben"]), mark(4, "ben", "read", up_to=9)]
        new = [
            update(5, ["ben"], prev=2),
            retraction(6, ["ben"], 1),
            mark(7, "ben", "unread", 3),
            mark(8, "ben", "archive", 5),
            update(9, ["ben"], row_seq=5, prev=5, announces=False, actors=("cem",)),
        ]
        store, zombie = CassandraStore(cassandra, KEEP), Zombie(cassandra, KEEP)
        await told(store, *old, *new)
        rows = await store.rows("ben")
        assert [row.seq for row in rows] == [5, 3]
        for part in (old, old[1:], old + new[:3], old + new):
            await zombie.apply({0: part}, {0: part[-1].seq + 100})
            zombie._positions.clear()
            assert rows == await store.rows("ben")

    run(story())


def test_a_position_never_goes_back(cassandra: Cassandra) -> None:
    """
    A late worker does not take the position back to where it stands itself.
    """

    async def story() -> None:
        store, zombie = CassandraStore(cassandra), Zombie(cassandra)
        await told(store, notice(1, ["ben"]), notice(2, ["ben"]))
        await told(zombie, notice(1, ["ben"]))
        assert await store.positions() == {0: 2}

    run(story())


def test_an_overtaken_retraction(cassandra: Cassandra) -> None:
    """
    What was taken back stays so when the notice itself arrives after the retraction.
    """

    async def story() -> None:
        store, zombie = CassandraStore(cassandra), Zombie(cassandra)
        await told(store, retraction(2, ["ben"], 1), notice(3, ["ben"]))
        await told(zombie, notice(1, ["ben"]))
        assert await seqs(store, "ben") == [3]

    run(story())


def test_a_batch_applied_again_trims_no_more(cassandra: Cassandra) -> None:
    """
    A batch with a retraction, applied but for its position and then again, leaves what it left the first time.
    """

    async def story() -> None:
        batch = [notice(3, ["ben"]), retraction(4, ["ben"], 3), notice(5, ["ben"])]
        store = CassandraStore(cassandra, 2)
        await told(store, notice(1, ["ben"]), notice(2, ["ben"]))
        await told(store, *batch)
        assert await seqs(store, "ben") == [5, 2]
        again = CassandraStore(cassandra, 2)
        again._positions[0] = 2
        await told(again, *batch)
        assert await seqs(store, "ben") == [5, 2]

    run(story())


def test_an_inbox_is_trimmed_without_a_delete_for_each_row(cassandra: Cassandra) -> None:
    """
    What is stored of an inbox never exceeds twice what it keeps, and one range delete drops `keep` rows.
    """

    async def story() -> None:
        store = CassandraStore(cassandra, KEEP)
        for seq in range(1, 60, 4):
            await told(store, *[notice(one, ["ben"]) for one in range(seq, seq + 4)])
            rows = await cassandra.execute("SELECT seq FROM inbox WHERE bucket = ? AND user = ?", _at("ben"))
            assert len(rows) <= 2 * KEEP
        assert await seqs(store, "ben") == [60, 59, 58, 57, 56]

    run(story())


def test_inboxes_are_trimmed_however_many_people_there_are(
    cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where a partition has more people than its writer can count for, and nobody gets `keep` rows until all are
    forgotten, or until the writer is replaced, what is stored stays near twice what is kept.
    """
    monkeypatch.setattr(cassandra_writer, "PEOPLE_MAX", 10)
    people, rounds = [f"person{number}" for number in range(40)], 80

    async def story() -> None:
        store = CassandraStore(cassandra, KEEP)
        for turn in range(rounds):
            await told(store, *[notice(40 * turn + n + 1, [user]) for n, user in enumerate(people)])
            if turn % 4 == 3:
                store = CassandraStore(cassandra, KEEP)
        stored = await cassandra.execute_plain(f"SELECT user FROM {cassandra.config.keyspace}.inbox")
        assert len(stored) <= 3 * KEEP * len(people)
        for number, user in enumerate(people):
            newest = [40 * turn + number + 1 for turn in range(rounds - 1, rounds - 1 - KEEP, -1)]
            assert await seqs(store, user) == newest

    run(story())


def _at(user: str) -> tuple[int, str]:
    return tables.bucket_of(user), user


def test_a_page_is_three_requests(cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However far apart the notices are that an inbox shows, and whoever did what they tell of, its rows are one request,
    what 50 of them show is another, and the profiles of 50 people a third.
    """
    asked: list[str] = []
    execute = cassandra.execute

    async def counted(cql: str, values: Sequence[Any] = ()) -> Rows:
        asked.append(cql)
        return await execute(cql, values)

    async def story() -> None:
        actors = [f"actor{number}" for number in range(51)]
        records: list[Told] = []
        for number, actor in enumerate(actors):
            records += [
                wish(200 * number + 1, "profile", actor, name=actor),
                notice(200 * number + 2, ["ben"], actor=actor),
            ]
        await told(CassandraStore(cassandra), *records)
        monkeypatch.setattr(cassandra, "execute", counted)

        for shown, requests in ((50, 3), (51, 5)):
            store = CassandraStore(cassandra)
            asked.clear()
            names = [row.body for row in (await store.rows("ben"))[:shown]]
            bodies = await store.bodies("ben", names)
            profiles = await store.profiles(actors[:shown])
            assert len(asked) == requests, asked
            assert [bodies[name].actors[0] for name in names] == actors[::-1][:shown]
            assert [profiles[actor].name for actor in actors[:shown]] == actors[:shown]

    run(story())


def test_marks_on_everything_are_settled(cassandra: Cassandra) -> None:
    """
    Marks on all rows up to ever lower places do not pile up, and settling them changes no row.
    """

    async def story() -> None:
        store, plain = CassandraStore(cassandra), MemoryStore()
        records: list[Told] = [notice(seq, ["ben"]) for seq in range(1, 101)]
        records += [
            mark(101 + turn, "ben", ("read", "unread", "archive")[turn % 3], up_to=100 - turn)
            for turn in range(99)
        ]
        for record in records:
            await told(plain, record)
        await told(store, *records)
        rows = await cassandra.execute("SELECT what FROM inbox WHERE bucket = ? AND user = ?", _at("ben"))
        assert sum(what != tables.ROW for (what,) in rows) <= 3 * MARKS_MAX
        assert [(row.seq, row.flags) for row in await plain.rows("ben")] == [
            (row.seq, row.flags) for row in await store.rows("ben")
        ]

    run(story())


def test_flags_live_as_long_as_their_row(cassandra: Cassandra) -> None:
    """
    Where an inbox has an age, rows, bodies and marks are given a time to live, marks no shorter one than their rows.
    """

    async def story() -> None:
        store = CassandraStore(cassandra, KEEP, keep_age_ms=86_400_000)
        await told(store, notice(1, ["ben"]), mark(2, "ben", "read", 1))
        ((shown, read),) = await cassandra.execute(
            "SELECT ttl(shown), ttl(read) FROM inbox WHERE bucket = ? AND user = ?", _at("ben")
        )
        assert 86_400 < shown <= read <= 90_000
        ((body,),) = await cassandra.execute("SELECT ttl(body) FROM bodies")
        assert body > shown

    run(story())


def test_a_missing_schema_is_said(servers: Cluster) -> None:
    """
    A store without tables says how to make them, and makes none by itself.
    """
    connection = keyspaces.shared(servers)

    async def story() -> None:
        store = CassandraStore(connection)
        await store.check("log")
        await connection.execute("INSERT INTO schema_files (name, number) VALUES ('fanbell', 9999)")
        try:
            with pytest.raises(StoreFailed, match="newer version"):
                await store.check("log")
        finally:
            await connection.execute("DELETE FROM schema_files WHERE name = 'fanbell' AND number = 9999")
        await connection.execute("DELETE FROM schema_files WHERE name = 'fanbell' AND number = 1")
        try:
            with pytest.raises(StoreFailed, match="fanbell store apply"):
                await store.check("log")
        finally:
            await connection.execute(
                "INSERT INTO schema_files (name, number, file) VALUES ('fanbell', 1, '0001_inboxes.cql')"
            )

    run(story())


def test_tables_are_compacted_as_said(servers: Cluster) -> None:
    """
    What people have, and snapshots, is compacted by the unified strategy, as the server itself says.
    """
    connection = keyspaces.shared(servers)
    rows = run(
        connection.execute_plain(
            "SELECT table_name, compaction FROM system_schema.tables "
            f"WHERE keyspace_name = '{connection.config.keyspace}'"
        )
    )
    found = {table: dict(options)["class"].rpartition(".")[2] for table, options in rows}
    assert {name: found[name] for name in keyspaces.TABLES} == dict.fromkeys(
        keyspaces.TABLES, "UnifiedCompactionStrategy"
    )
    assert set(found) == {*keyspaces.TABLES, "schema_files"}


def test_a_keyspace_is_of_one_log(cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The log whose worker comes first is the one whose inboxes a keyspace holds, whoever looks at it before; another one
    is refused by writers and readers alike, with what to do, also where two come at once. Those who come later need
    no transaction.
    """

    async def story() -> None:
        first, second = CassandraStore(cassandra), CassandraStore(cassandra)
        await second.check("b")
        claims = await asyncio.gather(first.claim("a"), second.claim("b"), return_exceptions=True)
        (refused,) = [one for one in claims if one is not None]
        mine, other = ("b", "a") if claims[0] is refused else ("a", "b")
        assert isinstance(refused, Discontinued)
        assert "fanbell store apply" in str(refused)
        monkeypatch.setattr(tables, "CLAIM", "INSERT INTO nowhere (nothing) VALUES (?)")
        for _ in range(2):
            await second.claim(mine)
            await second.check(mine)
            for look in (first.check, first.claim):
                with pytest.raises(Discontinued, match=f"inboxes of the log {mine}.*not of {other}"):
                    await look(other)

    run(story())


def of_user(row: Row, mine: Row, marks: Sequence[Mark]) -> bool:
    """Whether `mine` says what `row` says; a mark that covers the row may have raised `changed_seq`."""
    raised = {row.changed_seq} | {
        mark.seq
        for mark in marks
        if mark.seq > row.changed_seq
        and (row.seq in mark.row_seqs if mark.up_to is None else row.seq <= mark.up_to)
    }
    same = [
        getattr(row, name) == getattr(mine, name) for name in Row.__struct_fields__ if name != "changed_seq"
    ]
    return all(same) and mine.changed_seq in raised


async def check_same(plain: Store, store: Store, history: Sequence[Told], people: Sequence[str]) -> None:
    """Both show the same to `people`."""

    async def check(user: str) -> None:
        rows, mine = await plain.rows(user), await store.rows(user)
        marks = [record for record in history if isinstance(record, Mark) and record.user == user]
        assert [row.seq for row in rows] == [row.seq for row in mine]
        for one, other in zip(rows, mine, strict=True):
            assert of_user(one, other, marks), (one, other)
        names = [row.body for row in rows]
        bodies = await plain.bodies(user, names)
        assert bodies == await store.bodies(user, names)
        ids = [body.id for body in bodies.values()]
        assert await plain.seqs_of(user, ids) == await store.seqs_of(user, ids)
        for what in ("follows", "mutes", "blocks"):
            assert await plain.listed(user, what, None, 99) == await store.listed(user, what, None, 99)
        assert await plain.preferences(user) == await store.preferences(user)

    await asyncio.gather(*map(check, people))
    assert await plain.profiles(people) == await store.profiles(people)


class Dying:
    """A connection that fails after so many batches, as if the process had died there."""

    def __init__(self, cassandra: Cassandra, batches: int) -> None:
        self._cassandra, self._left = cassandra, batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cassandra, name)

    async def execute_packed(self, batch: PackedBatch) -> None:
        if self._left == 0:
            raise CassandraFailed("the end of this process")
        self._left -= 1
        await self._cassandra.execute_packed(batch)


# The driver's own threads draw from `random` too, now and then while a strategy does.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@settings(
    max_examples=20, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    history=histories(),
    cuts=st.lists(st.integers(0, 60)),
    keep=st.sampled_from((1, 2, KEEP)),
    batch_rows=st.sampled_from((1, 3, 250)),
    dies=st.lists(st.integers(0, 12), max_size=3),
    late=st.integers(0, 60),
)
def test_it_shows_what_memory_shows(
    history: list[Told],
    cuts: list[int],
    keep: int,
    batch_rows: int,
    dies: list[int],
    late: int,
    servers: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Whatever a partition carries, however it is cut, wherever the writer dies, and whatever a zombie applies afterwards,
    the store shows what the plain one shows.
    """
    monkeypatch.setattr("fanbell.projections.cassandra_gathered.BATCH_ROWS", batch_rows)
    monkeypatch.setattr(cassandra_writer, "MARKS_MAX", 2)
    cassandra, salt = keyspaces.shared(servers), secrets.token_hex(4)
    partition = int(salt, 16) & 0x7FFFFFFF
    history = for_others(history, salt)
    people = [salted(name, salt) for name in NAMES]

    async def story() -> None:
        plain, store = MemoryStore(keep), CassandraStore(cassandra, keep)
        deaths = iter(dies)
        bounds = [0, *sorted({cut for cut in cuts if cut < len(history)}), len(history)]
        for first, end in pairwise(bounds):
            if first == end:
                continue
            part = history[first:end]
            await told(plain, *part, partition=partition)
            for batches in deaths:
                dying = CassandraStore(Dying(cassandra, batches), keep)  # type: ignore[arg-type]
                try:
                    await told(dying, *part, partition=partition)
                except StoreFailed:
                    store = CassandraStore(cassandra, keep)  # a new owner
                break
            await told(store, *part, partition=partition)
        await check_same(plain, store, history, people)
        if history[:late]:
            zombie = CassandraStore(cassandra, keep)
            zombie._positions[partition] = -1
            await told(zombie, *history[:late], partition=partition)
            await check_same(plain, store, history, people)

    run(story())
