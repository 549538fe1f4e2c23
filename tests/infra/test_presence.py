"""Presence in one process: sockets come and go, and the API says so."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.infra.up_process import END_S, Up, fanbell_up


async def join(up: Up, user: str) -> ClientConnection:
    """A socket of the user's, once it has been greeted."""
    socket = await connect(up.told["edge"], subprotocols=["fanbell.v1"], proxy=None)  # type: ignore[list-item]
    await socket.send(json.dumps({"type": "connect", "user": user}))
    assert json.loads(await socket.recv())["type"] == "hello"
    return socket


async def comes_to(client: httpx.AsyncClient, user: str, devices: int) -> dict[str, Any]:
    """Ask until the user has so many devices; the answer."""
    async with asyncio.timeout(END_S):
        while True:
            answer: dict[str, Any] = (await client.get(f"/v1/users/{user}/presence")).json()
            if answer["devices"] == devices:
                return answer
            await asyncio.sleep(0.02)


def test_sockets_show_as_devices(tmp_path: Path) -> None:
    """
    Two sockets of one user are two devices of one who is online; once both are closed nobody is, and after a restart
    of the server neither.
    """

    async def story(up: Up) -> None:
        async with httpx.AsyncClient(base_url=up.url, timeout=END_S) as client:
            first = await join(up, "ana")
            one = await comes_to(client, "ana", 1)
            second = await join(up, "ana")
            two = await comes_to(client, "ana", 2)
            metrics = (await client.get("/metrics")).text

            assert one["online"]
            assert one["last_active"] <= two["since"] == one["since"]
            assert "\nfanbell_presence_users 1.0" in metrics
            assert "\nfanbell_presence_edges 1.0" in metrics
            assert not (await comes_to(client, "ben", 0))["online"]

            await first.close()
            await comes_to(client, "ana", 1)
            await second.close()
            assert await comes_to(client, "ana", 0) == {
                "user": "ana", "online": False, "devices": 0, "since": None, "last_active": None,
            }  # fmt: skip
            await join(up, "ana")
            await comes_to(client, "ana", 1)

    async def after(up: Up) -> None:
        async with httpx.AsyncClient(base_url=up.url, timeout=END_S) as client:
            assert not (await comes_to(client, "ana", 0))["online"]

    for part in (story, after):
        with fanbell_up(tmp_path) as up:
            asyncio.run(part(up))
            assert up.end() == 0
