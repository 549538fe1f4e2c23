"""Reading a partition of Kafka from any offset on, without waiting for what is not there yet."""

import asyncio
from collections import OrderedDict
from typing import Any, Final

from aiokafka.consumer.fetcher import READ_COMMITTED, OffsetResetStrategy
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest
from msgspec import Struct

from fanbell.streams.kafka import RETRY_S
from fanbell.streams.kafka_calls import Calls, check
from fanbell.streams.kafka_fetch import PARTITION_BYTES, Fetched, Records, fetch, fetched, parts
from fanbell.streams.log import LogFailed, Record

KEPT_MAX: Final = 16  # readers that may go on where they stood; each holds one answer, so 32 MiB
READ_BYTES_MAX: Final = 64 * 1024 * 1024  # one read ends there, short of what was asked for: memory
STUCK_MAX: Final = (
    100  # tries, 10 s: a leader that has just changed may know less than it should, for a moment
)


class _Ahead(Struct):
    """What an answer held beyond what was asked for."""

    offset: int
    fetched: Fetched


class Reads:
    """Topics are named as the cluster names them. Raises LogFailed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._ahead: OrderedDict[tuple[str, int], _Ahead] = OrderedDict()

    async def start(self, topic: str, partition: int) -> int:
        """The first offset kept."""
        return await self._offset(topic, partition, OffsetResetStrategy.EARLIEST)

    async def end(self, topic: str, partition: int) -> int:
        """The last stable offset: below it, everything is decided."""
        return await self._offset(topic, partition, OffsetResetStrategy.LATEST)

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        """As the log's `read`; ends early only at READ_BYTES_MAX."""
        found: list[Record] = []
        bytes_count = stuck = 0
        at = max(offset, 0)
        ahead = self._ahead.pop((topic, partition), None)
        now = ahead.fetched if ahead is not None and ahead.offset == at else None
        while len(found) < at_most and bytes_count < READ_BYTES_MAX:
            if now is None:
                now = await self._fetch(topic, partition, at)
            if now is None:  # not in the log: trimmed away, or past the end
                start = await self.start(topic, partition)
                if at >= start:
                    break
                at = start
                continue
            before = len(found)
            self._take(topic, partition, now.records, found, at_most)
            bytes_count += sum(len(record.value) for record in found[before:])
            if len(found) == at_most:
                self._keep(topic, partition, _Ahead(found[-1].offset + 1, now))
                break
            stuck = stuck + 1 if now.records.next_fetch_offset == at else 0
            at = now.records.next_fetch_offset
            if at >= now.stable:
                break
            now = None
            if stuck > STUCK_MAX:
                raise LogFailed(f"{topic}[{partition}] gives nothing at {at}, though it is said to go on")
            if stuck:
                await asyncio.sleep(RETRY_S)
        return found

    def forget(self, topic: str, partition: int) -> None:
        """Drop what was fetched ahead: it may have been trimmed."""
        self._ahead.pop((topic, partition), None)

    def _keep(self, topic: str, partition: int, ahead: _Ahead) -> None:
        self._ahead[topic, partition] = ahead
        while len(self._ahead) > KEPT_MAX:
            self._ahead.popitem(last=False)

    @staticmethod
    def _take(topic: str, partition: int, records: Records, found: list[Record], at_most: int) -> None:
        try:
            for record in records:
                found.append(record)
                if len(found) == at_most:
                    return
        except KafkaError as error:  # a checksum that does not fit
            raise LogFailed(f"{topic}[{partition}] cannot be read: {error!r}") from error

    async def _fetch(self, topic: str, partition: int, offset: int) -> Fetched | None:
        def read(answer: Any) -> Fetched | None:
            ((_, error_code, rest),) = parts(answer)
            return fetched(topic, partition, offset, error_code, rest)

        request = fetch(topic, [(partition, offset)], wait_ms=0, bytes_max=PARTITION_BYTES)
        return await self._calls.ask_leader(topic, partition, request, read)

    async def _offset(self, topic: str, partition: int, which: int) -> int:
        request = OffsetRequest(-1, READ_COMMITTED, [(topic, [(partition, which)])])
        return await self._calls.ask_leader(topic, partition, request, _offset_of)


def _offset_of(answer: Any) -> int:
    ((_, ((_, error_code, *_, offset),)),) = answer.topics
    check(error_code)
    return int(offset)
