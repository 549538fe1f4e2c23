"""The log on Kafka: the cluster's. Topics are made by `topics_kafka.py`, never here.

Appends are acknowledged by all replicas in sync; reads see what is committed. Every call ends within the bound of
the settings (`request_timeout_ms`), then by LogFailed. Offsets have holes: markers and records of aborted
transactions use some up.

A batch whose acknowledgement was lost with its broker is sent again, and the broker knows it again: unless its records'
timestamps are older than the broker's `producer.id.expiration.ms` (a day), when it may stand there twice. What readers
take for repeats is in the records, so outputs of an old input that come twice are dropped like any others.

Not as in one process: an append too large for one batch (1 MiB) is contiguous only among the appends of the same
process, and not all or nothing: a failure may leave a beginning of it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Self

from aiokafka.protocol.admin import DeleteRecordsRequest
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.kafka_appends import Appends
from fanbell.streams.kafka_calls import Calls, check
from fanbell.streams.kafka_checked import check_once
from fanbell.streams.kafka_reads import Reads
from fanbell.streams.kafka_tail import Tail
from fanbell.streams.log import Entry, Record, check_entries, check_place
from fanbell.streams.topics_kafka import IN_CLUSTER, About, look


class KafkaLog:
    """`streams.log.Log` on a cluster whose topics exist. Made by `open`; of one event loop."""

    def __init__(self, config: KafkaConfig, calls: Calls, about: About) -> None:
        self._config, self._calls, self._about = config, calls, about
        self._reads = Reads(calls)
        self._appends = Appends(config)

    @classmethod
    async def open(cls, config: KafkaConfig, partitions: int | None = None) -> Self:
        """Connect, and look whether the topics are as they must be: `partitions`, if given, in number.

        Raises LogFailed, and TopicsUnusable or AiokafkaChanged with what to do.
        """
        check_once()
        calls = Calls(config)
        await calls.open()
        log = None
        try:
            log = cls(config, calls, await look(calls, config, partitions))
            await log._appends.open()
        except BaseException:
            if log is not None:
                await log._appends.close()
            await calls.close()
            raise
        return log

    async def close(self) -> None:
        """End the connections; what is on its way is given up."""
        await self._appends.close()
        await self._calls.close()

    @property
    def identity(self) -> str:
        return self._about.identity

    @property
    def partitions(self) -> int:
        return self._about.partitions

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        name = self._name(topic, partition)
        check_entries(entries)
        if not entries:
            return await self._reads.end(name, partition)
        return await self._appends.append(name, partition, entries)

    async def append_all(self, batches: Sequence[tuple[str, int, Sequence[Entry]]]) -> list[int]:
        """Those of one topic together, and before the next topic's: as many round trips as there are topics in turn.

        If one fails, the others of its topic are waited for, and what comes after is not appended.
        """
        for topic, partition, entries in batches:
            self._name(topic, partition)
            check_entries(entries)
        firsts: list[int] = []
        for topic, some in groupby(batches, key=lambda batch: batch[0]):
            together = [(partition, entries) for _, partition, entries in some]
            if all(entries for _, entries in together):
                firsts += await self._appends.append_all(self._config.topic(topic), together)
            else:  # of nothing at all, where it would have come to stand
                firsts += [await self.append(topic, *batch) for batch in together]
        return firsts

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        return await self._reads.read(self._name(topic, partition), partition, offset, at_most)

    async def start(self, topic: str, partition: int) -> int:
        return await self._reads.start(self._name(topic, partition), partition)

    async def end(self, topic: str, partition: int) -> int:
        return await self._reads.end(self._name(topic, partition), partition)

    async def trim(self, topic: str, partition: int, before: int) -> None:
        name = self._name(topic, partition)
        before = min(before, await self._reads.end(name, partition))
        if before <= 0:
            return
        request = DeleteRecordsRequest([(name, [(partition, before)])], self._config.request_timeout_ms)
        await self._calls.ask_leader(name, partition, request, _trimmed)
        self._reads.forget(name, partition)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Of a group without members: one that Faust's consumers are in takes no offsets from elsewhere."""
        name = self._name(topic, partition)
        request = OffsetCommitRequest(group, -1, "", -1, [(name, [(partition, offset, "")])])
        await self._calls.ask_coordinator(group, request, _kept)

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        name = self._name(topic, partition)
        request = OffsetFetchRequest(group, [(name, [partition])])
        return await self._calls.ask_coordinator(group, request, _committed)

    async def tail(self, topic: str, positions: Mapping[int, int]) -> Tail:
        """What comes to `topic`, from an offset of each partition on, as soon as it is there. To be closed."""
        for partition in positions:
            self._name(topic, partition)
        tail = Tail(self._config, self._config.topic(topic), positions)
        await tail.open()
        return tail

    def _name(self, topic: str, partition: int) -> str:
        check_place(topic, partition, self.partitions)
        if topic not in IN_CLUSTER:
            raise ValueError(f"topic {topic} has no partition {partition}: it is not kept in a cluster")
        return self._config.topic(topic)


def _trimmed(answer: Any) -> None:
    for _, partitions, *_ in answer.topics:
        for _, _, error_code, *_ in partitions:
            check(error_code)


def _kept(answer: Any) -> None:
    for _, partitions in answer.topics:
        for _, error_code in partitions:
            check(error_code)


def _committed(answer: Any) -> int | None:
    check(getattr(answer, "error_code", 0))
    ((_, ((_, offset, _, error_code),)),) = answer.topics
    check(error_code)
    return None if offset < 0 else int(offset)
