"""Faults inside a worker that nobody can do from outside: failing appends, bad hand-overs, aborted transactions."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.codec import encode
from fanbell.schemas.parse import parse_activity
from fanbell.schemas.topics import ACTIVITIES
from fanbell.streams.kafka import connection
from tests.cluster import town
from tests.cluster.faults.people import doing
from tests.cluster.faults.scene import Scene, scene, until_now
from tests.cluster.faults.variant import STRUCK

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

FAULTS = {
    "append refused", "acknowledgement lost", "append half done", "append cut off",
    "batch skipped", "record skipped", "batch twice", "old batch again",
}  # fmt: skip
ABORTED = 10  # transactions
SOME_S = 0.3  # of load between two of them


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def faults(folder: Path) -> Counter[str]:
    """How often each fault has struck, as the processes said."""
    lines = [line for log in folder.glob("*.log") for line in log.read_bytes().splitlines()]
    told = [msgspec.json.decode(line) for line in lines if line.startswith(b"{") and STRUCK.encode() in line]
    return Counter(one["fault"] for one in told)


async def abort(made: Scene) -> None:
    """A producer puts activities into the log, and takes them back."""
    config = made.log._config
    random = Random(3)
    producer = AIOKafkaProducer(**connection(config), transactional_id=config.topic("aborting"), acks="all")
    await producer.start()
    try:
        for number in range(ABORTED):
            await producer.begin_transaction()
            for partition in range(made.log.partitions):
                value = encode(parse_activity(doing(random, f"aborted-{number}-{partition}")))
                await producer.send_and_wait(config.topic(ACTIVITIES), value, partition=partition)
            await producer.abort_transaction()
            await asyncio.sleep(SOME_S)
    finally:
        await producer.stop()


async def test_appends_that_fail_and_batches_handed_over_badly(servers: Cluster, tmp_path: Path) -> None:
    """
    With appends that fail or are cut off, batches handed over twice or not at all, and transactions that are aborted
    among what people publish: 0 lost, twice, unwanted, out of order.
    """
    async with scene(servers, tmp_path) as made:
        await made.begin(workers=2, edges=1, variant="all-at-once")
        async with made.load():
            await abort(made)
            await until_now(lambda: faults(tmp_path).keys() >= FAULTS, "each fault has struck")
        holes = 0
        for partition in range(made.log.partitions):
            there = await town.read_all(made.log, ACTIVITIES, partition)
            holes += there[-1].offset + 1 - len(there)
        assert holes >= ABORTED, "the log has places that nobody reads"
        await made.well()
