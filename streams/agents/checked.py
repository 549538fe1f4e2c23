"""What of Faust `batches.py` and `worker.py` override or rely on, as it was when read: another source is refused.

After reading a new release: put its number into `LIBRARY` and the digests that the error names into `CHECKED`.
"""

from collections.abc import Iterable
from typing import Final

import faust
from faust.agents.manager import AgentManager
from faust.app.base import App
from faust.tables.recovery import Recovery
from faust.transport import consumer
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from mode.services import Service

from fanbell.streams.sources import Library, Source, SourcesChanged, check_read

LEANED_ON: Final[tuple[Source, ...]] = (
    App._on_partitions_assigned,
    App._on_partitions_revoked,
    App.on_rebalance_end,
    App.on_rebalance_start,
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
    Service._crash,
    Service.crash,
    Service.crash_reason,
    Service.wait,
    Service.wait_first,
)

CHECKED: Final = {
    "faust.app.base.App._on_partitions_assigned": "56eb5bd7",
    "faust.app.base.App._on_partitions_revoked": "f21b5112",
    "faust.app.base.App.on_rebalance_end": "38baafb3",
    "faust.app.base.App.on_rebalance_start": "823b99e0",
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
    "mode.services.Service._crash": "f96af576",
    "mode.services.Service.crash": "c9deb45b",
    "mode.services.Service.crash_reason": "9e6f3c4a",
    "mode.services.Service.wait": "f1b5e886",
    "mode.services.Service.wait_first": "ec629117",
}
"""Digests of the sources in that release."""


class FaustChanged(SourcesChanged):
    """The installed Faust differs from the release that was read, where it is overridden or relied on."""


LIBRARY: Final = Library(
    name="Faust", package="faust-streaming", release="0.15.3", by="batches were", read_in="streams/agents/checked.py",
    changed=FaustChanged,
)  # fmt: skip


def check(leaned_on: Iterable[Source] = LEANED_ON) -> None:
    """Raise FaustChanged unless Faust is, in all that is relied on, what was read."""
    check_read(LIBRARY, faust.__version__, leaned_on, CHECKED)
