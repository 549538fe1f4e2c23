"""HTTP, answered by an application: what the API, an edge's health and a worker's health have in common."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn

from fanbell.edge.http.protocol import BoundedProtocol

STOP_S: Final = 5  # requests under way have so long to end
BACKLOG: Final = 4_096  # connections the system holds for us when many come at once


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: what was accepted must be finished after the last request."""
        yield


@contextlib.asynccontextmanager
async def answering(
    app: Any, listening: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Answer HTTP requests until the end, by TLS if `tls` is given; those under way have `STOP_S` to end."""
    config = uvicorn.Config(
        app, loop="none", http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, date_header=False, timeout_graceful_shutdown=STOP_S, backlog=BACKLOG,
    )  # fmt: skip
    config.load()
    config.ssl = tls  # of files it would make a context of its own, and never look at them again
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def listen_at(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(
            f"cannot listen on {host}:{port} ({error.strerror}); name another with --port"
        ) from None
    listening.listen(
        BACKLOG
    )  # before anybody is told: whoever comes before uvicorn takes over, waits in line
    listening.setblocking(False)
    return listening
