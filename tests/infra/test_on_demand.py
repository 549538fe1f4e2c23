"""An edge that follows only the partitions of those who are connected to it: never a hole, never anything twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random

import pytest

from fanbell.edge import hub as hub_module
from fanbell.edge.cursor import decode_cursor, encode_cursor
from fanbell.edge.frames import Connect
from fanbell.edge.hub import Hub
from fanbell.edge.start import start
from fanbell.edge.steps import Admitted
from fanbell.infra import cluster as module
from fanbell.infra.cluster import Clustered
from fanbell.projections.inbox import Inbox
from fanbell.projections.rows import Query
from fanbell.projections.store import StoreFailed
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Change, Told
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import LogFailed
from tests.edge.test_start import Client, Wire
from tests.infra.memory_cluster import PARTITIONS, MemoryCluster, MemoryTail
from tests.infra.test_cluster import follow, post, shown, until

pytestmark = pytest.mark.anyio
USERS = ("ben", "cleo", "dan", "eva", "finn", "gina")
HERE, THERE = "ben", next(user for user in USERS if partition_of(user, 2) != partition_of("ben", 2))
HOME, AWAY = partition_of(HERE, PARTITIONS), partition_of(THERE, PARTITIONS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryCluster]:
    for name in ("LOOK_EVERY_S", "MEASURE_EVERY_S", "ASK_DONE_EVERY_S", "RETRY_S"):
        monkeypatch.setattr(module, name, 0.005)
    monkeypatch.setattr(hub_module, "IDLE_EVERY_S", 0.002)
    monkeypatch.setattr(hub_module, "RETRY_S", 0.005)
    async with MemoryCluster() as made:
        yield made


class Edge:
    """An edge of a cluster without its sockets."""

    def __init__(self, backend: Clustered) -> None:
        self.backend = backend
        self.inbox = Inbox(
            backend.store, lambda: backend.rules, lambda seq: encode_cursor(backend.epoch, seq)
        )
        backend.listen(self.inbox.told)
        self.hub = Hub(backend, self.inbox, 1_000, None)

    @property
    def follows(self) -> set[int]:
        """The partitions that are read."""
        return set(self.backend._followed)


async def edge_of(cluster: MemoryCluster) -> Edge:
    edge = Edge(await cluster.another(on_demand=True, hears_presence=False))
    await edge.hub.open()
    return edge


class Person(Client):
    """A client of any user, at a hub that follows on demand."""

    def __init__(self, hub: Hub, user: str) -> None:
        super().__init__(hub)
        self.user = user

    async def come(self) -> None:
        await self.hub.opened(self.user)
        wire = self.wire = Wire()
        wire.session.step(Connect(self.user))
        wire.feed = self.hub.join(self.user, wire)
        wire.session.step(Admitted())
        try:
            wire.do(wire.session.step(await start(self.hub, wire.feed, self.cursor, "en")))
        except (StoreFailed, LogFailed):
            self.cut(0)
            raise

    async def arrive(self) -> None:
        """Come, as often as it takes."""
        while True:
            try:
                return await self.come()
            except (StoreFailed, LogFailed):
                await asyncio.sleep(0.001)

    async def hears(self, ids: list[str]) -> None:
        """The person comes to have these rows."""

        def has() -> bool:
            self.read(1_000)
            return sorted(self.rows) == sorted(ids)

        await until(has)


async def tell(cluster: MemoryCluster, *ids: str, projected: bool = False) -> None:
    """Ana posts."""
    await cluster.backend.publish([post(id_) for id_ in ids])
    await cluster.workers.fold()
    if projected:
        await cluster.workers.project()


async def all_follow(cluster: MemoryCluster) -> None:
    await cluster.backend.change([follow(user) for user in USERS])
    await cluster.workers.fold()


async def test_only_partitions_of_those_who_are_here_are_read(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge reads a partition from its first user on, for as long as it has one, and a while longer."""
    monkeypatch.setattr(hub_module, "IDLE_S", 0.05)
    await all_follow(cluster)
    edge = await edge_of(cluster)
    assert edge.follows == set()
    assert edge.backend.ready() == (True, "")

    here, there = Person(edge.hub, HERE), Person(edge.hub, THERE)
    await here.come()
    assert edge.follows == {HOME}
    await there.come()
    assert edge.follows == {HOME, AWAY}
    await tell(cluster, "a1")
    await here.hears(["a1"])
    await there.hears(["a1"])
    here.cut(0)
    await until(lambda: edge.follows == {AWAY})
    await tell(cluster, "a2")
    await there.hears(["a1", "a2"])

    assert edge.hub.partitions[HOME].ring.seq == 0  # nothing of it is held
    await until(lambda: HOME not in edge.backend.stats()["lag"][NOTICES])  # type: ignore[index]  # once measured again
    await edge.hub.close()


