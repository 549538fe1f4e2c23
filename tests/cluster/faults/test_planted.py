"""The checker finds planted bugs through the real pipe: processes, Kafka, Cassandra, sockets."""

from pathlib import Path

import pytest

from fanbell.infra.local.cluster import Cluster
from tests.cluster.faults.scene import scene, until_now
from tests.simulation.wrong import Wrong

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

QUIET_S = 9.0  # a group tells what it holds back after 5 s, a tick later
FRAMES_S = 5.0  # frames are a moment behind rows; what is not in the log then never comes


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def said(found: list[Wrong], what: str, words: str) -> bool:
    return any(one.what == what and words in one.detail for one in found)


@pytest.mark.parametrize(
    ("variant", "what", "words"),
    [
        ("commits-first", "lost", "('route'"),
        ("position-before-rows", "lost", "has no row"),
    ],
)
async def test_a_worker_that_dies_at_the_wrong_time(
    servers: Cluster, tmp_path: Path, variant: str, what: str, words: str
) -> None:
    """
    What counts as done before it is, and then never is, because the worker is killed, is found to be lost.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=1, edges=0, variant=variant)
        (worker,) = made.workers
        async with made.load():
            await until_now(lambda: worker.process.poll() is not None, "it dies")
        await made.add_worker()

        assert said(await made.checked(QUIET_S, within_s=0.0), what, words)


@pytest.mark.parametrize("variant", ["skips-batches", "goes-on-after-a-failed-append"])
async def test_a_worker_that_leaves_something_out(servers: Cluster, tmp_path: Path, variant: str) -> None:
    """
    Batches that are skipped, and appends that failed and were not tried again, are found to be lost.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=1, edges=0, variant=variant)
        async with made.load() as people:
            await until_now(lambda: len(people.acknowledged) > 150, "people are at it")

        assert said(await made.checked(QUIET_S, within_s=0.0), "lost", "('route'")


async def test_an_edge_that_forgets_who_was_away(servers: Cluster, tmp_path: Path) -> None:
    """
    What was not told at a socket that was lost for a moment is found to be lost, and inboxes are right all the same.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=1, edges=1)
        await made.add_edge("forgets-who-was-away")
        async with made.load() as people:
            await until_now(lambda: len(people.acknowledged) > 50, "people are at it")
            sessions = sum(one.sessions for one in made.listeners)
            await made.kill_edge(made.edges[0])
            wanted = sessions + len(made.listeners)
            await until_now(lambda: sum(one.sessions for one in made.listeners) >= wanted, "all came back")

        found = await made.checked(QUIET_S, FRAMES_S)
        assert said(found, "lost", "client has no")
        assert all("client" in one.detail or "was told" in one.detail for one in found)
