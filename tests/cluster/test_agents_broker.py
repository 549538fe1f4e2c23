"""The only broker goes away under a worker, and comes back."""

import asyncio
import signal
from pathlib import Path
from random import Random
from typing import Final

import pytest

from fanbell.infra.local import cluster, kafka
from fanbell.infra.local.process import Node, free_ports
from fanbell.streams.agents import fan_out, route
from fanbell.streams.agents.shard import Pace
from fanbell.streams.agents.worker import Membership, Worker
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.snapshots_memory import MemorySnapshots
from fanbell.streams.topics_kafka import Wanted, apply
from tests.cluster import town
from tests.cluster.kafka import config_of
from tests.cluster.servers import needed
from tests.cluster.worker_process import SESSION_S, until

pytestmark = pytest.mark.cluster

AWAY_S: Final = SESSION_S + 4  # beyond the session: the worker must join anew
END_S: Final = 60.0


def test_a_worker_outlives_its_broker(tmp_path: Path) -> None:
    """
    While the only broker is away a worker waits; once it is back, everything is told, once and in order.
    """
    needed()
    (port, controller) = free_ports(2)
    (broker,) = kafka.start_brokers(tmp_path / "kafka", [(port, controller)])
    try:
        cluster.wait(broker, kafka.answers, kafka.START_S)
        asyncio.run(scenario(broker, tmp_path / "faust"))
    finally:
        broker.end()


async def scenario(broker: Node, folder: Path) -> None:
    random = Random(7)
    follows, doings = town.follows(random), town.doings(random, 400)
    config = config_of(broker.port, request_timeout_ms=3_000)
    await apply(config, Wanted(partitions=2, replication_factor=1))
    log = await KafkaLog.open(config)
    await town.put_rules(log)
    await town.follow(log, follows)
    stages = [agent.stage(log, MemorySnapshots(), Pace()) for agent in (route, fan_out)]
    worker = Worker(config, stages, Membership(session_timeout_s=SESSION_S, data=str(folder)))
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.ready or running.done(), END_S, "the worker is ready")
    await town.publish(log, doings[:300])
    broker.end(by=signal.SIGKILL)  # with what was published half done
    await asyncio.sleep(AWAY_S)  # how long it is away is the point
    assert not running.done(), "it waits"
    rebalances = worker.rebalances
    again = await asyncio.to_thread(cluster.restart, broker)
    try:
        after = await KafkaLog.open(config)
        await town.publish(after, doings[300:])
        wanted = town.expected(follows, doings)
        assert await town.until_heard(after, wanted, END_S) == wanted
        await until(
            lambda: worker.rebalances > rebalances or running.done(), END_S, "it is in its group again"
        )
        worker.stop()
        await asyncio.wait_for(running, END_S)
        await after.close()
        await log.close()
    finally:
        again.end()
