"""A line that breaks: a TCP proxy whose connections fail by a plan that a seed makes.

What TCP itself keeps is kept: bytes come in order or not at all. But for `drop`, which takes bytes out of the middle of
what the server says, as a broken middlebox would: the client sees garbage, and must not take it for news.
"""

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Final

FAULTS: Final = ("cut", "reset", "half_open", "stall_down", "stall_up", "drop", "delay", "none")
AFTER_READS_MAX: Final = 14  # of both directions: the handshake is two, hello and page one or two
READ_BYTES: Final = 16_384
DELAY_S: Final = 0.03


class _Line:
    """One connection, which fails as `fault` says after `after` reads."""

    def __init__(self, fault: str, after: int, random: Random, hit: Counter[str]) -> None:
        self.fault, self.after = fault, after
        self.random = random
        self.hit = hit
        self.reads = 0

    async def carry(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], port: int) -> None:
        """Until either side, or the fault, ends it."""
        try:
            server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # it restarts
            client[1].transport.abort()
            return
        self.client, self.server = client[1], server[1]
        try:
            async with asyncio.TaskGroup() as tasks:
                ways = [
                    tasks.create_task(self._pump(server[0], client[1], "down")),
                    tasks.create_task(self._pump(client[0], server[1], "up")),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            client[1].transport.abort()
            server[1].transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Carry one direction; returning ends both."""
        with suppress(OSError):  # the other side is gone already
            while data := await reader.read(READ_BYTES):
                self.reads += 1
                if self.reads > self.after:
                    if not await self._fail(way):
                        return
                    if self.fault == "drop" and way == "down" and len(data) > 64:
                        data, self.fault = self._torn(data), "none"
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def _fail(self, way: str) -> bool:
        """Do what the fault says; whether the line still carries anything in this direction."""
        if self.fault != "none":
            self.hit[self.fault] += self.reads == self.after + 1
        match self.fault:
            case "cut":
                return False
            case "reset":
                linger = struct.pack("ii", 1, 0)
                for writer in (self.client, self.server):
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            case "half_open":
                self.server.transport.abort()  # the server hears of it, the client does not
                await self._until_the_client_gives_up()
                return False
            case "stall_down" | "stall_up" if self.fault.endswith(way):
                await self._until_the_client_gives_up()
                return False
            case "delay":
                await asyncio.sleep(DELAY_S * self.random.random())
        return True

    async def _until_the_client_gives_up(self) -> None:
        with suppress(ConnectionError):
            await self.client.wait_closed()

    def _torn(self, data: bytes) -> bytes:
        """`data` without a few bytes of its middle."""
        at, size = len(data) // 2, self.random.randint(1, 7)
        return data[:at] + data[at + size :]


class Proxy:
    """Listens at `port`; carries to `target`, a port. `calm` and no new connection fails."""

    def __init__(self, random: Random, target: int) -> None:
        self.random = random
        self.target = target
        self.calm = False
        self.hit: Counter[str] = Counter()
        self._lines: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = "none" if self.calm else self.random.choice(FAULTS)
        line = _Line(fault, self.random.randint(2, AFTER_READS_MAX), self.random, self.hit)
        task = asyncio.get_running_loop().create_task(line.carry((reader, writer), self.target))
        self._lines.add(task)
        task.add_done_callback(self._lines.discard)
