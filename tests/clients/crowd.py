"""Many clients in one process, cheap enough for thousands: `python -m tests.clients.crowd PORT COUNT`.

Each connects at once, says which user it is (`u0`, `u1`, …) and goes by the close codes' table: whether to come back,
and after how long. Reads a command a line, answers by a line of JSON: `live` (once all are), `heard N` (once all have
heard N notifications each), `leave`.
"""

import asyncio
import json
import resource
import sys
from base64 import b64encode
from collections import Counter
from random import random
from struct import unpack
from time import monotonic
from typing import Any, cast

import uvloop

from fanbell.edge.close_codes import comes_back, wait_ms

OP_TEXT, OP_CLOSE, OP_PING, OP_PONG = 1, 8, 9, 10
KEY = b64encode(bytes(16)).decode()


class Crowd:
    """All clients, and what is counted of them."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.codes: Counter[str] = Counter()
        self.live = 0
        self.leaving = False
        self.event = asyncio.Event()
        self.people = [Person(self, f"u{number}") for number in range(count)]

    def changed(self) -> None:
        self.event.set()

    async def do(self, command: str, number: int) -> dict[str, Any]:
        """Do what `command` says, and answer when it is so."""
        since = monotonic()
        match command:
            case "live":
                await self._until(lambda: self.live == len(self.people))
            case "heard":
                await self._until(lambda: all(len(person.heard) >= number for person in self.people))
            case "leave":
                self.leaving = True
                for person in self.people:
                    person.leave()
                await self._until(lambda: not any(person.transport for person in self.people))
        wanted = [f"n{one + 1}" for one in range(number)]
        return {
            "took_s": monotonic() - since,
            "live": self.live,
            "codes": dict(self.codes),
            "wrong": sum(person.heard != wanted for person in self.people) if command == "heard" else 0,
        }

    async def _until(self, holds: Any) -> None:
        while not holds():
            self.event.clear()
            await self.event.wait()


class Person(asyncio.Protocol):
    """One client, across its connections."""

    def __init__(self, crowd: Crowd, user: str) -> None:
        self.crowd = crowd
        self.user = user
        self.heard: list[str] = []
        self.cursor: str | None = None
        self.transport: asyncio.Transport | None = None
        self.failures = 0
        self._forget()

    def _forget(self) -> None:
        self.data = b""
        self.open = self.is_live = False
        self.code: int | None = None

    async def come(self) -> None:
        """Connect; again later if nobody is there."""
        self._forget()
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, "127.0.0.1", self.crowd.port)
        except OSError as error:
            self.crowd.codes[type(error).__name__] += 1
            self._come_back()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.crowd.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: fanbell.v1\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.open:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.crowd.codes[head[9:12].decode()] += 1
                return
            self.open, self.data = True, rest
            cursor = {"cursor": self.cursor} if self.cursor else {}
            self.say(OP_TEXT, json.dumps({"type": "connect", "user": self.user, **cursor}).encode())
        self._frames()

    def _frames(self) -> None:
        data, at = self.data, 0
        while len(data) - at >= 2:
            head, size = at + 2, data[at + 1]
            if size == 126:
                if len(data) < at + 4:
                    break
                head, size = at + 4, unpack(">H", data[at + 2 : at + 4])[0]
            elif size == 127:
                if len(data) < at + 10:
                    break
                head, size = at + 10, unpack(">Q", data[at + 2 : at + 10])[0]
            if len(data) < head + size:
                break
            self._frame(data[at] & 15, data[head : head + size])
            at = head + size
        self.data = data[at:]

    def _frame(self, op: int, payload: bytes) -> None:
        if op == OP_CLOSE:
            self.code = unpack(">H", payload[:2])[0] if payload else 1005
            self.say(OP_CLOSE, payload[:2])
        elif op == OP_PING:
            self.say(OP_PONG, payload)
        elif op == OP_TEXT:
            self._told(json.loads(payload))

    def _told(self, frame: dict[str, Any]) -> None:
        self.cursor = frame.get("cursor") or self.cursor
        if frame["type"] == "notification":
            self.heard.append(frame["item"]["id"])
            self.crowd.changed()
        elif frame["type"] == "page" or (frame["type"] == "hello" and frame["recovered"]):
            self.is_live, self.failures = True, 0
            self.crowd.live += 1
            self.crowd.changed()

    def say(self, op: int, payload: bytes) -> None:
        """A frame, masked by zeros: the mask protects proxies, and there is none."""
        assert self.transport is not None
        size = len(payload)
        head = bytes((0x80 | op, 0x80 | size)) if size < 126 else bytes((0x80 | op, 0xFE)) + size.to_bytes(2)
        self.transport.write(head + bytes(4) + payload)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.crowd.live -= self.is_live
        self.crowd.codes[str(self.code or ("lost" if self.open else "no handshake"))] += 1
        self.crowd.changed()
        self._come_back()

    def _come_back(self) -> None:
        if self.crowd.leaving or not comes_back(self.code):
            return
        after_s = wait_ms(self.code, self.failures, random()) / 1000
        self.failures += 1
        loop = asyncio.get_running_loop()
        loop.call_later(after_s, lambda: loop.create_task(self.come()))

    def leave(self) -> None:
        if self.transport is not None:
            self.say(OP_CLOSE, (1000).to_bytes(2))


async def run(port: int, count: int) -> None:
    """All come at once; then answer commands until there are no more."""
    crowd = Crowd(port, count)
    coming = [asyncio.ensure_future(person.come()) for person in crowd.people]
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        answer = await crowd.do(line[0], int(line[1]) if len(line) > 1 else 0)
        print(json.dumps(answer), flush=True)
    for task in coming:
        task.cancel()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(int(sys.argv[1]), int(sys.argv[2])))
