"""An edge in a process of its own, told what happens by commands; or a bare server of `websockets` beside it.

    python -m benchmarks.edge.serve '{"users": 2000, "recipients": 34, …}'

The edge is the real one, with tokens and keepalive as they are by default, on uvloop as `fanbell edge` is. What an
edge's process does for every record of the log it does here: decode it, and tell the inbox projection and the edge.
Where a real one reads from Kafka, this one puts a record together out of bytes at hand.

It says a line of JSON once it listens, and one for each command that stdin carries:

    feed RATE SECONDS   tell of RATE activities a second, evenly; 0: as many as it can, one after the other
    stats               what the edge says of itself, resident size, and CPU time

What is due while the loop is at work is told at its next turn, all at once, as a reader of the log would; the time
in an activity's id is when it was due, so whatever comes too late shows.
"""

import asyncio
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec
import structlog
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.edge.notices import EPOCH, Fed, activities, id_of, shapes_of
from benchmarks.harness import cpu_s, rss_bytes
from benchmarks.load import Sockets, numbers_in, sockets, users_file
from fanbell.edge.auth import Auth, make_token
from fanbell.edge.backend import Backend
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.socket import Edge
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Notice

SECRET: Final = "a secret that only this benchmark uses"
HOST: Final = "127.0.0.1"
AT_ONCE_MAX: Final = 64  # activities told in one turn of the loop, so that sockets get theirs in between
SETTLE_S: Final = 0.2  # after the last record, for buffers to empty
TURN_S: Final = 0.001  # a timer of the loop is no finer


class Load(msgspec.Struct):
    """What is told to whom. `before`: activities that are in log and store when the edge starts."""

    users: int
    recipients: int
    partitions: int = 8
    data_bytes: int = 100
    pool: int = 500
    before: int = 0
    bare: bool = False
    tokens: bool = True

    @property
    def names(self) -> list[str]:
        return [f"user{number}" for number in range(self.users)]

    def line(self, user: str) -> tuple[str, ...]:
        """Who connects, as the load client is told."""
        return (user, make_token(SECRET, user, ["user"], 3_600)) if self.tokens else (user,)


class Teller(Protocol):
    def tell(self, first: int, stamps_ns: list[int]) -> int:
        """Tell of activities, the first by this number; to how many recipients that was."""
        ...

    def stats(self) -> dict[str, object]: ...


class OfEdge:
    """Tells by the edge."""

    def __init__(self, load: Load) -> None:
        count = max(load.pool, load.before)
        self._pool = activities(
            load.names, load.partitions, recipients=load.recipients, count=count, data_bytes=load.data_bytes
        )
        self._before = load.before
        self._fed = Fed(load.partitions, keeps=load.before > 0)
        settings = Settings(inbox_keep_days=0) if load.before else Settings()
        auth = Auth([SECRET] if load.tokens else [])
        self.edge = Edge(cast(Backend, self._fed), self._fed.inbox, settings, auth)

    async def start(self) -> int:
        if self._before:
            await self._fed.keep(self._pool[: self._before])
        await self.edge.start(HOST, 0)
        return self.edge.port

    def tell(self, first: int, stamps_ns: list[int]) -> int:
        pool = self._pool
        return self._fed.tell([(pool[(first + i) % len(pool)], ns) for i, ns in enumerate(stamps_ns)])

    def stats(self) -> dict[str, object]:
        return self.edge.stats()


class OfBare:
    """Tells by `websockets.broadcast`: a text of the same length as the edge's frame, the same for all."""

    def __init__(self, load: Load) -> None:
        self._connections: set[ServerConnection] = set()
        fed = Fed(1, keeps=False)
        (shape,) = shapes_of(0, load.names[:1], 1, load.data_bytes)
        told = cast(Notice, decode(shape.record(1, id_of(0, 0).encode())))
        item = fed.inbox.item_of(told, {}, "en").decode()
        text = f'{{"type":"notification","item":{item},"cursor":"{encode_cursor(EPOCH, 1)}"}}'
        self._before, self._after = text.split(id_of(0, 0))

    async def start(self) -> int:
        server = await serve(self._handle, HOST, 0, compression=None, backlog=1_024, max_queue=4)
        return int(next(iter(server.sockets)).getsockname()[1])

    async def _handle(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)

    def tell(self, first: int, stamps_ns: list[int]) -> int:
        for number, stamp_ns in enumerate(stamps_ns, first):
            text = self._before + id_of(stamp_ns, number) + self._after
            broadcast(self._connections, text)
        return len(stamps_ns) * len(self._connections)

    def stats(self) -> dict[str, object]:
        return {"sockets": len(self._connections)}


