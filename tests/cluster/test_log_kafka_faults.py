"""The log on Kafka while its broker is killed, frozen, or would create topics by itself. Brokers of their own."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OutOfOrderSequenceNumber
from msgspec import structs

from fanbell.infra.local import cluster, kafka
from fanbell.infra.local.process import Node, free_ports, wait
from fanbell.schemas.topics import NOTICES, ROUTED
from fanbell.streams.kafka import KafkaConfig, connection
from fanbell.streams.kafka_tail import Tail
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.topics_kafka import TopicsUnusable, Wanted, apply
from tests.cluster.kafka import config_of
from tests.cluster.servers import fresh_name, needed

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

SLACK_S = 15.0  # a machine that is busy may be late, but not for ever
BOUND_MS = 4_000
WANTED = Wanted(partitions=2, replication_factor=1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Broker:
    """A broker that may be killed and started again."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def config(self, **more: Any) -> KafkaConfig:
        """For topics of names of their own."""
        return config_of(self.node.port, fresh_name("t") + ".", **more)

    def signal(self, which: signal.Signals) -> None:
        os.kill(self.node.pid, which)

    def kill_and_restart(self) -> None:
        self.node.end(by=signal.SIGKILL)
        self.node = cluster.restart(self.node)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that creates the topics that it is asked for, if it may."""
    needed()
    eager = kafka._PROPERTIES.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
    assert eager != kafka._PROPERTIES
    kafka_port, controller = free_ports(2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kafka, "_PROPERTIES", eager)
        (node,) = kafka.start_brokers(tmp_path_factory.mktemp("kafka"), [(kafka_port, controller)])
    broker = Broker(node)
    try:
        wait(node, kafka.answers, kafka.START_S)
        yield broker
    finally:
        broker.node.end()


@pytest.fixture(autouse=True)
async def _nothing_fails_unheard() -> AsyncIterator[None]:
    """No callback fails, and no client is left open, where nobody would hear of it but the event loop."""
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert not heard


async def test_a_killed_broker_loses_and_doubles_nothing(broker: Broker) -> None:
    """What was acknowledged before, while and after the broker was killed is there once, where it was said to be."""
    config = broker.config(request_timeout_ms=60_000)
    await apply(config, WANTED)
    log = await KafkaLog.open(config)
    restarted = False
    under_way = asyncio.Event()
    acknowledged: dict[tuple[str, int, int], bytes] = {}

    async def writing(topic: str, partition: int, name: str) -> int:
        after = count = 0
        while after < 20:
            # A broker that has come back knows repeats by producers whose records are younger than a day.
            now_ms = time.time_ns() // 1_000_000
            batch = [Entry(b"%s %d %d" % (name.encode(), count, i), now_ms) for i in range(3)]
            first = await log.append(topic, partition, batch)
            acknowledged.update({(topic, partition, first + i): entry.value for i, entry in enumerate(batch)})
            count += 1
            after += restarted
            if len(acknowledged) > 300:
                under_way.set()
        return count

    try:
        writers = [
            asyncio.ensure_future(writing(topic, partition, name))
            for topic in (NOTICES, ROUTED)
            for partition in (0, 1)
            for name in "ab"
        ]
        await under_way.wait()
        await asyncio.to_thread(broker.kill_and_restart)
        restarted = True
        counts = await asyncio.gather(*writers)

        kept = {
            (topic, partition, record.offset): record.value
            for topic in (NOTICES, ROUTED)
            for partition in (0, 1)
            for record in await log.read(topic, partition, 0, 1_000_000)
        }
        assert kept == acknowledged
        assert len(kept) == 3 * sum(counts)
    finally:
        await log.close()


async def test_a_frozen_broker_fails_what_is_asked_within_the_bound(broker: Broker) -> None:
    """While the broker stands still every call ends by LogFailed at its bound; once it goes on, so does the log."""
    config = broker.config()
    await apply(config, WANTED)
    config = structs.replace(config, request_timeout_ms=BOUND_MS)
    log = await KafkaLog.open(config)
    tail = await log.tail(NOTICES, {0: 0})
    try:
        assert await log.append(NOTICES, 0, [Entry(b"a", 1)]) == 0
        assert [record.value for record in (await tail.getmany())[0]] == [b"a"]
        broker.signal(signal.SIGSTOP)
        began = time.monotonic()
        calls = [
            log.append(NOTICES, 0, [Entry(b"b", 1)]),
            log.append(NOTICES, 1, [Entry(b"b", 1)]),
            log.append(NOTICES, 0, []),
            log.read(NOTICES, 0, 0, 10),
            log.start(NOTICES, 0),
            log.end(NOTICES, 0),
            log.trim(NOTICES, 0, 1),
            log.commit("g", NOTICES, 0, 1),
            log.committed("g", NOTICES, 0),
            tail.getmany(),
            KafkaLog.open(config),
        ]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in ended] == [LogFailed] * len(calls)
        with pytest.raises(LogFailed):
            await log.append(NOTICES, 0, [Entry(b"c", 1)])
        assert time.monotonic() - began < 3 * BOUND_MS / 1_000 + SLACK_S

        broker.signal(signal.SIGCONT)

        offset = await until_it_works(log, b"d")
        values = [record.value for record in await log.read(NOTICES, 0, 0, 10)]
        assert values[0] == b"a"
        assert values[offset] == b"d"
        assert len(values) == len(set(values))
        assert b"d" in [record.value for record in (await tail.getmany())[0]][-1:]
    finally:
        broker.signal(signal.SIGCONT)
        await tail.close()
        await log.close()


async def until_it_works(log: KafkaLog, value: bytes) -> int:
    """Append until it is acknowledged. A try that failed may have had its effect, so each is told apart."""
    for _ in range(10):
        try:
            return await log.append(NOTICES, 0, [Entry(value, 1)])
        except LogFailed:
            assert value not in [record.value for record in await log.read(NOTICES, 0, 0, 100)]
    raise AssertionError("it never went on")


async def test_a_broken_producer_is_replaced(broker: Broker) -> None:
    """After an error that no producer survives, the next append is by another one; the failed one says LogFailed."""
    config = broker.config()
    await apply(config, WANTED)
    log = await KafkaLog.open(config)
    try:
        assert await log.append(NOTICES, 0, [Entry(b"a", 1)]) == 0
        held = log._appends._held
        assert held is not None
        lost = (config.topic(NOTICES), 0), 7
        held.producer._txn_manager.increment_sequence_number(*lost)  # as after a batch that was lost

        with pytest.raises(LogFailed, match=OutOfOrderSequenceNumber.__name__):
            await log.append(NOTICES, 0, [Entry(b"b", 1)])

        assert await log.append(NOTICES, 0, [Entry(b"c", 1)]) == 1
        assert log._appends._held is not held
    finally:
        await log.close()
    assert held.producer._closed


async def test_nothing_of_ours_makes_a_broker_create_topics(broker: Broker) -> None:
    """Not where topics are missing on opening, nor where one goes away under a log that is open."""
    config = broker.config()
    with pytest.raises(TopicsUnusable):
        await KafkaLog.open(config)
    assert await topics_of(config) == set()

    await apply(config, WANTED)
    there = await topics_of(config)
    config = structs.replace(config, request_timeout_ms=BOUND_MS)
    log = await KafkaLog.open(config)
    tail = await log.tail(NOTICES, {0: 0})
    try:
        await log.append(NOTICES, 0, [Entry(b"a", 1)])
        await delete(config, NOTICES)
        for _ in range(2):  # by the producer that knew the topic, and by the one after it
            with pytest.raises(LogFailed):
                await log.append(NOTICES, 0, [Entry(b"b", 1)])
        with pytest.raises(LogFailed):
            await log.read(NOTICES, 0, 5, 10)
        with pytest.raises(LogFailed, match="fanbell topics apply"):
            await log.read(NOTICES, 0, 5, 10)
        with pytest.raises(LogFailed):
            await followed(tail)
    finally:
        await tail.close()
        await log.close()
    assert await topics_of(config) == there - {config.topic(NOTICES)}


async def followed(tail: Tail) -> None:
    """Until it fails."""
    while True:
        await tail.getmany()


@asynccontextmanager
async def admin_of(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection(config))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def topics_of(config: KafkaConfig) -> set[str]:
    """The topics that there are, of this test's."""
    async with admin_of(config) as admin:
        return {name for name in await admin.list_topics() if name.startswith(config.topic_prefix)}


async def delete(config: KafkaConfig, topic: str) -> None:
    async with admin_of(config) as admin:
        await admin.delete_topics([config.topic(topic)])
