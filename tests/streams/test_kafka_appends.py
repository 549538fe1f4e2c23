"""What `streams/kafka_appends.py` relies on of aiokafka's inside, without a broker."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.structs import TopicPartition

from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.kafka_appends import Appends, _end, _Held

pytestmark = pytest.mark.anyio
PLACE = TopicPartition("t", 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def heard() -> AsyncIterator[list[dict[str, Any]]]:
    """What fails where nobody but the event loop would hear of it."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    yield heard
    gc.collect()
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_exception_handler(None)
    assert not heard


async def given(producer: AIOKafkaProducer) -> "asyncio.Future[Any]":
    """The future of a batch that the producer is to send: as its `send_batch`, which would ask a broker first."""
    batch = producer.create_batch()
    batch.append(timestamp=1, key=None, value=b"v")
    batch.close()
    sent: asyncio.Future[Any] = await producer._message_accumulator.add_batch(batch, PLACE, 1.0)
    return sent


def tried_in_vain(producer: AIOKafkaProducer) -> None:
    """The batch was sent, the answer said to try again, and it waits for that."""
    accumulator = producer._message_accumulator
    accumulator.reenqueue(accumulator._pop_batch(PLACE))


async def test_a_batch_that_is_being_tried_again_fails_with_its_producer(heard: list[dict[str, Any]]) -> None:
    """
    Who waits for a batch that was sent once hears that its producer has ended; nothing fails beside.
    """
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:9")
    sent = await given(producer)
    tried_in_vain(producer)

    await _end(producer)

    with pytest.raises(ProducerClosed):
        await sent


async def test_who_gives_up_leaves_the_batch_to_its_producer(
    heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An append that is given up while its batch waits to be sent again ends the producer, and nothing fails beside.
    """
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:9")
    monkeypatch.setattr(producer.client.cluster, "partitions_for_topic", lambda topic: {0})
    monkeypatch.setattr(producer, "send_batch", lambda *_, **__: given(producer))
    appends = Appends(KafkaConfig(bootstrap_servers=("127.0.0.1:9",)))
    held = _Held(producer)
    sending = asyncio.create_task(appends._send(held, None, *PLACE))
    await asyncio.sleep(0)
    tried_in_vain(producer)

    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await appends.close()

    assert held.retired
    assert producer._closed
