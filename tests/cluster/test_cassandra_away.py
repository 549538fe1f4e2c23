"""Cassandra that is away, asleep or killed: said within a bound, and used again once it is back."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from fanbell.infra.local import cassandra as local
from fanbell.infra.local.cluster import restart
from fanbell.infra.local.process import Node, free_ports, wait
from fanbell.projections.cassandra_schema import apply_schema
from fanbell.projections.store import StoreFailed
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.streams.cassandra import (
    CONNECT_S,
    Cassandra,
    CassandraConfig,
    CassandraFailed,
    connect,
    connect_now,
)
from tests.cluster.servers import needed
from tests.projections.told import notice, retraction

pytestmark = pytest.mark.cluster

CONFIG = CassandraConfig(contact_points=("127.0.0.1:9",), keyspace="away", request_timeout_ms=3_000)
BACK_S = 60


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that this module may do to as it likes, with the tables made."""
    needed()
    port, storage_port = free_ports(2)
    node = local.start_node(tmp_path_factory.mktemp("own") / "cassandra", port, storage_port)
    try:
        wait(node, local.answers, local.START_S)
        first = connect_now(_config(node), keyspace=False)
        asyncio.run(apply_schema(first))
        first.close_now()
        yield node
    finally:
        os.kill(node.pid, signal.SIGCONT)
        node.end(by=signal.SIGKILL)


def _config(node: Node) -> CassandraConfig:
    return replace(CONFIG, contact_points=(f"127.0.0.1:{node.port}",))


async def back(store: CassandraStore, user: str) -> list[int]:
    """The user's seqs, once the store answers again."""
    until = time.monotonic() + BACK_S
    while True:
        try:
            return [row.seq for row in await store.rows(user)]
        except StoreFailed:
            if time.monotonic() > until:
                raise


async def applied(store: CassandraStore, *records: object) -> None:
    """Apply `records`, again and again until it is done."""
    until = time.monotonic() + BACK_S
    while True:
        try:
            await store.apply({0: records}, {0: records[-1].seq})  # type: ignore[arg-type, attr-defined]
        except StoreFailed:
            if time.monotonic() > until:
                raise
        else:
            return


def test_nobody_answers() -> None:
    """Where nobody listens, connecting fails soon, and says where and what to look at."""
    begun = time.monotonic()
    with pytest.raises(CassandraFailed, match=r"127\.0\.0\.1:9 cannot be reached.*cassandra_contact_points"):
        asyncio.run(connect(CONFIG))
    assert time.monotonic() - begun < 2 * CONNECT_S


def test_asleep_and_awake_again(own: Node) -> None:
    """A server that does not answer fails a call within the request's time, and goes on where it was when it wakes."""

    async def story() -> None:
        connection = await connect(_config(own))
        try:
            store = CassandraStore(connection)
            await applied(store, notice(1, ["ben"]))
            os.kill(own.pid, signal.SIGSTOP)
            try:
                begun = time.monotonic()
                with pytest.raises(StoreFailed, match="Cassandra at"):
                    await store.apply({0: [notice(2, ["ben"])]}, {0: 2})
                with pytest.raises(StoreFailed, match="Cassandra at"):
                    await store.rows("ben")
                seconds = time.monotonic() - begun
                assert (
                    seconds < 6 * CONFIG.request_timeout_ms / 1_000
                )  # each asks for a statement and runs it
            finally:
                os.kill(own.pid, signal.SIGCONT)
            await applied(store, notice(2, ["ben"]), retraction(3, ["ben"], 1))
            assert await back(store, "ben") == [2]
        finally:
            await connection.close()

    asyncio.run(story())


def test_killed_and_started_again(own: Node) -> None:
    """What was acknowledged outlives kill -9; an open store finds the server by itself when it is back."""

    async def story() -> None:
        connection: Cassandra = await connect(_config(own))
        try:
            store = CassandraStore(connection)
            await applied(store, *[notice(seq, ["cem"]) for seq in range(10, 60)])
            own.end(by=signal.SIGKILL)
            with pytest.raises(StoreFailed):
                await store.rows("cem")
            node = await asyncio.to_thread(restart, own)
            own.pid = node.pid
            assert await back(store, "cem") == list(range(59, 9, -1))
            assert (await store.positions())[0] == 59
            await applied(store, notice(60, ["cem"]))
            assert (await back(store, "cem"))[0] == 60
        finally:
            await connection.close()

    asyncio.run(story())


def test_a_missing_keyspace_is_said(own: Node) -> None:
    """A keyspace that is not there is an error that says which command makes it."""
    config = replace(_config(own), keyspace="nowhere")

    with pytest.raises(CassandraFailed, match=r"no keyspace nowhere.*fanbell store apply"):
        asyncio.run(connect(config))


def test_a_contact_point_that_is_none() -> None:
    """What is no host:port is refused before anybody is asked."""
    with pytest.raises(ValueError, match="host:port"):
        asyncio.run(connect(replace(CONFIG, contact_points=("host:many",))))
