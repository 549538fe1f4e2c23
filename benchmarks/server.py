"""`fanbell up` as a process of its own, and a client that costs little: plain HTTP/1.1 on raw connections."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.harness import cpu_s

FANBELL: Final = Path(sys.executable).parent / "fanbell"
END_S: Final = 60  # a server that takes longer to end hangs
_LENGTH: Final = b"content-length:"


class Up:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[str]", told: dict[str, Any]) -> None:
        self.pid = process.pid
        at = urlsplit(told["http"])
        self.host, self.port = str(at.hostname), int(at.port or 0)
        self.edge = str(told["edge"])

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def get(self, path: str) -> bytes:
        """A whole request."""
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()

    def send(self, method: str, path: str, body: bytes) -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        )
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def fanbell_up(data: Path, **settings: object) -> Iterator[Up]:
    """A server on free ports with its data in `data`, until the block ends; stopped by SIGTERM."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FANBELL_")}
    environ.update({f"FANBELL_{name.upper()}": str(value) for name, value in settings.items()})
    command = [str(FANBELL), "up", "--data", str(data), "--port", "0", "--json"]
    log_path = data.parent / "server.log"
    with (
        log_path.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"fanbell up never listened: {log_path.read_text()}")
            yield Up(process, json.loads(line))
            process.terminate()
            if process.wait(END_S) != 0:
                raise RuntimeError(
                    f"fanbell up ended with {process.returncode}: {log_path.read_text()[-2_000:]}"
                )
        finally:
            process.kill()


class Client(asyncio.Protocol):
    """One connection, one request at a time. Answers must say their length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server hung up"))

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send; the answer's status and body."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = buffer[:end].lower()
        at = head.find(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(buffer) < end + 4 + length:
            return
        self._buffer = b""
        assert self._answer is not None
        self._answer.set_result((int(buffer[9:12]), buffer[end + 4 :]))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def clients(up: Up, count: int) -> AsyncIterator[list[Client]]:
    """So many connections to the API."""
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Client, up.host, up.port))[1] for _ in range(count)]
    try:
        yield made
    finally:
        for client in made:
            client.close()


async def stats(up: Up, client: Client) -> dict[str, Any]:
    """What `GET /v1/stats` says."""
    status, body = await client.ask(up.get("/v1/stats"))
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


async def until_none(up: Up, client: Client, *names: str, within_s: float = 60.0) -> float:
    """Wait until these statistics are all 0; how long it took, in s. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(within_s):
        while True:
            found = await stats(up, client)
            if not any(found[name] for name in names):
                break
            await asyncio.sleep(0.02)
    return loop.time() - begun
