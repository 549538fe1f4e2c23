"""Workers are killed, frozen, added and stopped under load: nobody notices."""

import asyncio
from pathlib import Path

import pytest

from fanbell.infra.local.cluster import Cluster
from tests.cluster.faults.scene import Scene, freeze, held, ready, scene, thaw, until
from tests.cluster.processes import Process

pytestmark = [pytest.mark.cluster, pytest.mark.anyio, pytest.mark.long]

KILLED = (1, 2, 1, 2, 1, 2, 1)
"""So many of two workers at a time, ten in all. Those who come get their share once the session of the dead is over."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def share(workers: list[Process]) -> None:
    """Until each has its share of the partitions, and is at work."""
    for worker in workers:
        await until(lambda worker=worker: ready(worker), "a worker has its share")  # type: ignore[misc]


async def replaced(made: Scene, count: int) -> None:
    """`count` workers are killed, at once, and as many come."""
    await asyncio.gather(*(made.kill_worker(worker) for worker in made.workers[:count]))
    await share(await asyncio.gather(*(made.add_worker() for _ in range(count))))


async def frozen_beyond_its_session(made: Scene, zombie: Process) -> None:
    """Until others have written each of its partitions; then it wakes."""
    its = await held(zombie, "fan_out")
    assert its
    freeze(zombie)
    await asyncio.sleep(1)  # what it had sent lands
    stood = await made.ends()

    async def written() -> bool:
        ends = await made.ends()
        return all(ends[number] > stood[number] for number in its)

    await until(written, "another worker writes its partitions")
    thaw(zombie)
    await share([zombie])


async def test_workers_are_killed_frozen_added_and_stopped(servers: Cluster, tmp_path: Path) -> None:
    """
    Ten times a worker is killed while two are at work; then one is frozen until another one has written its partitions,
    and wakes; then some are added, and some stopped: 0 lost, twice, unwanted, out of order.
    """
    assert sum(KILLED) == 10
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=2)
        async with made.load():
            for count in KILLED:
                await replaced(made, count)
            await frozen_beyond_its_session(made, made.workers[0])
            await share(await asyncio.gather(made.add_worker(), made.add_worker()))
            codes = [await made.stop_worker(made.workers[0]) for _ in range(3)]
            assert codes == [0, 0, 0]
        await made.well()
