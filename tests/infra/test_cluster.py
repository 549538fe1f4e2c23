"""`infra/cluster.py`: what the API and the edge work with in a cluster, over a log and a store in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from inspect import isawaitable
from typing import Any

import pytest

from fanbell.edge import hub as hub_module
from fanbell.edge.backend import Conflict, Trace, Unavailable
from fanbell.edge.hub import Hub
from fanbell.edge.presence import RESTATED_MS, Here
from fanbell.edge.tickets import MemoryTickets
from fanbell.infra import cluster as module
from fanbell.infra import heard_presence
from fanbell.infra.cluster import Clustered, Discontinued
from fanbell.infra.settings import Settings
from fanbell.projections.inbox import Inbox
from fanbell.schemas.codec import encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Notice, Presence, Present, Told
from fanbell.schemas.topics import ACTIVITIES, CHANGES, NOTICES, PRESENCE, ROUTED
from fanbell.streams.core.kinds import BadRules, default_source
from fanbell.streams.log import Entry
from tests.infra.memory_cluster import PARTITIONS, MemoryCluster

pytestmark = pytest.mark.anyio
SOON_S = 5.0
JOB = '\n[kinds.job]\ncreates = true\naudience = [{ to = "followers_of_scope", reason = "post" }]\n'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryCluster]:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(module, "MEASURE_EVERY_S", 0.01)
    monkeypatch.setattr(module, "ASK_DONE_EVERY_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(heard_presence, "RETRY_S", 0.01)
    async with MemoryCluster() as made:
        yield made


def post(id_: str, actor: str = "ana") -> Activity:
    return Activity(id_, "post", actor, f"post-{id_}")


def follow(user: str, other: str = "ana") -> Change:
    return Change(f"{user}-{other}", "follow", user, object=other)


async def shown(backend: Clustered, user: str) -> list[str]:
    """Ids in the user's inbox, oldest first, as this process tells them."""
    rows = await backend.store.rows(user)
    bodies = await backend.store.bodies(user, [row.body for row in rows])
    return [bodies[row.body].id for row in reversed(rows)]


async def until(holds: Callable[[], Any]) -> None:
    """Ask again and again until it holds; what it returns may be awaited."""
    async with asyncio.timeout(SOON_S):
        while not (await found if isawaitable(found := holds()) else found):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def sees(backend: Clustered, user: str, ids: Sequence[str]) -> None:
    """The user's inbox comes to hold that."""

    async def holds() -> bool:
        return await shown(backend, user) == ids

    await until(holds)


async def test_what_is_published_reaches_inboxes(cluster: MemoryCluster) -> None:
    """A follow that was acknowledged is in force for what is published after it."""
    await cluster.backend.change([follow("ben")])
    assert await cluster.backend.publish([post("a1"), post("a2")]) == ["accepted", "accepted"]
    await cluster.workers.fold()
    await sees(cluster.backend, "ben", ["a1", "a2"])
    await cluster.workers.project()

    assert [row.seq for row in await cluster.store.rows("ben")] == [
        row.seq for row in await cluster.backend.store.rows("ben")
    ]
    assert await cluster.backend.trace("a1") == Trace("a1", "routed", heard=1, stored=True)


async def test_it_is_told_and_shown_before_it_is_projected(cluster: MemoryCluster) -> None:
    """While the store is away people hear live, and a process started meanwhile shows no hole."""
    told: list[Told] = []
    cluster.backend.listen(lambda _, records: told.extend(record for _, record in records))
    await cluster.backend.change([follow("ben")])
    await cluster.backend.publish([post("a1")])
    await cluster.workers.fold()
    await cluster.workers.project()
    cluster.store.away = True
    await cluster.backend.publish([post("a2")])
    await cluster.workers.fold()
    await sees(cluster.backend, "ben", ["a1", "a2"])
    assert len([record for record in told if isinstance(record, Notice) and "ben" in record.recipients]) == 2
    assert cluster.backend.ready() == (True, "")

    cluster.store.away = False
    late = await cluster.another()

    assert await shown(late, "ben") == ["a1", "a2"]
    assert [row.seq for row in await cluster.store.rows("ben")] != [
        row.seq for row in await late.store.rows("ben")
    ]


