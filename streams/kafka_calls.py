"""Single questions to Kafka's brokers: each to the one who can answer it, repeated until a bound, then LogFailed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.client import CoordinationType
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.structs import TopicPartition

from fanbell.streams.kafka import RETRY_S, KafkaConfig, client
from fanbell.streams.log import LogFailed

T = TypeVar("T")
MISSING: Final = "create it by `fanbell topics apply`"


class Calls:
    """A connection to each broker, for questions that are answered at once; long polls take a `Calls` of their own."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client = client(config)
        self._coordinators: dict[str, int] = {}

    async def open(self) -> None:
        """Connect, and learn of all topics. Raises LogFailed."""
        try:
            async with asyncio.timeout(self._config.bound_s):
                await self._client.bootstrap()
                await self._client.force_metadata_update()
        except (KafkaError, OSError) as error:
            await self._client.close()
            raise LogFailed(f"Kafka at {self._config.servers} cannot be reached: {error!r}") from error

    async def close(self) -> None:
        """End the connections; twice changes nothing."""
        await self._client.close()

    async def refresh(self) -> None:
        """Learn anew of the topics and of who leads which partition. Raises LogFailed."""

        async def updated() -> None:
            if not await self._client.force_metadata_update():
                raise NodeNotReadyError

        await self._bounded("metadata", updated)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic of the cluster has; 0 if it is not there."""
        return len(self._client.cluster.partitions_for_topic(topic) or ())

    def replicas(self, topic: str) -> int:
        """How many replicas its partitions have, the least of them."""
        found = self._client.cluster._partitions.get(topic, {}).values()
        return min((len(partition.replicas) for partition in found), default=0)

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition. Raises KafkaError: a broker that has just started may not know yet."""
        if not self.partitions(topic):
            raise UnknownTopicOrPartitionError(f"there is no such topic: {MISSING}")
        node: int | None = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node == -1:
            raise LeaderNotAvailableError(f"{topic}[{partition}]")
        return node

    async def ask_leader(self, topic: str, partition: int, request: Any, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer of a partition's leader; a KafkaError of `read` may lead to another try."""

        async def asked() -> T:
            return read(await self._client.send(self.leader(topic, partition), request))

        return await self._bounded(f"{topic}[{partition}]", asked)

    async def ask_coordinator(self, group: str, request: Any, read: Callable[[Any], T]) -> T:
        """The same, of the broker that keeps a group's offsets."""

        async def asked() -> T:
            if group not in self._coordinators:
                node = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
                self._coordinators[group] = node
            try:
                return read(await self._client.send(self._coordinators[group], request))
            except BaseException:
                self._coordinators.pop(group, None)
                raise

        return await self._bounded(f"group {group}", asked)

    async def send(self, node: int, request: Any) -> Any:
        """One question to one broker, once. Raises KafkaError."""
        return await self._client.send(node, request)

    async def _bounded(self, where: str, call: Callable[[], Awaitable[T]]) -> T:
        last: KafkaError | None = None
        try:
            async with asyncio.timeout(self._config.bound_s):
                while True:
                    try:
                        return await call()
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        last = error
                    await asyncio.sleep(RETRY_S)
                    if last.invalid_metadata:
                        await self._client.force_metadata_update()
        except TimeoutError as error:
            why = f"no answer within {self._config.bound_s:g} s" + (f", at last {last!r}" if last else "")
            raise LogFailed(f"{where} of Kafka at {self._config.servers}: {why}") from error
        except KafkaError as error:
            raise LogFailed(f"{where} of Kafka at {self._config.servers}: {error!r}") from error


def check(code: int, *about: object) -> None:
    """Raise the KafkaError that `code` of an answer stands for; 0 is none."""
    error = for_code(code)
    if error is not NoError:
        raise error(*about)