@pytest.mark.parametrize("projected", [True, False])
async def test_what_came_while_nobody_was_here_is_missed_by_nobody(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, projected: bool
) -> None:
    """Who comes back after their partition was let go of gets what they missed, and who is new a page with all of
    it, whether it was projected meanwhile or not."""
    monkeypatch.setattr(hub_module, "IDLE_S", 0.0)
    await all_follow(cluster)
    edge = await edge_of(cluster)
    person, other = Person(edge.hub, HERE), Person(edge.hub, HERE)
    await tell(cluster, "a0", projected=True)
    await person.arrive()
    await tell(cluster, "a1", projected=projected)
    await person.hears(["a0", "a1"])
    person.cut(1_000)
    await until(lambda: not edge.follows)
    await tell(cluster, "a2", "a3", projected=projected)

    await asyncio.gather(person.arrive(), other.arrive())
    await person.hears(["a0", "a1", "a2", "a3"])
    await other.hears(["a0", "a1", "a2", "a3"])
    assert await shown(edge.backend, HERE) == ["a0", "a1", "a2", "a3"]
    await edge.hub.close()


async def test_a_page_is_not_of_before_the_partition_was_let_go_of(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been read of an inbox is not shown again after nobody told when it changed."""
    monkeypatch.setattr(hub_module, "IDLE_S", 0.0)
    await all_follow(cluster)
    edge = await edge_of(cluster)
    person = Person(edge.hub, HERE)
    await person.arrive()  # a page, which is kept
    person.cut(1_000)
    await until(lambda: not edge.follows)
    await tell(cluster, "a1", projected=True)
    person.cursor = None

    await person.arrive()

    await person.hears(["a1"])
    await edge.hub.close()


async def test_who_cannot_be_opened_for_is_told_and_comes_back(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away nobody new gets in where nobody was; afterwards they do, and others were not harmed."""
    await all_follow(cluster)
    edge = await edge_of(cluster)
    here, there = Person(edge.hub, HERE), Person(edge.hub, THERE)
    await here.come()
    cluster.store.away = True
    with pytest.raises(StoreFailed, match="away"):
        await there.come()
    with pytest.raises(StoreFailed, match="let go of"):
        edge.hub.join(THERE, Wire())
    await tell(cluster, "a1")
    await here.hears(["a1"])
    cluster.store.away = False

    await there.come()
    await there.hears(["a1"])
    assert not edge.backend.failed.is_set()
    await edge.hub.close()


async def test_a_partition_that_does_not_go_on_where_the_store_stands_ends_the_process(
    cluster: MemoryCluster,
) -> None:
    """What keeps a process that follows all from starting ends one that finds it later."""
    await all_follow(cluster)
    await tell(cluster, "a1", projected=True)
    edge = await edge_of(cluster)
    await cluster.log.trim(NOTICES, HOME, 1_000)

    with pytest.raises(StoreFailed, match="the store was brought so far"):
        await Person(edge.hub, HERE).come()

    assert edge.backend.failed.is_set()
    await edge.hub.close()


async def test_a_partition_followed_while_the_log_is_being_reached_is_heard(cluster: MemoryCluster) -> None:
    """Who comes while the edge connects to the log anew hears what comes then."""
    await all_follow(cluster)
    connects, connected = asyncio.Event(), asyncio.Event()
    tail = cluster.log.tail

    async def slow(topic: str, positions: Mapping[int, int]) -> MemoryTail:
        connects.set()
        await connected.wait()
        return await tail(topic, positions)

    cluster.log.tail = slow  # type: ignore[method-assign]
    edge = await edge_of(cluster)
    await connects.wait()
    person = Person(edge.hub, HERE)
    await person.come()
    connected.set()
    await tell(cluster, "a1")

    await person.hears(["a1"])
    await edge.hub.close()


async def test_let_go_of_in_the_midst_of_an_answer_of_the_log_the_rest_is_not_heard(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched of a partition before it was let go of is no trouble afterwards."""
    monkeypatch.setattr(module, "HEAR_BYTES", 1)
    await all_follow(cluster)
    edge = await edge_of(cluster)
    await edge.backend.follow(HOME)
    heard: list[int] = []

    def hear(partition: int, records: Sequence[tuple[int, Told]]) -> None:
        heard.append(partition)
        edge.backend.unfollow(HOME)

    edge.backend.listen(hear)
    await cluster.backend.publish([post(f"a{number}") for number in range(9)])
    await cluster.workers.fold()
    await until(lambda: heard)
    person = Person(edge.hub, THERE)
    await person.come()
    await person.hears([f"a{number}" for number in range(9)])

    assert heard.count(HOME) == 1
    assert not edge.backend.failed.is_set()
    await edge.hub.close()


async def test_people_of_elsewhere_are_shown_anew(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new name of somebody whose partition is not followed shows after a while."""
    monkeypatch.setattr(hub_module, "PEOPLE_EVERY_S", 0.005)
    author = next(name for name in ("ana", "olga", "pia", "quin") if partition_of(name, PARTITIONS) == AWAY)
    await cluster.backend.change(
        [follow(HERE, author), Change("n1", "profile", author, side="user", name="Old")]
    )
    await tell(cluster, projected=True)
    edge = await edge_of(cluster)
    person = Person(edge.hub, HERE)
    await person.come()

    async def text_of(id_: str) -> str:
        await cluster.backend.publish([post(id_, author)])
        await cluster.workers.fold()
        await until(lambda: (person.read(1_000), id_ in person.rows)[1])
        return str(person.rows[id_]["text"])

    assert await text_of("a1") == "Old posted"
    await cluster.backend.change([Change("n2", "profile", author, side="user", name="New")])
    await tell(cluster, projected=True)
    number = 2

    async def new() -> bool:
        nonlocal number
        number += 1
        return await text_of(f"a{number}") == "New posted"

    await until(new)
    assert edge.follows == {HOME}
    page = await edge.inbox.answer(HERE, Query(), "en")
    assert {item["text"] for item in page["items"]} == {"New posted"}
    await edge.hub.close()


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_comes_and_goes_has_everything_once(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """
    While people are told of things all the time, others come and go so that partitions are followed and let go of all
    the time, and log and store fail now and then: in the end everybody has all, once, in order.
    """
    monkeypatch.setattr(hub_module, "IDLE_S", 0.0)
    monkeypatch.setattr(
        module, "HEAR_BYTES", 1
    )  # so that much happens while an answer of the log is being heard
    random = Random(seed)
    await all_follow(cluster)
    edge = await edge_of(cluster)
    told: list[str] = []
    over = asyncio.Event()

    async def publish() -> None:
        for number in range(60):
            told.append(f"a{number}")
            await tell(cluster, told[-1], projected=random.random() < 0.3 and not cluster.store.away)
            for _ in range(random.randrange(12)):
                await asyncio.sleep(0)
            if random.random() < 0.1:
                cluster.store.away = not cluster.store.away
            if random.random() < 0.05:
                cluster.log.away = True
                await asyncio.sleep(0.01)
                cluster.log.away = False
                await until(lambda: cluster.backend.ready()[0])
        cluster.store.away = False
        over.set()

    opened: Counter[int] = Counter()

    async def live(person: Person, stays: Random) -> None:
        while not over.is_set():
            await person.arrive()
            opened[edge.hub.partition_of(person.user).index] += 1
            for _ in range(stays.randrange(30)):
                await asyncio.sleep(0)
                person.read(stays.randrange(4))
            person.cut(stays.randrange(3))
            await asyncio.sleep(stays.choice([0, 0.003, 0.01]))
        await person.arrive()
        await person.hears(told)

    people = [Person(edge.hub, user) for user in USERS]
    async with asyncio.timeout(60):
        await asyncio.gather(publish(), *(live(person, Random(f"{seed}{person.user}")) for person in people))

    assert not edge.backend.failed.is_set(), edge.backend.failure
    for person in people:
        seqs = [decode_cursor(cursor, edge.backend.epoch) for cursor in person.heard]
        assert seqs == sorted(set(seqs)), (seed, person.user)
    assert min(opened[HOME], opened[AWAY]) > 3
    await edge.hub.close()


async def test_a_process_that_follows_all_does_so_always(cluster: MemoryCluster) -> None:
    """An API follows all partitions whoever is connected, and lets go of none."""
    edge = Edge(await cluster.another())
    await edge.hub.open()
    edge.backend.unfollow(0)

    assert edge.follows == set(range(PARTITIONS))
    await edge.hub.close()
