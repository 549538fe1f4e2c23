"""Logs on a real Kafka for tests: topics of names of their own, gone afterwards."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient

from fanbell.infra.local.cluster import Cluster
from fanbell.streams.kafka import KafkaConfig, connection
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.topics_kafka import ABOUT, IN_CLUSTER, Wanted, apply
from tests.cluster.servers import fresh_name

DELETED_S = 30.0  # a broker does so in milliseconds, after it was told


def config_of(port: int, prefix: str = "fanbell.", **more: Any) -> KafkaConfig:
    """How the broker at `port` of this machine is reached."""
    return KafkaConfig(bootstrap_servers=(f"127.0.0.1:{port}",), topic_prefix=prefix, **more)


class Logs:
    """Logs of `partitions`, by name; ended, and their topics deleted, on leaving."""

    def __init__(self, servers: Cluster, partitions: int = 2) -> None:
        self.port = servers.brokers[0].port
        self.wanted = Wanted(partitions=partitions, replication_factor=1)
        self.prefix = fresh_name("t")
        self._made: set[str] = set()
        self._opened = AsyncExitStack()

    def config(self, name: str = "log", **more: Any) -> KafkaConfig:
        """That of the log `name`."""
        return config_of(self.port, f"{self.prefix}.{name}.", **more)

    async def open(self, name: str = "log", **more: Any) -> KafkaLog:
        """The log `name`, its topics made when it is opened first."""
        if name not in self._made:
            await apply(self.config(name), self.wanted)
            self._made.add(name)
        log = await KafkaLog.open(self.config(name, **more))
        self._opened.push_async_callback(log.close)
        return log

    async def delete(self, name: str, *topics: str) -> None:
        """Delete topics of the log `name`, all of them if none is named; the broker has none of them then."""
        config = self.config(name)
        admin = AIOKafkaAdminClient(**connection(config))
        await admin.start()
        names = {config.topic(topic) for topic in topics or (*IN_CLUSTER, ABOUT)}
        try:
            await admin.delete_topics(list(names))
            async with asyncio.timeout(DELETED_S):
                while not names.isdisjoint(await admin.list_topics()):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        finally:
            await admin.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()
        for name in self._made:
            await self.delete(name)
