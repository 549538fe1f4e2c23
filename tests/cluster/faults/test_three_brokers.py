"""One of three brokers is killed under load: it goes on. Brokers of their own."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fanbell.infra.local import kafka
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.local.process import free_ports, wait
from tests.cluster.faults.scene import scene, until_now

pytestmark = [pytest.mark.cluster, pytest.mark.long]

MORE = 100  # acknowledged after one of them was killed


@pytest.fixture
def three(servers: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """Three brokers, and the Cassandra that all tests share."""
    ports = free_ports(6)
    pairs = list(zip(ports[::2], ports[1::2], strict=True))
    brokers = kafka.start_brokers(tmp_path / "kafka", pairs)
    try:
        for broker in brokers:
            wait(broker, kafka.answers, kafka.START_S)
        yield replace(servers, brokers=brokers, controllers=ports[1::2])
    finally:
        for broker in brokers:
            broker.end(by=signal.SIGKILL)


def test_one_of_three_brokers_is_killed(three: Cluster, tmp_path: Path) -> None:
    """
    With replication 3, publishing and hearing go on while one of three brokers is gone for good: 0 lost, 0 twice.
    """
    # Not by anyio: a producer that aiokafka gave up leaves callbacks that fail, which it takes for the test's own.
    asyncio.run(story(three, tmp_path))


async def story(three: Cluster, tmp_path: Path) -> None:
    async with scene(three, tmp_path, {"FANBELL_KAFKA_REPLICATION_FACTOR": "3"}) as made:
        await made.begin(workers=2, edges=1)
        async with made.load() as people:
            await until_now(lambda: len(people.acknowledged) > MORE, "people are at it")
            await asyncio.to_thread(three.brokers[0].end, by=signal.SIGKILL)
            stood = len(people.acknowledged)
            await until_now(lambda: len(people.acknowledged) > stood + MORE, "people go on")
        await made.well()
