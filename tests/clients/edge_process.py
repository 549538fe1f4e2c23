"""An edge in a process of its own, over a memory of notices: `python -m tests.clients.edge_process PORT USERS`.

Reads a command a line and answers each by a line of JSON: `tell N` (N notifications to everybody), `stop`, `start`,
`stats`. Users are `u0`, `u1`, …
"""

import asyncio
import ctypes
import gc
import json
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import psutil
import uvloop

from fanbell.edge.auth import Auth
from fanbell.edge.connection import Connection
from fanbell.edge.feed import Feed
from fanbell.edge.link import SocketLink
from fanbell.edge.socket import Edge
from fanbell.infra.settings import Settings
from fanbell.schemas.partitions import partition_of
from tests.edge.fake_notices import FakeNotices, inbox_of

KINDS = (Connection, SocketLink, Feed)
DRAIN_S = 5.0


class Server:
    """The edge, and what it tells of."""

    def __init__(self, users: int) -> None:
        self.backend = FakeNotices()
        self.inbox = inbox_of(self.backend)
        self.groups: list[list[str]] = [[] for _ in range(self.backend.partitions)]
        for number in range(users):
            self.groups[partition_of(f"u{number}", self.backend.partitions)].append(f"u{number}")
        self.told = 0
        self.edge: Edge | None = None
        self.port = 0

    async def do(self, command: str, number: int) -> dict[str, Any]:
        """Do what `command` says."""
        match command:
            case "start":
                self.edge = Edge(self.backend, self.inbox, replace(Settings(), inbox_keep=50), Auth(()))
                await self.edge.start("127.0.0.1", self.port)
                self.port = self.edge.port
                return {"port": self.port}
            case "stop":
                assert self.edge is not None
                await self.edge.stop(DRAIN_S)
                return {"stopped": True}
            case "tell":
                for _ in range(number):
                    self.told += 1
                    for group in filter(None, self.groups):
                        await self.backend.notice(group, f"n{self.told}")
                        await asyncio.sleep(0)
                return {"told": self.told}
        assert self.edge is not None
        return {**self.edge.stats(), "left": left_over(), "resident_bytes": resident_bytes()}


def left_over() -> dict[str, int]:
    """Objects of those that have gone which are still there."""
    gc.collect()
    types = Counter(type(one) for one in gc.get_objects())
    counted = {kind.__name__: sum(types[one] for one in types if issubclass(one, kind)) for kind in KINDS}
    return {name: count for name, count in counted.items() if count}


def resident_bytes() -> int:
    """What this process holds, once it has given back what it can."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


async def serve(port: int, users: int) -> None:
    """Answer commands until there are no more."""
    server = Server(users)
    server.port = port
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        answer = await server.do(line[0], int(line[1]) if len(line) > 1 else 0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