async def feed(teller: Teller, rate: float, seconds: float) -> dict[str, Any]:
    """Tell for so long; what that took of this process."""
    begun_ns, cpu = time.monotonic_ns(), time.process_time()
    told = recipients = 0
    late_ns = turns = 0
    while (now_ns := time.monotonic_ns()) < begun_ns + seconds * 1e9:
        if not rate:
            recipients += teller.tell(told, [now_ns])
            told += 1
            turns += 1
            await asyncio.sleep(0)
            continue
        due = min(int((now_ns - begun_ns) / 1e9 * rate) + 1, told + AT_ONCE_MAX)
        if due > told:
            stamps = [begun_ns + int(number / rate * 1e9) for number in range(told, due)]
            late_ns = max(late_ns, now_ns - stamps[0])
            recipients += teller.tell(told, stamps)
            told = due
            turns += 1
        wait_s = (begun_ns + told / rate * 1e9 - time.monotonic_ns()) / 1e9
        await asyncio.sleep(max(0.0, wait_s) if wait_s > TURN_S else 0)
    took_s = (time.monotonic_ns() - begun_ns) / 1e9
    await asyncio.sleep(SETTLE_S)
    return {
        "activities": told,
        "recipients": recipients,
        "seconds": took_s,
        "cpu_s": time.process_time() - cpu,
        "late_ms_max": late_ns / 1e6,
        "turns": turns,
    }


def stats(teller: Teller) -> dict[str, Any]:
    gc.collect()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    return {"edge": teller.stats(), "rss_bytes": rss_bytes(), "cpu_s": time.process_time()}


async def serving(load: Load) -> None:
    teller = OfBare(load) if load.bare else OfEdge(load)
    port = await teller.start()
    print(json.dumps({"port": port}), flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, *more = line.decode().split()
        answer = await feed(teller, *map(float, more)) if word == "feed" else stats(teller)
        print(json.dumps(answer), flush=True)


class Served:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.at = (HOST, int(self._answer()["port"]))

    @property
    def cpu_s(self) -> float:
        return cpu_s(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def served(load: Load) -> Iterator[Served]:
    """A server of its own process, killed at the end of the block; what it logs goes where ours does."""
    command = [sys.executable, "-m", "benchmarks.edge.serve", msgspec.json.encode(load).decode()]
    folder = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


@contextmanager
def connected(load: Load, server: Served, *, bare: bool = False, ids: bool = False) -> Iterator[Sockets]:
    """Sockets of all users of `load`, open, until the end of the block. Raises NoCompiler."""
    with tempfile.TemporaryDirectory() as name:
        users = users_file(Path(name) / "users", [load.line(user) for user in load.names])
        with sockets(server.at, users, bare=bare, ids=ids) as client:
            client.ask("opened")
            yield client


class Turn(NamedTuple):
    """What the server says it told, what the client saw of it, and the client's CPU time."""

    told: dict[str, Any]
    seen: dict[str, Any]
    client_cpu_s: float


def fed(server: Served, client: Sockets, rate: float, seconds: float) -> Turn:
    """Tell of `rate` activities a second for so long (0: as many as go), until the client has heard all."""
    client.ask("mark")
    used = client.cpu_s
    told = server.ask(f"feed {rate} {seconds}")
    client.say(f"until {told['recipients']}")
    client.answer()
    seen = client.ask("report")
    assert not seen["closed"], f"sockets were lost: {seen['closed']}"
    return Turn(told, seen, client.cpu_s - used)


def heard_by(client: Sockets) -> dict[str, list[int]]:
    """By user, the numbers of the notifications that a client with `ids` was told of."""
    with tempfile.TemporaryDirectory() as name:
        client.ask(f"ids {Path(name) / 'ids'}")
        return numbers_in(Path(name) / "ids")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(serving(msgspec.json.decode(sys.argv[1], type=Load)))
