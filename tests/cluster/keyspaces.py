"""A keyspace for the tests of one process: made once, emptied for each test."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fanbell.infra.local.cluster import Cluster
from fanbell.projections.cassandra_schema import apply_schema
from fanbell.streams.cassandra import Cassandra, CassandraConfig, connect_now
from tests.cluster.servers import fresh_name

TABLES: Final = (
    "inbox", "bodies", "people", "lists", "traces", "positions", "logs", "tickets", "snapshots", "snapshot_chunks"
)  # fmt: skip
_made: dict[str, Cassandra] = {}


def config_of(servers: Cluster, keyspace: str) -> CassandraConfig:
    return CassandraConfig(contact_points=(servers.contact_points,), keyspace=keyspace)


@contextmanager
def making(servers: Cluster, keyspace: str) -> Iterator[Cassandra]:
    """A connection to the keyspace, made if it is not there."""
    config = config_of(servers, keyspace)
    first = connect_now(config, keyspace=False)
    try:
        asyncio.run(apply_schema(first))
    finally:
        first.close_now()
    connection = connect_now(config)
    try:
        yield connection
    finally:
        connection.close_now()


def shared(servers: Cluster) -> Cassandra:
    """A connection to this process's keyspace, as it was left. Open until the process ends."""
    if servers.contact_points not in _made:
        keeper = making(servers, fresh_name("inboxes"))
        _made[servers.contact_points] = keeper.__enter__()
        _keepers.append(keeper)
    return _made[servers.contact_points]


_keepers: list[object] = []


def emptied(servers: Cluster) -> Cassandra:
    """`shared`, with nothing in its tables."""
    connection = shared(servers)

    async def empty() -> None:
        keyspace = connection.config.keyspace
        for table in TABLES:
            if await connection.execute_plain(f"SELECT * FROM {keyspace}.{table} LIMIT 1"):
                await connection.execute_plain(f"TRUNCATE {keyspace}.{table}")

    asyncio.run(empty())
    return connection