async def test_others_get_their_turn_while_much_is_heard(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of `notices` comes at once, it is heard in slices, and a request is answered in between."""
    monkeypatch.setattr(module, "HEAR_BYTES", 1)
    turns = [0]
    heard_at: list[int] = []

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    await cluster.backend.change([follow("ben")])
    cluster.backend.listen(lambda *_: heard_at.append(turns[0]))
    task = asyncio.create_task(others())
    await cluster.backend.publish([post(f"a{number}") for number in range(20)])
    await cluster.workers.fold()

    async def all_heard() -> bool:
        return len(await shown(cluster.backend, "ben")) == 20

    await until(all_heard)
    task.cancel()

    assert len(heard_at) == len(set(heard_at)) >= 20


async def test_an_id_is_used_once(cluster: MemoryCluster) -> None:
    """The same again is a duplicate, another body a conflict, and neither enters the log."""
    await cluster.backend.publish([post("a1")])
    ends = [await cluster.log.end(ACTIVITIES, p) for p in range(PARTITIONS)]

    assert await cluster.backend.publish([post("a1")]) == ["duplicate"]
    with pytest.raises(Conflict) as raised:
        await cluster.backend.publish([post("a0"), post("a1", "dan")])

    assert raised.value.items == [(1, "a1")]
    assert [await cluster.log.end(ACTIVITIES, p) for p in range(PARTITIONS)] == ends


async def test_published_at_once_by_two_it_is_there_once(cluster: MemoryCluster) -> None:
    """Of two requests with one id, one is accepted, and the other is answered once the first is durable."""
    answers = await asyncio.gather(*(cluster.backend.publish([post("a1")]) for _ in range(2)))

    assert sorted(answers) == [["accepted"], ["duplicate"]]
    assert sum([await cluster.log.end(ACTIVITIES, p) for p in range(PARTITIONS)]) == PARTITIONS + 1


async def test_published_through_two_processes_it_is_told_once(cluster: MemoryCluster) -> None:
    """What another process accepted too is dropped by the fold."""
    other = await cluster.another()
    await cluster.backend.change([follow("ben")])
    for backend in (cluster.backend, other):
        assert await backend.publish([post("a1")]) == ["accepted"]

    await cluster.workers.fold()

    await sees(other, "ben", ["a1"])
    assert await shown(other, "ben") == ["a1"]


async def test_changes_of_the_graph_take_the_short_way(cluster: MemoryCluster) -> None:
    """A follow published as an activity goes to `routed`, to both people's partitions; `activities` gets nothing."""
    before = [await cluster.log.end(ACTIVITIES, p) for p in range(PARTITIONS)]
    await cluster.backend.publish([Activity("f1", "follow", "ben", "ana"), post("a1")])
    await cluster.workers.fold()

    await sees(cluster.backend, "ben", ["a1"])
    assert len(await shown(cluster.backend, "ana")) == 1
    assert sum([await cluster.log.end(ACTIVITIES, p) for p in range(PARTITIONS)]) == sum(before) + 1


async def test_a_change_settles_once_it_is_heard(cluster: MemoryCluster) -> None:
    """Whoever changes something reads it back once the workers have taken it, and is told if they have not."""
    await cluster.backend.change([follow("ben")])
    assert not await cluster.backend.settle(0.02)

    await cluster.workers.fold()

    assert await cluster.backend.settle(SOON_S)
    assert await cluster.backend.store.listed("ben", "follows", None, 10) == ["ana"]


async def test_a_change_that_changes_nothing_settles_once_it_is_done(cluster: MemoryCluster) -> None:
    """Following again is answered once the workers have taken it, though nothing is ever heard of it."""
    await cluster.backend.change([follow("ben")])
    await cluster.workers.fold()
    again = await cluster.backend.change([follow("ben")])
    ends = [await cluster.log.end(NOTICES, p) for p in range(PARTITIONS)]
    assert not await cluster.backend.settle(0.05, again)

    await cluster.workers.fold()

    assert [await cluster.log.end(NOTICES, p) for p in range(PARTITIONS)] == ends
    assert await cluster.backend.settle(SOON_S, again)
    assert not cluster.backend._awaited


async def test_what_is_done_with_is_shown_only_once_it_is_heard(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the workers are done with a change is not enough where this process does not hear what came of it yet."""
    deaf = Clustered(Settings(), cluster.log, cluster.store, MemoryTickets())
    monkeypatch.setattr(deaf, "_hear", lambda *_: None)
    await deaf.start()
    cluster.backends.append(deaf)
    places = await deaf.change([follow("ben")])
    await cluster.workers.fold()

    assert not await deaf.settle(0.1, places)


async def test_a_change_waits_for_no_other(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else changed, and nothing is heard of, holds up nobody's answer."""
    monkeypatch.setattr(module, "ASK_DONE_EVERY_S", 3_600)
    mine, other = (next(name for name in "abcdef" if partition_of(name, PARTITIONS) == p) for p in (0, 1))
    mute = Change("m1", "mute", mine, object="x", aspect="author")
    backend = await cluster.another()
    await backend.change([Change("m2", "unmute", other, object="x", aspect="author")])
    places = await backend.change([mute])
    await cluster.workers.fold()

    assert await backend.settle(SOON_S, places)
    assert not await backend.settle(0.02)


async def test_a_log_that_is_away_is_said_and_over_when_it_is_back(cluster: MemoryCluster) -> None:
    """Publishing is refused with why; once the log answers, it goes on by itself and nothing is missing."""
    await cluster.backend.change([follow("ben")])
    cluster.log.away = True
    await until(lambda: not cluster.backend.ready()[0])
    with pytest.raises(Unavailable, match="the log is away"):
        await cluster.backend.publish([post("a1")])

    cluster.log.away = False
    await until(lambda: cluster.backend.ready()[0])

    assert await cluster.backend.publish([post("a1")]) == ["accepted"]
    await cluster.workers.fold()
    await sees(cluster.backend, "ben", ["a1"])


async def test_a_partition_that_cannot_be_measured_troubles_no_other(cluster: MemoryCluster) -> None:
    """Where one partition has no leader, publishing to the others goes on, and how far they are is still known."""
    await cluster.backend.publish([post("a1")])
    cluster.log.unled = {(ROUTED, 0), (NOTICES, 0), (ACTIVITIES, 1 - partition_of("post-a2", PARTITIONS))}
    await until(lambda: len(cluster.backend._lag.unmeasured) == 3)

    assert cluster.backend.ready() == (True, "")
    await cluster.backend.publish([post("a2")])
    lag: Any = cluster.backend.stats()["lag"]
    before = lag[ACTIVITIES][partition_of("post-a2", PARTITIONS)]
    await until(lambda: lag[ACTIVITIES][partition_of("post-a2", PARTITIONS)] != before)

    cluster.log.unled = set()
    await until(lambda: not cluster.backend._lag.unmeasured)


async def test_far_behind_is_not_ready_and_says_where(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a partition of `notices` is not heard by more than the setting allows, the process says which."""
    await cluster.backend.change([follow("ben")])
    await cluster.backend.publish([post(f"a{number}") for number in range(3)])
    await cluster.workers.fold()
    await until(lambda: cluster.backend.ready() == (True, ""))
    settings = Settings(inbox_keep=1_000, ready_lag_max=1)
    late = Clustered(settings, cluster.log, cluster.store, MemoryTickets())
    monkeypatch.setattr(late, "_hear", lambda *_: None)  # what comes is read, and not taken
    await late.start()
    try:
        await until(lambda: not late.ready()[0])
        said = late.ready()
    finally:
        await late.stop()

    partition = partition_of("ben", PARTITIONS)
    end = await cluster.log.end(NOTICES, partition)
    assert said == (False, f"{end} records of notices[{partition}] are not heard yet (at most 1)")


async def test_what_failed_to_be_appended_may_be_published_again(cluster: MemoryCluster) -> None:
    """An id whose append failed is not used up."""
    cluster.log.away = True
    with pytest.raises(Unavailable):
        await cluster.backend.publish([post("a1")])
    cluster.log.away = False
    await until(lambda: cluster.backend.ready()[0])

    assert await cluster.backend.publish([post("a1")]) == ["accepted"]


async def test_rules_reach_other_processes(cluster: MemoryCluster) -> None:
    """What one puts in force the others learn; a bad file changes nothing."""
    other = await cluster.another()
    source = '[kinds.job]\naudience = [{ to = "followers_of_actor", reason = "post" }]\n'
    assert await cluster.backend.apply_rules(source) == 2
    await until(lambda: other.rules.version == 2)
    assert list(other.rules.kinds) == ["job"]

    with pytest.raises(BadRules):
        await other.apply_rules("[kinds")
    assert other.rules.version == 2


async def test_dead_letters_are_listed_retried_and_dropped_by_any_process(cluster: MemoryCluster) -> None:
    """A letter that one process retried or dropped is gone for all; a repeat of a letter is none."""
    other = await cluster.another()
    bad = Activity("b1", "post", "ana", "post-b1", owner="x", mentions=["m"] * 3, data=None)
    bad.kind = "nothing"
    values = [encode(bad), b"\xc3\x01 damaged"]
    home = partition_of("post-b1", PARTITIONS)
    await cluster.log.append(ACTIVITIES, home, [Entry(value, 1) for value in values])
    await cluster.workers.fold()
    letters = await cluster.backend.dead_letters(-1, 10)
    assert [letter.dead.reason for letter in letters] == ["invalid", "undecodable"]
    repeat = encode(letters[0].dead)
    await cluster.log.append("dead", 0, [Entry(repeat, 1)])
    assert await other.dead_letters(-1, 10) == letters
    assert other.stats()["dead"] == 2

    assert await other.retry_dead([letter.offset for letter in letters]) == 1
    assert await other.drop_dead([letters[1].offset]) == 1

    assert await cluster.backend.dead_letters(-1, 10) == []
    await cluster.workers.fold()
    assert [letter.dead.reason for letter in await cluster.backend.dead_letters(-1, 10)] == ["invalid"]
    assert await cluster.backend.trace("b1") == Trace("b1", "dead", reason="invalid")


async def test_what_died_as_json_is_retried_too(cluster: MemoryCluster) -> None:
    """An activity of a kind that was not declared yet, put as JSON into any partition, is heard once retried."""
    await cluster.backend.change([Change("f", "follow", "ben", object="acme")])
    job = b'{"id": "j1", "kind": "job", "actor": "ana", "object": "job-1", "scope": "acme"}'
    await cluster.log.append(
        ACTIVITIES, 1 - partition_of("job-1", PARTITIONS), [Entry(job, 1), Entry(b"{", 1)]
    )
    await cluster.workers.fold()
    letters = await cluster.backend.dead_letters(-1, 10)
    assert sorted(letter.dead.value for letter in letters) == [b"{", job]
    await cluster.backend.apply_rules(default_source() + JOB)

    assert await cluster.backend.retry_dead([letter.offset for letter in letters]) == 1

    await cluster.workers.fold()
    await until(lambda: cluster.backend.stats()["backlog"] == 0)
    assert [letter.dead.value for letter in await cluster.backend.dead_letters(-1, 10)] == [b"{"]
    await cluster.workers.project()
    assert [row.kind for row in await cluster.store.rows("ben")] == ["job"]


async def test_what_a_registry_did_not_know_is_retried_where_it_stood(cluster: MemoryCluster) -> None:
    """A record framed for a schema registry cannot be read here: it is for the workers to try once more."""
    framed = b"\0\0\0\0\x01a"
    await cluster.log.append(ACTIVITIES, 1, [Entry(framed, 1)])
    await cluster.workers.fold()
    (letter,) = await cluster.backend.dead_letters(-1, 10)

    assert await cluster.backend.retry_dead([letter.offset]) == 1

    end = await cluster.log.end(ACTIVITIES, 1)
    assert [one.value for one in await cluster.log.read(ACTIVITIES, 1, end - 1, 1)] == [framed]
    assert await cluster.backend.dead_letters(-1, 10) == []


async def test_a_backlog_past_its_bound_is_said(cluster: MemoryCluster) -> None:
    """Publishers are asked to come back while the stages are too far behind."""
    backend = Clustered(Settings(backlog_max=3), cluster.log, cluster.store, MemoryTickets())
    await backend.start()
    cluster.backends.append(backend)
    await backend.publish([post(f"a{i}") for i in range(10)])
    await until(lambda: backend.stats()["backlog"] != 0)
    with pytest.raises(module.Busy):
        await backend.publish([post("b")])

    await cluster.workers.fold()
    await until(lambda: backend.stats()["backlog"] == 0)

    assert await backend.publish([post("b")]) == ["accepted"]


async def test_many_repeats_of_a_worker_that_was_replaced_hold_nobody_up(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More repeats in a row than are read at once are gone past, by a process that opens and by its edge."""
    monkeypatch.setattr(module, "READ_MAX", 2)
    monkeypatch.setattr(hub_module, "READ_AT_ONCE", 2)
    await cluster.backend.change([follow("ben")])
    await cluster.backend.publish([post(f"a{number}") for number in range(6)])
    await cluster.workers.fold()
    home = partition_of("ben", PARTITIONS)
    repeats = [Entry(record.value, 1) for record in await cluster.log.read(NOTICES, home, 0, 6)]
    await cluster.log.append(NOTICES, home, repeats)
    await cluster.backend.publish([post("last")])
    await cluster.workers.fold()

    async with asyncio.timeout(SOON_S):
        late = await cluster.another()
        assert (await shown(late, "ben"))[-1] == "last"
        inbox = Inbox(late.store, lambda: late.rules)
        hub = Hub(late, inbox, 1_000, None)
        await hub.open()
        await hub.close()

    assert hub.partitions[home].ring.seq == (await late.notices(home, 0, 100))[-1][1].seq


async def test_what_nobody_forwards_is_part_of_the_backlog(cluster: MemoryCluster) -> None:
    """Changes of other producers that wait in `changes` are counted, by partition, until they are forwarded."""
    await cluster.workers.fold()
    await until(lambda: cluster.backend.stats()["backlog"] == 0)
    await cluster.log.append(CHANGES, 1, [Entry(encode(follow("ben")), 1)] * 3)

    await until(lambda: cluster.backend.stats()["backlog"] == 3)

    lag: Any = cluster.backend.stats()["lag"]
    assert lag[CHANGES] == {0: 0, 1: 3}
    await cluster.log.commit("fanbell.forward", CHANGES, 1, 3)
    await until(lambda: cluster.backend.stats()["backlog"] == 0)


async def test_notices_that_were_replaced_under_the_store_are_no_start(cluster: MemoryCluster) -> None:
    """Where the log does not have what the store was brought to, a process does not start."""
    await cluster.backend.change([follow("ben")])
    await cluster.workers.fold()
    await cluster.workers.project()
    for partition in range(PARTITIONS):
        await cluster.log.trim(NOTICES, partition, 1_000)

    with pytest.raises(Discontinued, match="the store was brought so far"):
        await cluster.another()


async def test_changes_go_to_routed_alone(cluster: MemoryCluster) -> None:
    """A follow stands in the partitions of both people."""
    before = [await cluster.log.end(ROUTED, p) for p in range(PARTITIONS)]
    await cluster.backend.change([follow("ben", other) for other in ("ana", "cleo", "dan", "eva")])

    gained = [await cluster.log.end(ROUTED, p) - before[p] for p in range(PARTITIONS)]
    assert min(gained) >= 1
    assert 4 <= sum(gained) <= 8


async def test_who_is_connected_to_one_process_is_known_to_another(cluster: MemoryCluster) -> None:
    """What an edge says is heard by a process that runs, and by one that starts later; one that need not know, does
    not read it."""
    here = Present("ana", 2, 1, 60_000)
    now_ms = time.time_ns() // 1_000_000
    said = [Presence("e1", 1, 1, now_ms, 45_000, [here], []), Presence("e1", 1, 2, now_ms, 45_000, [], [])]
    partition = partition_of("ana", PARTITIONS)
    await cluster.log.append(
        PRESENCE, partition, [Entry(b"rubbish", now_ms), Entry(encode(post("a1")), now_ms)]
    )
    await cluster.backend.say_presence(partition, said)
    await until(lambda: cluster.backend.presence("ana") == Here(2, 1, 60_000))

    late = await cluster.another()

    assert late.presence("ana") == Here(2, 1, 60_000)
    assert late.presence("ben") is None
    stats: Any = late.stats()["presence"]
    assert (stats["users"], stats["edges"], stats["strange"]) == (1, 1, 2)
    deaf = Clustered(Settings(), cluster.log, cluster.store, MemoryTickets(), hears_presence=False)
    assert "presence" not in deaf.stats()
    with pytest.raises(Unavailable, match="ask an API"):
        deaf.presence("ana")


async def test_presence_of_long_ago_is_not_read(cluster: MemoryCluster) -> None:
    """A process that starts reads back so far that everybody was stated meanwhile, and no further."""
    now_ms = time.time_ns() // 1_000_000
    partition = partition_of("ana", PARTITIONS)
    for number, ago_ms in enumerate((3_600_000, 2 * RESTATED_MS - 1_000, 0), 1):
        record = Presence("e1", 1, number, now_ms - ago_ms, 45_000, [], [])
        await cluster.log.append(PRESENCE, partition, [Entry(encode(record), now_ms - ago_ms)])
    await until(lambda: cluster.backend.presence("ana") is None)

    late = await cluster.another()

    stats: Any = late.stats()["presence"]
    assert (stats["edges"], stats["holes"]) == (
        1,
        1,
    )  # of three records two were read, the second after a lease


async def test_while_the_log_is_away_presence_is_what_was_heard(cluster: MemoryCluster) -> None:
    """An edge hears that it could not speak; and what is said once the log is back arrives."""
    now_ms = time.time_ns() // 1_000_000
    first = Presence("e1", 1, 1, now_ms, 45_000, [Present("ana", 1, 1, 0)], [])
    partition = partition_of("ana", PARTITIONS)
    await cluster.backend.say_presence(partition, [first])
    await until(lambda: cluster.backend.presence("ana") is not None)
    cluster.log.away = True
    gone = Presence("e1", 1, 2, now_ms, 45_000, [], ["ana"])
    with pytest.raises(Unavailable, match="away"):
        await cluster.backend.say_presence(partition, [gone])
    assert cluster.backend.presence("ana") is not None

    cluster.log.away = False
    await cluster.backend.say_presence(partition, [gone])

    await until(lambda: cluster.backend.presence("ana") is None)
