"""Processes of a cluster that answer people, `fanbell api` and `fanbell edge`; what all its processes connect to."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from fanbell.infra import up
from fanbell.infra.cassandra import cassandra_config
from fanbell.infra.cluster import Clustered, Discontinued
from fanbell.infra.kafka import kafka_config
from fanbell.infra.settings import BadSetting, Settings
from fanbell.projections import projector
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.streams.cassandra import Cassandra, CassandraFailed, connect
from fanbell.streams.core.fold import UnknownFold
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.sources import SourcesChanged
from fanbell.streams.topics_kafka import TopicsUnusable

REFUSALS: Final = (
    *up.REFUSALS, TopicsUnusable, CassandraFailed, Discontinued, projector.Discontinued, BadSetting, UnknownFold,
    SourcesChanged,
)  # fmt: skip
"""What keeps a process of a cluster from starting, or going on, said in one line rather than by a traceback."""


class Clients(NamedTuple):
    """Open connections of one process."""

    log: KafkaLog
    cassandra: Cassandra
    store: CassandraStore


@contextlib.asynccontextmanager
async def clients(settings: Settings) -> AsyncIterator[Clients]:
    """Connect to Kafka and Cassandra, both of which must have been set up (`fanbell topics apply`, `store apply`).

    Raises LogFailed, TopicsUnusable, CassandraFailed, StoreFailed, projector.Discontinued.
    """
    age_ms = settings.inbox_keep_days * 86_400_000 or None
    async with contextlib.AsyncExitStack() as stack:
        log = await KafkaLog.open(kafka_config(settings), settings.partitions)
        stack.push_async_callback(log.close)
        cassandra = await connect(cassandra_config(settings))
        stack.push_async_callback(cassandra.close)
        store = CassandraStore(cassandra, settings.inbox_keep, age_ms)
        await store.check(log.identity)
        yield Clients(log, cassandra, store)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[up.Opened]:
    """The backend of an API or an edge. Raises what `clients` and `Clustered.start` do."""
    async with clients(settings) as (log, _, store):
        backend = Clustered(settings, log, store)
        try:
            await backend.start()
            yield up.Opened(backend, backend.failed)
        finally:
            await backend.stop()


def serve(settings: Settings, json: bool, parts: up.Parts) -> int:
    """Answer people until a signal; the exit code."""
    where = f"Kafka at {','.join(settings.kafka_bootstrap_servers)}"
    more = {"kafka": ",".join(settings.kafka_bootstrap_servers)}

    def started(live: up.Running) -> None:
        up.say(live, json, more, where)

    return up.serve(settings, json, started, opened=opened, parts=parts, refusals=REFUSALS)
