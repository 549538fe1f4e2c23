"""The only broker is killed, and the only Cassandra is killed and frozen, under load. Servers of their own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fanbell.infra.local import cluster as local
from fanbell.infra.local.process import Node
from tests.cluster.faults.listening import Listener
from tests.cluster.faults.people import ANSWER_S, PEOPLE
from tests.cluster.faults.scene import Scene, scene, until_now
from tests.cluster.processes import NeverStarted
from tests.cluster.servers import needed

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

AWAY_S = 10  # of 30 that `make chaos` takes: longer than a request to Cassandra is waited for
SOME_S = 2  # of load


@pytest.fixture
def own(tmp_path: Path) -> Iterator[local.Cluster]:
    """Servers that this test may do to as it likes."""
    needed()
    folder = tmp_path / "own"
    made = local.up(folder, sync="group")
    try:
        yield made
    finally:
        for node in made.nodes:
            if node.alive:
                os.kill(node.pid, signal.SIGCONT)
            node.end(by=signal.SIGKILL)


async def kill(node: Node) -> None:
    await asyncio.to_thread(node.end, by=signal.SIGKILL)


async def bring_back(node: Node) -> None:
    """On its port, with its data."""
    node.pid = (await asyncio.to_thread(local.restart, node)).pid


async def heard_live(made: Scene, *, user: str, by: str) -> None:
    """What is published now is at `user`'s socket while Cassandra is still away."""
    listener = next(one for one in made.listeners if one.user == user)
    async with httpx.AsyncClient(base_url=made.api, timeout=ANSWER_S) as client:
        said = await made.people[0].publish(client, kind="mention", actor=by, object="here", mentions=[user])
    await until_now(lambda: listener.told(said["id"]), "it is heard live")


@asynccontextmanager
async def frozen(node: Node) -> AsyncIterator[None]:
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)


def test_the_broker_and_cassandra_go_away(own: local.Cluster, tmp_path: Path) -> None:
    """
    The broker is killed and started again; Cassandra is killed, started again, and frozen for a while. Who is online
    hears live without Cassandra; an edge that is started meanwhile may refuse, and misses nothing once it serves.
    """
    # Not by anyio: a producer that aiokafka gave up leaves callbacks that fail, which it takes for the test's own.
    asyncio.run(story(own, tmp_path))


async def story(own: local.Cluster, tmp_path: Path) -> None:
    async with scene(own, tmp_path, {"FANBELL_CASSANDRA_REQUEST_TIMEOUT_MS": "3000"}) as made:
        await made.begin(workers=2, edges=1)
        (broker,) = own.brokers

        async with made.load() as people:
            await until_now(lambda: len(people.acknowledged) > 100, "people are at it")
            await kill(broker)
            await until_now(lambda: people.failures, "somebody notices")
            await bring_back(broker)
            stood = len(people.acknowledged)
            await until_now(lambda: len(people.acknowledged) > stood + 40, "people are at it again")
        await made.well()

        async with made.load(2) as people:
            await kill(own.cassandra)
            await heard_live(made, user="person1", by="person2")
            await bring_back(own.cassandra)
            stood = len(people.acknowledged)
            await until_now(lambda: len(people.acknowledged) > stood + 40, "people are at it again")
        await made.well()

        async with made.load(3):
            async with frozen(own.cassandra):
                starting = asyncio.create_task(made.start("edge", "--port", "0"))
                await asyncio.sleep(AWAY_S)  # how long it is away is the point
                await heard_live(made, user="person3", by="person4")
            late = await started(made, starting)
            fresh = [Listener(user, [late]) for user in PEOPLE]
            tasks = [asyncio.create_task(one.run()) for one in fresh]
            made.listeners += fresh
            await until_now(lambda: all(one.sessions for one in fresh), "the new edge serves")
            await asyncio.sleep(SOME_S)
        try:
            await made.well()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def started(made: Scene, starting: "asyncio.Task[object]") -> str:
    """Where an edge is that was started while it could not read inboxes; whoever looks after it starts it again."""
    try:
        edge = await starting
    except NeverStarted:  # it ended, having said why
        edge = await made.start("edge", "--port", "0")
    return str(edge.told["edge"])  # type: ignore[attr-defined]
