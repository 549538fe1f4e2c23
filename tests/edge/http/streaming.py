"""A server with its HTTP port and its WebSocket edge on real sockets, and a client of its event streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from fanbell.edge.auth import Auth
from fanbell.edge.http.app import CALLS, create_app
from fanbell.edge.socket import Edge
from fanbell.edge.streams import Streams
from fanbell.infra.answering import answering, listen_at
from fanbell.infra.settings import Settings
from tests.edge.fake_notices import FakeNotices, inbox_of

PATIENCE_S = 10.0


class Event:
    """One event, as a browser would hand it over. `data` is JSON."""

    def __init__(self, block: bytes) -> None:
        lines = [line.partition(b":") for line in block.split(b"\n") if not line.startswith(b":")]
        self.fields = {name.decode(): value.removeprefix(b" ").decode() for name, _, value in lines if name}
        self.type = self.fields.get("event", "message")
        self.id = self.fields.get("id")
        self.data: Any = json.loads(self.fields["data"]) if "data" in self.fields else None


class Heard:
    """What a stream says, event by event. `last_id` is what a browser would come back with."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id: str | None = None
        self.comments = 0
        self.retry: str | None = None
        self._bytes = answer.aiter_raw()
        self._rest = b""

    async def any(self) -> Event | None:
        """The next event; None at the end."""
        while True:
            block = await asyncio.wait_for(self._block(), PATIENCE_S)
            if block is None:
                return None
            self.comments += block.startswith(b":")
            event = Event(block)
            self.retry = event.fields.get("retry", self.retry)
            if event.data is not None:
                self.last_id = event.id or self.last_id
                return event

    async def _block(self) -> bytes | None:
        while b"\n\n" not in self._rest:
            try:
                self._rest += await anext(self._bytes)
            except StopAsyncIteration:
                return None
        block, _, self._rest = self._rest.partition(b"\n\n")
        return block

    async def hear(self, *types: str) -> dict[str, Any]:
        """The next event of these types; hello, counters and pongs are passed over unless asked for."""
        while True:
            event = await self.any()
            assert event is not None, "the stream ended"
            if event.type in types:
                data: dict[str, Any] = event.data
                assert data.get("type", event.type) == event.type
                return data
            assert event.type in ("counts", "hello", "pong"), event.fields

    async def closed(self) -> dict[str, Any]:
        """What the server ends with; nothing follows it."""
        while True:
            event = await self.any()
            assert event is not None, "the stream ended without a word"
            if event.type == "close":
                data: dict[str, Any] = event.data
                assert await self.any() is None
                return data


class Server:
    """`client` asks it; `stream` opens a stream."""

    def __init__(self, backend: FakeNotices, secrets: tuple[str, ...], settings: Settings) -> None:
        self.backend = backend
        self.settings = settings
        self.auth = Auth(secrets)
        self.inbox = inbox_of(backend)
        self.edge = Edge(backend, self.inbox, settings, self.auth)
        self.streams = Streams(self.edge)
        self.url = ""
        self.port = 0

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, verify=False) as client:
            yield client

    @asynccontextmanager
    async def stream(
        self, user: str, headers: dict[str, str] | None = None, **query: str
    ) -> AsyncIterator[Heard]:
        async with (
            self.asking() as client,
            client.stream("GET", f"/v1/users/{user}/stream", headers=headers, params=query) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            yield Heard(answer)

    async def refused(
        self, user: str, headers: dict[str, str] | None = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and problem of a stream that is not to be had."""
        async with self.asking() as client:
            answer = await client.get(f"/v1/users/{user}/stream", headers=headers, params=query)
        return answer.status_code, answer.json()

    async def ticket(self, headers: dict[str, str], **body: str) -> str:
        async with self.asking() as client:
            answer = await client.post("/v1/tickets", headers=headers, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["ticket"])


@asynccontextmanager
async def running(
    backend: FakeNotices | None = None, secrets: tuple[str, ...] = (), **settings: Any
) -> AsyncIterator[Server]:
    """A server, stopped in the order in which a process stops: streams, HTTP, edge."""
    server = Server(backend or FakeNotices(), secrets, replace(Settings(), **settings))
    await server.edge.start("127.0.0.1", 0)
    listening = listen_at("127.0.0.1", 0)
    server.port = listening.getsockname()[1]
    server.url = f"http://127.0.0.1:{server.port}"
    app = create_app(
        server.backend,
        server.inbox,
        server.settings,
        server.auth,
        CALLS,
        streams=server.streams,
    )
    try:
        async with answering(app, listening):
            try:
                yield server
            finally:
                await server.streams.stop(2.0)
    finally:
        listening.close()
        await server.edge.stop(2.0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until `holds`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what the edge counts has no signal of its own
            await asyncio.sleep(0.005)
