"""What all processes of a cluster connect to: Kafka and Cassandra."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Final, NamedTuple

from fanbell.infra import refusals
from fanbell.infra.cassandra import cassandra_config
from fanbell.infra.kafka import kafka_config
from fanbell.infra.patience import Patience
from fanbell.infra.settings import Settings
from fanbell.projections.projector import Discontinued
from fanbell.projections.store import StoreFailed
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.streams.cassandra import Cassandra, CassandraFailed, SchemaMissing, connect
from fanbell.streams.core.fold import UnknownFold
from fanbell.streams.log import LogFailed
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.sources import SourcesChanged
from fanbell.streams.topics_kafka import TopicsUnusable

REFUSALS: Final = (
    *refusals.REFUSALS, TopicsUnusable, CassandraFailed, Discontinued, UnknownFold, SourcesChanged,
)  # fmt: skip
"""What keeps a process of a cluster from starting, or going on, said in one line rather than by a traceback."""


class Clients(NamedTuple):
    """Open connections of one process."""

    log: KafkaLog
    cassandra: Cassandra
    store: CassandraStore


@contextlib.asynccontextmanager
async def clients(settings: Settings, patience: Patience | None = None) -> AsyncIterator[Clients]:
    """Connect to Kafka and Cassandra, both of which must have been set up (`fanbell topics apply`, `store apply`).

    With `patience` they need not be there yet. Raises LogFailed, TopicsUnusable, CassandraFailed, StoreFailed,
    Discontinued, BadSetting, TlsUnusable, Stopped.
    """
    patience = patience or Patience()
    kafka, cassandra = kafka_config(settings), cassandra_config(settings)
    async with contextlib.AsyncExitStack() as stack:
        log = await patience.until_there("Kafka", partial(KafkaLog.open, kafka, settings.partitions), is_away)
        stack.push_async_callback(log.close)
        opened = await patience.until_there("Cassandra", partial(connect, cassandra), is_away)
        stack.push_async_callback(opened.close)
        store = CassandraStore(opened, settings.inbox_keep, settings.inbox_keep_days * 86_400_000 or None)
        await patience.until_there("Cassandra", partial(store.check, log.identity), is_away)
        yield Clients(log, opened, store)


def is_away(error: Exception) -> bool:
    """Whether it may pass by itself: Kafka or Cassandra do not answer, rather than answer that something is wrong."""
    cause = error.__cause__ if isinstance(error, StoreFailed) else error
    return isinstance(cause, LogFailed | CassandraFailed) and not isinstance(cause, SchemaMissing)
