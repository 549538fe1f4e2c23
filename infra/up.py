"""A process that answers people: the API, the edge, or both, over a backend, until it is told to stop.

`fanbell up` runs the embedded backend so, `fanbell api` and `fanbell edge` that of a cluster (`clustered.py`).
"""

import asyncio
import contextlib
import dataclasses
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple

import msgspec
import structlog
import uvloop

from fanbell.edge.addresses import BadProxy, Proxies
from fanbell.edge.auth import Auth, BadSecret, UnsafeBind, check_bind
from fanbell.edge.backend import Backend, Unavailable
from fanbell.edge.client_files import mount_client
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.http.app import CALLS, EDGE_CALLS, create_app
from fanbell.edge.jwks import BadJwksUrl
from fanbell.edge.page import mount_page
from fanbell.edge.socket import Edge
from fanbell.edge.streams import Streams
from fanbell.infra import logs, refusals
from fanbell.infra.answering import answering, listen_at
from fanbell.infra.certificate import Certificate
from fanbell.infra.cli.exits import Exit
from fanbell.infra.embedded import Embedded
from fanbell.infra.fold_process import GC_THRESHOLD_LIVE
from fanbell.infra.patience import Stopped
from fanbell.infra.settings import Settings
from fanbell.projections.inbox import Inbox
from fanbell.streams.sqlite import DatabaseFailed

logger = structlog.get_logger()

DRAIN_S: Final = 3.0  # sessions have so long to agree to close
WRONG_SETTINGS: Final = (*refusals.WRONG_SETTINGS, BadSecret, BadJwksUrl, BadProxy, UnsafeBind)
REFUSALS: Final = (*refusals.REFUSALS, *WRONG_SETTINGS, DatabaseFailed, Unavailable)
"""What keeps a server from starting, said in one line rather than by a traceback; and of those, what another setting
cures."""


class Opened(NamedTuple):
    """A backend that runs. `failed` is set when it cannot go on, and the process had better end."""

    backend: Backend
    failed: asyncio.Event


Open = Callable[[Settings], AbstractAsyncContextManager[Opened]]
"""How a backend is opened, and closed at the end, losing nothing."""


class Parts(NamedTuple):
    """What a process answers: the HTTP API, or only its own health; people's sockets and streams, or none."""

    api: bool = True
    edge: bool = True


BOTH: Final = Parts()


