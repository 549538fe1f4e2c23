"""The only broker is killed, and the only Cassandra is frozen and killed, under load. Servers of their own."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import httpx
import pytest

from fanbell.infra.local import cluster as local
from fanbell.infra.local.process import Node
from fanbell.projections.store import Store, StoreFailed
from tests.cluster.faults.listening import Listener
from tests.cluster.faults.people import ANSWER_S, PEOPLE, People
from tests.cluster.faults.scene import REQUEST_MS, SETTLE_S, Scene, ready, scene, until, until_now
from tests.cluster.processes import SESSION_TIMEOUT_S, NeverStarted, Process
from tests.cluster.servers import needed

pytestmark = [pytest.mark.cluster, pytest.mark.long]

BOUNDS = {
    "FANBELL_CASSANDRA_REQUEST_TIMEOUT_MS": str(REQUEST_MS),
    "FANBELL_KAFKA_REQUEST_TIMEOUT_MS": str(SESSION_TIMEOUT_S * 1_000),  # so that appends fail meanwhile
}
BROKER_AWAY_S = SESSION_TIMEOUT_S + 4  # beyond the session: workers may have to join anew
HALF_S = (
    15  # of the 30 that Cassandra is away: asleep, so that requests hang, then gone, so that they are refused
)
STARTS_MAX = 5
UNHEARD_MAX = (
    1  # a mark that was on its way is shown by a row that cannot be read: that session ends meanwhile
)
SOME = 40  # acknowledged


@pytest.fixture
def own(tmp_path: Path) -> Iterator[local.Cluster]:
    """Servers that this test may do to as it likes."""
    needed()
    made = local.up(tmp_path / "own", sync="group")
    try:
        yield made
    finally:
        for node in made.nodes:
            if node.alive:
                os.kill(node.pid, signal.SIGCONT)
            node.end(by=signal.SIGKILL)


def test_the_broker_and_cassandra_go_away(own: local.Cluster, tmp_path: Path) -> None:
    """
    The broker is killed and away beyond workers' sessions; Cassandra is frozen, then killed, and away for 30 s. Who is
    online hears live without Cassandra; an edge that is started meanwhile may refuse, and has no hole once it serves.
    """
    # Not by anyio: a producer that aiokafka gave up leaves callbacks that fail, which it takes for the test's own.
    asyncio.run(story(own, tmp_path))


async def story(own: local.Cluster, folder: Path) -> None:
    async with scene(own, folder, BOUNDS) as made:
        await made.begin(workers=2, edges=1)
        async with made.load() as people:
            await go_on(people)
            await without_the_broker(own, made, people)
            late = await without_cassandra(own, made)
            await made.listen([Listener(user, [late.told["edge"]]) for user in PEOPLE])
            await go_on(people)
        await made.well()


async def go_on(people: People) -> None:
    """Until some more is acknowledged."""
    wanted = len(people.acknowledged) + SOME
    await until_now(lambda: len(people.acknowledged) >= wanted, "people are at it")


async def without_the_broker(own: local.Cluster, made: Scene, people: People) -> None:
    (broker,) = own.brokers
    await kill(broker)
    await asyncio.sleep(BROKER_AWAY_S)  # how long it is away is the point
    await until_now(lambda: people.failures, "somebody notices")
    await bring_back(broker)
    await go_on(people)
    for worker in made.workers:
        await until(lambda worker=worker: ready(worker), "a worker is at work again")  # type: ignore[misc]
    await heard_live(made)  # so everybody is online before Cassandra goes


async def without_cassandra(own: local.Cluster, made: Scene) -> Process:
    """An edge that was started meanwhile."""
    os.kill(own.cassandra.pid, signal.SIGSTOP)
    starting = asyncio.create_task(made.start("edge", "--port", "0"))
    await during(HALF_S, heard_live(made), fails_soon(made.store))
    await kill(own.cassandra)
    await during(HALF_S, heard_live(made))
    await bring_back(own.cassandra)
    return await started(made, starting)


async def during(seconds: float, *work: Awaitable[None]) -> None:
    """Wait for all: how long it is away is the point."""
    await asyncio.gather(asyncio.sleep(seconds), *work)


async def fails_soon(store: Store) -> None:
    """A server that does not answer fails a call within about the request's time."""
    began = time.monotonic()
    with pytest.raises(StoreFailed, match="Cassandra at"):
        await store.positions()
    assert time.monotonic() - began < 6 * REQUEST_MS / 1_000


async def heard_live(made: Scene) -> None:
    """What is published now is at the sockets of all who are online."""
    by, *others = PEOPLE
    async with httpx.AsyncClient(base_url=made.api, timeout=ANSWER_S) as client:
        asked = made.people[0].publish(client, kind="mention", actor=by, object="here", mentions=others)
        said = await asyncio.wait_for(asked, SETTLE_S)

    def heard() -> bool:
        return sum(one.told(said["id"]) for one in made.listeners) >= len(others) - UNHEARD_MAX

    await until_now(heard, "it is heard live")


async def started(made: Scene, starting: "asyncio.Task[Process]") -> Process:
    """An edge that cannot read inboxes ends, having said why; whoever looks after it starts it again."""
    for left in reversed(range(STARTS_MAX)):
        try:
            return await starting
        except NeverStarted:
            if not left:
                raise
            starting = asyncio.create_task(made.start("edge", "--port", "0"))
    raise AssertionError("unreachable")


async def kill(node: Node) -> None:
    await asyncio.to_thread(node.end, by=signal.SIGKILL)


async def bring_back(node: Node) -> None:
    """On its port, with its data."""
    node.pid = (await asyncio.to_thread(local.restart, node)).pid
