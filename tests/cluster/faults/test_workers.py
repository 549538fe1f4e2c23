"""Workers and edges are killed, frozen, added and stopped under load: nobody notices."""

import asyncio
from pathlib import Path

import pytest

from fanbell.infra.local.cluster import Cluster
from tests.cluster.faults.scene import Scene, freeze, held, ready, scene, thaw, until, until_now
from tests.cluster.processes import SESSION_TIMEOUT_S

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.anyio]

KILLS = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def kill_one_after_the_other(made: Scene, times: int) -> None:
    """Each time one of two workers, when the other one has its share and both are at work."""
    for _ in range(times):
        await made.kill_worker(made.workers[0])
        await made.add_worker()
        await until(lambda: ready(made.workers[-1]), "the new worker has its share")


async def test_workers_are_killed_added_and_stopped(servers: Cluster, tmp_path: Path) -> None:
    """
    Ten times one of two workers is killed, then some are added and stopped: 0 lost, twice, unwanted, out of order.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=2)
        async with made.load():
            await kill_one_after_the_other(made, KILLS)
        await made.well()
        async with made.load(2):
            await asyncio.gather(made.add_worker(), made.add_worker())
            codes = [await made.stop_worker(made.workers[0]) for _ in range(3)]
            assert codes == [0, 0, 0]
        await made.well()


async def test_a_frozen_worker_and_a_killed_edge(servers: Cluster, tmp_path: Path) -> None:
    """
    What a worker was frozen at is written by another one; what it writes when it wakes shows nowhere. Who listened at
    an edge that was killed goes on at another one.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=2, edges=2)
        zombie = made.workers[0]
        async with made.load():
            its = await held(zombie, "fan_out")
            assert its
            freeze(zombie)
            await asyncio.sleep(1)  # what it had sent lands
            stood = await made.ends()

            async def written() -> bool:
                ends = await made.ends()
                return all(ends[number] > stood[number] for number in its)

            await until(written, "another worker writes its partitions", SESSION_TIMEOUT_S + 30)
            thaw(zombie)
            await until(lambda: ready(zombie), "it has a share again")
        await made.well()
        async with made.load(2):
            first = made.edges[0]
            sessions = sum(one.sessions for one in made.listeners)
            await made.kill_edge(first)
            await until_now(lambda: sum(one.sessions for one in made.listeners) > sessions, "they came back")
            await asyncio.sleep(1)  # some are told live there
        await made.well()
