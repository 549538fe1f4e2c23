"""What of Faust `batches.py` overrides or relies on, as it was when it was read: another source is refused.

After reading a new release: put its number and the digests that the error names into the tables below.
"""

import inspect
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

import faust
from faust.agents.manager import AgentManager
from faust.app.base import App
from faust.tables.recovery import Recovery
from faust.transport import consumer
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver

RELEASE: Final = "0.15.3"

LEANED_ON: Final[tuple[Callable[..., Any], ...]] = (
    App._on_partitions_assigned,
    App._on_partitions_revoked,
    AgentManager.on_rebalance,
    consumer.Consumer._commit_offsets,
    consumer.Consumer._commit_tps,
    consumer.Consumer._drain_messages,
    consumer.Consumer._filter_committable_offsets,
    consumer.Consumer._filter_tps_with_pending_acks,
    consumer.Consumer._get_active_partitions,
    consumer.Consumer._new_offset,
    consumer.Consumer._should_commit,
    consumer.Consumer.force_commit,
    consumer.Consumer.on_partitions_assigned,
    consumer.Consumer.on_partitions_revoked,
    consumer.Consumer.perform_seek,
    consumer.Consumer.resume_flow,
    consumer.Consumer.stop_flow,
    consumer.Consumer.wait_empty,
    Conductor._compile_message_handler,
    consumer.ConsumerThread.on_partitions_revoked,
    consumer.Fetcher._fetcher.fun,
    Recovery._resume_streams,
    consumer.ThreadDelegateConsumer._getmany,
    driver.AIOKafkaConsumerThread._commit,
    driver.AIOKafkaConsumerThread._create_worker_consumer,
    driver.AIOKafkaConsumerThread._fetch_records,
    driver.Consumer._new_consumer_thread,
    driver.Consumer._to_message,
    driver.ConsumerRebalanceListener.on_partitions_assigned,
    driver.ConsumerRebalanceListener.on_partitions_revoked,
)


CHECKED: Final = {
    "faust.app.base.App._on_partitions_assigned": "56eb5bd7",
    "faust.app.base.App._on_partitions_revoked": "f21b5112",
    "faust.agents.manager.AgentManager.on_rebalance": "a024161d",
    "faust.transport.consumer.Consumer._commit_offsets": "e166f9da",
    "faust.transport.consumer.Consumer._commit_tps": "6f93e358",
    "faust.transport.consumer.Consumer._drain_messages": "c25c498f",
    "faust.transport.consumer.Consumer._filter_committable_offsets": "a2433374",
    "faust.transport.consumer.Consumer._filter_tps_with_pending_acks": "ef6b08c6",
    "faust.transport.consumer.Consumer._get_active_partitions": "e44a7e35",
    "faust.transport.consumer.Consumer._new_offset": "cd5711e9",
    "faust.transport.consumer.Consumer._should_commit": "81e1917b",
    "faust.transport.consumer.Consumer.force_commit": "d9335d69",
    "faust.transport.consumer.Consumer.on_partitions_assigned": "d0475b2e",
    "faust.transport.consumer.Consumer.on_partitions_revoked": "95764d59",
    "faust.transport.consumer.Consumer.perform_seek": "175fdda3",
    "faust.transport.consumer.Consumer.resume_flow": "d2046e9d",
    "faust.transport.consumer.Consumer.stop_flow": "e8df7a88",
    "faust.transport.consumer.Consumer.wait_empty": "eaf63263",
    "faust.transport.conductor.Conductor._compile_message_handler": "a4aef2d4",
    "faust.transport.consumer.ConsumerThread.on_partitions_revoked": "d95cfb48",
    "faust.transport.consumer.Fetcher._fetcher": "78a8e71a",
    "faust.tables.recovery.Recovery._resume_streams": "ef61c97c",
    "faust.transport.consumer.ThreadDelegateConsumer._getmany": "effe7dba",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._commit": "6852568c",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._create_worker_consumer": "89e6d171",
    "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._fetch_records": "b26e1965",
    "faust.transport.drivers.aiokafka.Consumer._new_consumer_thread": "fc3fb245",
    "faust.transport.drivers.aiokafka.Consumer._to_message": "02eddd3d",
    "faust.transport.drivers.aiokafka.ConsumerRebalanceListener.on_partitions_assigned": "45654723",
    "faust.transport.drivers.aiokafka.ConsumerRebalanceListener.on_partitions_revoked": "0b4fc0b5",
}
"""Digests of the sources in that release."""


class FaustChanged(Exception):
    """The installed Faust differs from the release that was read, where it is overridden or relied on."""


def check(leaned_on: Iterable[Callable[..., Any]] = LEANED_ON) -> None:
    """Raise FaustChanged unless Faust is, in all that is relied on, what was read."""
    found = {name_of(function): digest_of(function) for function in leaned_on}
    changed = [f"{name} ({digest})" for name, digest in found.items() if CHECKED.get(name) != digest]
    if changed:
        raise FaustChanged(
            f"Faust {faust.__version__} differs from {RELEASE}, which batches were written for, in "
            f"{', '.join(changed)}: install faust-streaming=={RELEASE}, or read these functions anew and then "
            "change streams/agents/checked.py"
        )


def name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def digest_of(function: Callable[..., Any]) -> str:
    return blake2b(inspect.getsource(inspect.unwrap(function)).encode(), digest_size=4).hexdigest()
