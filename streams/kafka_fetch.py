"""What a broker is asked for when records are fetched, and what its answer holds."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from fanbell.streams.kafka_calls import check
from fanbell.streams.log import Record

PARTITION_BYTES: Final = (
    2 * 1024 * 1024
)  # of one partition in one answer; a batch of more comes alone and whole


class Records(PartitionRecords):  # type: ignore[misc]
    """The records of one answer as ours: in order, without those of aborted transactions and without markers.

    `next_fetch_offset` is where to go on once it is used up.
    """

    def _consumer_record(self, _place: TopicPartition, record: Any) -> Record:
        return Record(record.offset, record.value or b"", record.timestamp, record.key)


class Fetched(NamedTuple):
    """One partition's part of an answer. `stable`: the end of what is committed, when it was answered."""

    stable: int
    records: Records


def fetch(topic: str, positions: Iterable[tuple[int, int]], wait_ms: int, bytes_max: int) -> FetchRequest:
    """Ask for what `topic` holds from (partition, offset) on, waiting so long for the first byte."""
    wanted = [(partition, offset, PARTITION_BYTES) for partition, offset in positions]
    return FetchRequest(wait_ms, 1, bytes_max, READ_COMMITTED, [(topic, wanted)])


def parts(answer: Any) -> Iterator[tuple[int, int, Any]]:
    """(partition, error code, the rest) of an answer. Raises KafkaError if it is refused as a whole."""
    check(getattr(answer, "error_code", 0))
    for _, partitions in answer.topics:
        for partition, error_code, _, *rest in partitions:
            yield partition, error_code, rest


def fetched(topic: str, partition: int, offset: int, error_code: int, rest: Any) -> Fetched | None:
    """What there is from `offset` on; None if that is not in the log. Raises KafkaError."""
    if error_code == OffsetOutOfRangeError.errno:
        return None
    check(error_code, f"{topic}[{partition}]")
    # The last is the records. From version 11 on a preferred replica stands between it and the aborted transactions.
    stable, aborted, data = rest[0], rest[2] if len(rest) > 3 else rest[-2], rest[-1]
    place = TopicPartition(topic, partition)
    return Fetched(
        stable,
        Records(place, MemoryRecords(data or b""), aborted, offset, None, None, True, READ_COMMITTED),
    )
