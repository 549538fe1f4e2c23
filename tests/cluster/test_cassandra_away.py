"""Cassandra that is not there, or has no tables: said soon, with what to do. `faults/` has one that goes away."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from fanbell.infra.local.cluster import Cluster
from fanbell.streams.cassandra import CONNECT_S, CassandraConfig, CassandraFailed, connect
from tests.cluster.keyspaces import making, shared
from tests.cluster.servers import fresh_name

pytestmark = pytest.mark.cluster

CONFIG = CassandraConfig(contact_points=("127.0.0.1:9",), keyspace="away")


def test_nobody_answers() -> None:
    """Where nobody listens, connecting fails soon, and says where and what to look at."""
    begun = time.monotonic()
    with pytest.raises(CassandraFailed, match=r"127\.0\.0\.1:9 cannot be reached.*cassandra_contact_points"):
        asyncio.run(connect(CONFIG))
    assert time.monotonic() - begun < 2 * CONNECT_S


def test_a_missing_keyspace_is_said(servers: Cluster) -> None:
    """A keyspace that is not there is an error that says which command makes it."""
    config = replace(CONFIG, contact_points=(servers.contact_points,), keyspace="nowhere")

    with pytest.raises(CassandraFailed, match=r"no keyspace nowhere.*fanbell store apply"):
        asyncio.run(connect(config))


def test_of_the_schema_only_what_finds_replicas_is_read(servers: Cluster) -> None:
    """
    Who connects knows where rows of its keyspace lie, and has read nothing of what others keep in the same cluster.
    """
    (ours, others) = (shared(servers).config.keyspace, fresh_name("others"))
    with making(servers, others) as connection:
        known = connection._cluster.metadata.keyspaces

        assert list(known) == [others]
        assert known[others].tables == {}
        assert connection.replicas(b"some key") == {connection._cluster.metadata.all_hosts()[0].endpoint}
        assert ours not in known


def test_a_contact_point_that_is_none() -> None:
    """What is no host:port is refused before anybody is asked."""
    with pytest.raises(ValueError, match="host:port"):
        asyncio.run(connect(replace(CONFIG, contact_points=("host:many",))))