class Running(NamedTuple):
    """A started server."""

    backend: Backend
    edge: Edge | None
    inbox: Inbox
    settings: Settings
    http: str
    """Address of the API, such as http://127.0.0.1:8787."""
    failed: asyncio.Event
    certificate: Certificate | None = None
    """What TLS is spoken with, if it is."""

    async def drain(self, over_s: float, hurry: asyncio.Event) -> None:
        """Ask sessions to go elsewhere over `over_s` seconds, less if `hurry` is set or the backend fails."""
        if self.edge is None or not over_s:
            return
        asking = asyncio.create_task(self.edge.drain(over_s))
        ends = [asking, *(asyncio.create_task(event.wait()) for event in (hurry, self.failed))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


@contextlib.asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Opened]:
    """Everything in one process. Raises one of `REFUSALS`."""
    backend = Embedded(settings)
    try:
        await backend.start()
        yield Opened(backend, asyncio.Event())
    finally:
        await backend.stop()


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    about: Callable[[], Mapping[str, Any]] | None = None,
    opened: Open = embedded,
    parts: Parts = BOTH,
) -> AsyncIterator[Running]:
    """Start everything; stop it at the end, losing nothing. `about`: what the demo page shows, where it is wanted.

    Raises one of `REFUSALS`.
    """
    check_bind(settings.host, settings.secrets, settings.token_jwks_url)
    Proxies(settings.trusted_proxies)  # before anything is made
    auth = Auth.of(settings)
    certificate = Certificate(settings.tls_certfile, settings.tls_keyfile) if settings.tls_certfile else None
    tls = certificate.context if certificate else None
    asked_port = settings.port
    listening = listen_at(settings.host, asked_port)
    with contextlib.closing(listening):
        port = int(listening.getsockname()[1])
        settings = dataclasses.replace(settings, port=port)
        async with opened(settings) as (backend, failed), contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(auth.close)
            await auth.open()
            if certificate is not None:
                await stack.enter_async_context(beside(certificate.watch()))
            epoch = backend.epoch
            inbox = Inbox(backend.store, lambda: backend.rules, lambda seq: encode_cursor(epoch, seq))
            stack.callback(backend.listen(inbox.told))
            edge = streams = None
            if parts.edge:
                edge = Edge(backend, inbox, settings, auth)
                await edge.start(settings.host, settings.edge_port or (port + 1 if asked_port else 0), tls)
                stack.push_async_callback(edge.stop, DRAIN_S)
                settings = dataclasses.replace(settings, edge_port=edge.port)
                streams = Streams(edge)
            calls = CALLS if parts.api else EDGE_CALLS
            app: Any = create_app(
                backend, inbox, settings, auth, calls, lambda: edge is not None and edge.leaving, streams
            )
            if parts.api:
                app = mount_client(app)
            if about is not None and edge is not None:
                app = mount_page(app, edge.port, settings.edge_url, about(), secure=tls is not None)
            await stack.enter_async_context(answering(app, listening, tls))
            if streams is not None:
                stack.push_async_callback(streams.stop, DRAIN_S)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            scheme = "https" if tls else "http"
            yield Running(backend, edge, inbox, settings, f"{scheme}://{host}:{port}", failed, certificate)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let `work`, which never ends by itself, go on until the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(settings: Settings, json: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    return serve(settings, json, lambda live: _say(live, json))


def serve(
    settings: Settings,
    json: bool,
    started: Callable[[Running], Any],
    about: Callable[[], Mapping[str, Any]] | None = None,
    opened: Open = embedded,
    parts: Parts = BOTH,
    refused: tuple[type[Exception], ...] = REFUSALS,
    stop: asyncio.Event | None = None,
    drain_s: float = 0.0,
) -> int:
    """Serve until a signal. `started` is called once it listens; a coroutine it returns runs beside, until the end.

    `stop` is set by the signal, for an `opened` that waits. Then sessions are asked to go elsewhere over `drain_s`
    seconds; a second signal cuts that short.
    """
    logs.configure({"json": True, "text": False}.get(settings.log_format, True if json else None))
    gc.set_threshold(*GC_THRESHOLD_LIVE)

    async def main() -> int:
        told, hurry = stop or asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def signalled() -> None:
            (hurry if told.is_set() else told).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        async with running(settings, about, opened, parts) as live:
            gc.freeze()
            beside = started(live)
            tasks = [asyncio.create_task(beside)] if asyncio.iscoroutine(beside) else []
            ends = [asyncio.create_task(event.wait()) for event in (told, live.failed)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            logger.info("stopping", ready=live.backend.ready()[1])
            for task in (*tasks, *ends):
                task.cancel()
            await asyncio.gather(*tasks, *ends, return_exceptions=True)
            await live.drain(drain_s, hurry)
            return Exit.FAILED if live.failed.is_set() else Exit.OK

    try:
        return uvloop.run(main())
    except refused as error:
        sys.stderr.write(f"fanbell: {error}\n")
        return refusals.code_of(error, WRONG_SETTINGS)
    except Stopped:
        return Exit.OK


def _say(live: Running, json: bool) -> None:
    say(live, json, {"data": str(live.settings.data)}, f"data in {live.settings.data}")


def say(live: Running, json: bool, more: Mapping[str, str], where: str) -> None:
    """Tell on stdout where it listens. `where`: the state behind it, for people; `more` the same for programs."""
    scheme = "wss" if live.settings.tls_certfile else "ws"
    edge = f"{scheme}://{live.settings.host}:{live.edge.port}" if live.edge else None
    if json:
        said = {"http": live.http, "edge": edge, **more, "tokens": live.settings.needs_tokens}
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    else:
        beside = f" (WebSocket edge {edge})" if edge else ""
        sys.stdout.write(f"Fanbell listens on {live.http}{beside}, {where}\n")
        if not live.settings.needs_tokens:
            sys.stdout.write(
                "No token secret is set: everybody on this machine may do everything, nobody else can reach it.\n"
            )
    sys.stdout.flush()
