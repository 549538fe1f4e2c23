"""What of aiokafka the log leans on without its promise: another source is refused, wherever a log is opened.

The end of a producer and of what it holds (`kafka_appends.py`), single fetches (`kafka_fetch.py`), and what a client
knows of a cluster (`kafka_calls.py`) are aiokafka's inside. After reading a new release: put its number into `LIBRARY`
and the digests that the error names into `CHECKED`.
"""

from collections.abc import Iterable
from functools import cache
from typing import Final

import aiokafka
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.producer.sender import Sender
from aiokafka.protocol import fetch

from fanbell.streams.sources import Library, Source, SourcesChanged, check_read

LEANED_ON: Final[tuple[Source, ...]] = (
    AIOKafkaProducer.start,
    AIOKafkaProducer.stop,
    AIOKafkaProducer.create_batch,
    AIOKafkaProducer.send_batch,
    Sender.start,
    Sender._fail_all,
    Sender.sender_task,
    Sender.close,
    Sender._sender_routine,
    Sender._send_produce_req,
    BatchBuilder.append,
    BatchBuilder.close,
    MessageBatch.__init__,
    MessageBatch.done,
    MessageBatch.failure,
    MessageAccumulator.__init__,
    MessageAccumulator._append_batch,
    MessageAccumulator._pop_batch,
    MessageAccumulator.add_batch,
    MessageAccumulator.close,
    MessageAccumulator.drain_by_nodes,
    MessageAccumulator.fail_all,
    MessageAccumulator.reenqueue,
    AIOKafkaClient.bootstrap,
    AIOKafkaClient.close,
    AIOKafkaClient.coordinator_lookup,
    AIOKafkaClient.force_metadata_update,
    AIOKafkaClient.send,
    AIOKafkaClient._get_conn,
    AIOKafkaConnection.close,
    AIOKafkaConnection.connect,
    ClusterMetadata.leader_for_partition,
    ClusterMetadata.partitions_for_topic,
    ClusterMetadata.update_metadata,
    PartitionRecords,
    fetch.FetchRequest,
    fetch.FetchResponse_v4,
    fetch.FetchResponse_v5,
    fetch.FetchResponse_v7,
    fetch.FetchResponse_v11,
)

CHECKED: Final[dict[str, str]] = {
    "aiokafka.producer.producer.AIOKafkaProducer.start": "f0334769",
    "aiokafka.producer.producer.AIOKafkaProducer.stop": "f36d3a44",
    "aiokafka.producer.producer.AIOKafkaProducer.create_batch": "3250265a",
    "aiokafka.producer.producer.AIOKafkaProducer.send_batch": "80e42315",
    "aiokafka.producer.sender.Sender.start": "c78c23f4",
    "aiokafka.producer.sender.Sender._fail_all": "ccc2c161",
    "aiokafka.producer.sender.Sender.sender_task": "06e49353",
    "aiokafka.producer.sender.Sender.close": "465c0db7",
    "aiokafka.producer.sender.Sender._sender_routine": "92fa8bba",
    "aiokafka.producer.sender.Sender._send_produce_req": "7055fbed",
    "aiokafka.producer.message_accumulator.BatchBuilder.append": "cd9d0dec",
    "aiokafka.producer.message_accumulator.BatchBuilder.close": "9b9dcf72",
    "aiokafka.producer.message_accumulator.MessageBatch.__init__": "53c57d07",
    "aiokafka.producer.message_accumulator.MessageBatch.done": "4ca2b9c8",
    "aiokafka.producer.message_accumulator.MessageBatch.failure": "1426bcbf",
    "aiokafka.producer.message_accumulator.MessageAccumulator.__init__": "1278cf4b",
    "aiokafka.producer.message_accumulator.MessageAccumulator._append_batch": "245faba4",
    "aiokafka.producer.message_accumulator.MessageAccumulator._pop_batch": "def6de37",
    "aiokafka.producer.message_accumulator.MessageAccumulator.add_batch": "78a6e0ce",
    "aiokafka.producer.message_accumulator.MessageAccumulator.close": "4ee55444",
    "aiokafka.producer.message_accumulator.MessageAccumulator.drain_by_nodes": "16a9e402",
    "aiokafka.producer.message_accumulator.MessageAccumulator.fail_all": "9336334d",
    "aiokafka.producer.message_accumulator.MessageAccumulator.reenqueue": "02789ab8",
    "aiokafka.client.AIOKafkaClient.bootstrap": "f83bcd08",
    "aiokafka.client.AIOKafkaClient.close": "f9474d69",
    "aiokafka.client.AIOKafkaClient.coordinator_lookup": "84cc2db6",
    "aiokafka.client.AIOKafkaClient.force_metadata_update": "51c44e22",
    "aiokafka.client.AIOKafkaClient.send": "a9d5d357",
    "aiokafka.client.AIOKafkaClient._get_conn": "5a8199fd",
    "aiokafka.conn.AIOKafkaConnection.close": "99d6088e",
    "aiokafka.conn.AIOKafkaConnection.connect": "f8321d87",
    "aiokafka.cluster.ClusterMetadata.leader_for_partition": "c54a2c81",
    "aiokafka.cluster.ClusterMetadata.partitions_for_topic": "283b7d2c",
    "aiokafka.cluster.ClusterMetadata.update_metadata": "961ac90b",
    "aiokafka.consumer.fetcher.PartitionRecords": "ca16cd9d",
    "aiokafka.protocol.fetch.FetchRequest": "d54fa0b0",
    "aiokafka.protocol.fetch.FetchResponse_v4": "dc826c6d",
    "aiokafka.protocol.fetch.FetchResponse_v5": "2fb2a9b2",
    "aiokafka.protocol.fetch.FetchResponse_v7": "78a36ad6",
    "aiokafka.protocol.fetch.FetchResponse_v11": "98682bd9",
}
"""Digests of the sources in that release."""


class AiokafkaChanged(SourcesChanged):
    """The installed aiokafka is not the one that was read."""


LIBRARY: Final = Library(
    name="aiokafka", package="aiokafka", release="0.14.0", by="the log was", read_in="streams/kafka_checked.py",
    changed=AiokafkaChanged,
)  # fmt: skip


def check(leaned_on: Iterable[Source] = LEANED_ON) -> None:
    """Raise AiokafkaChanged unless aiokafka is, in all that is leaned on, what was read."""
    check_read(LIBRARY, aiokafka.__version__, leaned_on, CHECKED)


@cache
def check_once() -> None:
    """`check`, the first time in a process: it reads sources, which takes a while."""
    check()
