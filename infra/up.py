"""`fanbell up`: the API, the edge and the runner in one process, until it is told to stop."""

import asyncio
import contextlib
import dataclasses
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import structlog
import uvicorn
import uvloop

from fanbell.edge.auth import Auth, BadSecret, UnsafeBind, check_bind
from fanbell.edge.backend import Unavailable
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.http.app import create_app
from fanbell.edge.http.protocol import BoundedProtocol
from fanbell.edge.page import mount_page
from fanbell.edge.socket import Edge
from fanbell.infra import logs
from fanbell.infra.cli.exits import Exit
from fanbell.infra.embedded import Embedded
from fanbell.infra.fold_process import GC_THRESHOLD
from fanbell.infra.lock import FolderInUse, FolderUnusable
from fanbell.infra.settings import Settings
from fanbell.projections.inbox import Inbox
from fanbell.projections.store import StoreFailed
from fanbell.streams.log import LogFailed
from fanbell.streams.replica import LogShort
from fanbell.streams.snapshots import SnapshotFailed
from fanbell.streams.sqlite import DatabaseFailed

logger = structlog.get_logger()

DRAIN_S: Final = 3.0  # sessions have so long to agree to close
STOP_S: Final = 5  # requests under way have so long to end
BACKLOG: Final = 4_096  # connections the system holds for us when many come at once

REFUSALS: Final = (
    BadSecret, UnsafeBind, FolderInUse, FolderUnusable, DatabaseFailed, StoreFailed, SnapshotFailed, LogFailed,
    LogShort, Unavailable, OSError,
)  # fmt: skip
"""What keeps a server from starting, said in one line rather than by a traceback."""
WRONG_SETTINGS: Final = (BadSecret, UnsafeBind)  # those of them that another setting cures


class Running(NamedTuple):
    """A started server."""

    backend: Embedded
    edge: Edge
    inbox: Inbox
    settings: Settings
    http: str
    """Address of the API, such as http://127.0.0.1:8787."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: what was accepted must be finished after the last request."""
        yield


@contextlib.asynccontextmanager
async def running(
    settings: Settings, about: Callable[[], Mapping[str, Any]] | None = None
) -> AsyncIterator[Running]:
    """Start everything; stop it at the end, losing nothing. `about`: what the demo page shows, where it is wanted.

    Raises one of `REFUSALS`.
    """
    check_bind(settings.host, settings.secrets)
    auth = Auth(settings.secrets)
    listening = _listen(settings.host, settings.port)
    backend = None
    try:
        port = int(listening.getsockname()[1])
        edge_port = settings.edge_port or (port + 1 if settings.port else 0)
        backend = await _open(settings)
        epoch = backend.epoch
        inbox = Inbox(backend.store, lambda: backend.rules, lambda seq: encode_cursor(epoch, seq))
        stop_listening = backend.listen(inbox.told)
        edge = Edge(backend, inbox, dataclasses.replace(settings, port=port), auth)
        await edge.start(settings.host, edge_port)
        settings = dataclasses.replace(settings, port=port, edge_port=edge.port)
        app: Any = create_app(backend, inbox, settings, auth)
        if about is not None:
            app = mount_page(app, edge.port, settings.edge_url, about())
        server = _Server(
            uvicorn.Config(
                app, loop="none", http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, date_header=False, timeout_graceful_shutdown=STOP_S, backlog=BACKLOG,
            )
        )  # fmt: skip
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            yield Running(backend, edge, inbox, settings, f"http://{host}:{port}")
        finally:
            server.should_exit = True
            await serving
            await edge.stop(DRAIN_S)
            stop_listening()
    finally:
        listening.close()
        if backend is not None:
            await backend.stop()


async def _open(settings: Settings) -> Embedded:
    backend = Embedded(settings)
    try:
        await backend.start()
    except BaseException:
        await backend.stop()
        raise
    return backend


def _listen(host: str, port: int) -> socket.socket:
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


def run(settings: Settings, json: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    return serve(settings, json, lambda live: _say(live, json))


def serve(
    settings: Settings,
    json: bool,
    started: Callable[[Running], Any],
    about: Callable[[], Mapping[str, Any]] | None = None,
) -> int:
    """Serve until a signal. `started` is called once it listens; a coroutine it returns runs beside, until the end."""
    logs.configure({"json": True, "text": False}.get(settings.log_format, True if json else None))
    gc.set_threshold(*GC_THRESHOLD)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with running(settings, about) as live:
            gc.freeze()
            beside = started(live)
            task = asyncio.create_task(beside) if asyncio.iscoroutine(beside) else None
            await stop.wait()
            logger.info("stopping")
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    try:
        uvloop.run(main())
    except REFUSALS as error:
        sys.stderr.write(f"fanbell: {error}\n")
        return Exit.USAGE if isinstance(error, WRONG_SETTINGS) else Exit.FAILED
    return Exit.OK


def _say(live: Running, json: bool) -> None:
    edge = f"ws://{live.settings.host}:{live.edge.port}"
    if json:
        said = {
            "http": live.http,
            "edge": edge,
            "data": str(live.settings.data),
            "tokens": bool(live.settings.secrets),
        }
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    else:
        sys.stdout.write(
            f"Fanbell listens on {live.http} (WebSocket edge {edge}), data in {live.settings.data}\n"
        )
        if not live.settings.secrets:
            sys.stdout.write(
                "No token secret is set: everybody on this machine may do everything, nobody else can reach it.\n"
            )
    sys.stdout.flush()
