"""Presence over a real Kafka: edges die, and their users are not here any more."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from fanbell.infra.local.cluster import Cluster
from tests.cluster.processes import Installation, Process, installation
from tests.cluster.short_lease import LEASE_MS
from tests.infra.test_presence import comes_to
from tests.infra.up_process import END_S

pytestmark = pytest.mark.cluster
SHORT_LEASE = ("tests.cluster.short_lease",)


@pytest.fixture
def made(servers: Cluster, tmp_path: Path) -> Iterator[Installation]:
    with installation(servers, tmp_path, partitions=2) as found:
        yield found


async def join(edge: Process, user: str) -> ClientConnection:
    """A socket of the user's, once it has been greeted."""
    socket = await connect(edge.told["edge"], subprotocols=["fanbell.v1"], proxy=None)  # type: ignore[list-item]
    await socket.send(json.dumps({"type": "connect", "user": user}))
    assert json.loads(await socket.recv())["type"] == "hello"
    return socket


def test_users_of_an_edge_that_is_killed_go_when_its_lease_ends(made: Installation) -> None:
    """
    Every API knows who is at any edge. After kill -9 of an edge its users show for as long as its lease, then only
    where they are still; users of an edge that ends in good order go at once.
    """
    edges = [made.start("edge", "--port", "0", module=SHORT_LEASE) for _ in range(2)]
    api = made.start("api", "--port", "0")

    async def presence(client: httpx.AsyncClient, user: str) -> dict[str, Any]:
        found: dict[str, Any] = (await client.get(f"/v1/users/{user}/presence")).json()
        return found

    async def story() -> None:
        async with httpx.AsyncClient(base_url=api.told["http"], timeout=END_S) as client:
            sockets = [await join(edges[0], user) for user in ("ana", "ben")]
            sockets.append(await join(edges[1], "ana"))
            await asyncio.gather(comes_to(client, "ana", 2), comes_to(client, "ben", 1))
            assert (await client.get("/v1/stats")).json()["presence"]["edges"] == 2
            late = await asyncio.to_thread(made.start, "api", "--port", "0")
            async with httpx.AsyncClient(base_url=late.told["http"], timeout=END_S) as other:
                assert (await presence(other, "ben"))["devices"] == 1  # before anything is said anew

            edges[0].kill()
            killed = time.monotonic()
            await asyncio.gather(comes_to(client, "ben", 0), comes_to(client, "ana", 1))
            # A word that was on its way when the edge died counts from when it was said.
            assert time.monotonic() - killed < 3 * LEASE_MS / 1_000
            assert (await client.get("/v1/stats")).json()["presence"] | {"repeats": 0} == {
                "users": 1, "edges": 1, "repeats": 0, "holes": 0, "dropped": 0, "strange": 0,
            }  # fmt: skip

            assert await asyncio.to_thread(edges[1].end) == 0
            assert (await comes_to(client, "ana", 0))["since"] is None

    asyncio.run(story())
