"""The WebSocket edge: connections in, sessions driven, frames out.

A connection passes the handshake (name asked for, origin), says who it is within a bounded time, and is a
session from then on (`session.py`). Everything has a bound: sockets (by the limit of open files), sockets
that have not said who they are, sessions of one user, a client's frame, the time of each step.
"""

import asyncio
import resource
import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

import jwt
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fanbell.edge import frames
from fanbell.edge.auth import LOOPBACK_NAMES, Auth, Unauthorized
from fanbell.edge.backend import Backend, Busy, Unavailable
from fanbell.edge.close_codes import BY_NAME
from fanbell.edge.cursor import BadCursor, decode_cursor
from fanbell.edge.feed import Inbox
from fanbell.edge.frames import Connect, Malformed, Marks, UnknownType, parse
from fanbell.edge.hub import Hub
from fanbell.edge.link import WRITE_BUFFER_BYTES, Connection, Pacer, SocketLink, Traffic
from fanbell.edge.origins import Hosts, Origins
from fanbell.edge.session import Admit, Admitted, Mark, Output
from fanbell.edge.start import start
from fanbell.projections.store import StoreFailed
from fanbell.schemas.records import Change

CONNECT_S: Final = 10.0  # from the handshake to the connect frame; a slow phone needs one or two
STRANGERS_MAX: Final = (
    8_192  # sockets that have not said who they are: a restart brings thousands back at once; 20 KB each
)
SESSIONS_PER_USER_MAX: Final = 64  # tabs and devices of one person; more is a fault or an attack
FILES_KEPT: Final = 256  # open files that are not sockets of ours: databases, snapshots, HTTP
SOCKETS_OVER: Final = 64  # past the bound, so many at once are told "full" by a close code; others by HTTP
PING_EVERY_S: Final = 20.0  # below the minute after which home routers and proxies forget a silent connection
PING_TIMEOUT_S: Final = 20.0
CLOSE_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 16_384  # the kernel may grant less; whoever finds it full comes seconds later
log = structlog.get_logger("fanbell.edge")


class EdgeSettings(Protocol):
    """The settings that the edge reads; `infra.settings.Settings` has them all."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...
    @property
    def allowed_origins(self) -> Sequence[str]: ...
    @property
    def inbox_keep(self) -> int: ...
    @property
    def inbox_keep_days(self) -> int: ...
    @property
    def sockets_max(self) -> int: ...
    @property
    def mailbox_frames(self) -> int: ...
    @property
    def mailbox_bytes(self) -> int: ...


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; the soft limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError) as error:  # some systems say "no limit" and mean less
        log.warning("the limit of open files cannot be raised", limit=soft, error=str(error))
        return soft
    return hard


def sockets_allowed(files: int, asked: int) -> int:
    """How many sockets `files` open files allow; at most `asked`, if that is not 0."""
    allowed = 1_000_000 if files == resource.RLIM_INFINITY else max(1, files - FILES_KEPT)
    return min(allowed, asked) if asked else allowed


class Edge:
    """The server. One per process; `start` once, `stop` once."""

    def __init__(self, backend: Backend, inbox: Inbox, settings: EdgeSettings, auth: Auth) -> None:
        keep_age_ms = settings.inbox_keep_days * 86_400_000 or None
        self._backend = backend
        self._settings = settings
        self._auth = auth
        self._hub = Hub(backend, inbox, settings.inbox_keep, keep_age_ms)
        self._pacer = Pacer()
        self._traffic = Traffic()
        self._server: Server | None = None
        self._hosts = Hosts((*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts))
        self._origins = Origins(settings.allowed_origins, settings.port)
        self._links: set[SocketLink] = set()
        self._strangers = 0
        self._sockets_max = 0
        self._refused = 0

    async def start(self, host: str, port: int) -> None:
        """Read to where the inboxes stand, then listen on `host` and `port` (0: a free one). Raises OSError."""
        self._sockets_max = sockets_allowed(raise_file_limit(), self._settings.sockets_max)
        await self._hub.open()
        self._server = await serve(
            self._handle,
            host,
            port,
            create_connection=Connection,
            process_request=self._check,
            subprotocols=[Subprotocol(frames.SUBPROTOCOL)],
            compression=None,
            server_header=None,
            open_timeout=CONNECT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=frames.FRAME_BYTES_MAX,
            max_queue=4,
            write_limit=WRITE_BUFFER_BYTES,
            backlog=BACKLOG,
        )
        log.info("edge listens", host=host, port=self.port, sockets_max=self._sockets_max)

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def stop(self, drain_s: float) -> None:
        """Close all sessions with "restart", waiting at most `drain_s` seconds for clients to agree."""
        if self._server is not None:
            row = BY_NAME["restart"]
            self._server.close(code=row.code, reason=row.reason)
            try:
                async with asyncio.timeout(drain_s):
                    await self._server.wait_closed()
            except TimeoutError:
                for link in list(self._links):
                    link.abort()
                await self._server.wait_closed()
        self._pacer.close()
        await self._hub.close()
        log.info("edge stopped", frames_sent=self._traffic.frames_sent)

    def stats(self) -> dict[str, object]:
        """Numbers for people and programs."""
        return {
            "sockets": len(self._links),
            "sockets_max": self._sockets_max,
            "strangers": self._strangers,
            "users": self._hub.users,
            "frames_sent": self._traffic.frames_sent,
            "frames_waited": self._traffic.frames_waited,
            "bytes_sent": self._traffic.bytes_sent,
            "closed": dict(self._traffic.closed),
            "handshakes_refused": self._refused,
            "gaps": self._hub.gaps,
        }

    # The handshake

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake that asked for another name, comes from a web page of others, or finds no room."""
        status, why = self._fault(request)
        if status is None:
            return None
        self._refused += 1
        return connection.respond(status, why + "\n")

    def _fault(self, request: Request) -> tuple[HTTPStatus | None, str]:
        asked = request.headers.get_all("Host")
        origins = request.headers.get_all("Origin")
        if len(asked) != 1 or not self._hosts.allow(asked[0]):
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                "This server is not asked by that name; see the setting allowed_hosts.",
            )
        if origins and (len(origins) > 1 or not self._origins.allow(origins[0], asked[0])):
            return HTTPStatus.FORBIDDEN, "This origin may not connect; see the setting allowed_origins."
        if request.path.partition("?")[0] != "/":
            return HTTPStatus.NOT_FOUND, "The edge is at /."
        if len(self._links) >= self._sockets_max + SOCKETS_OVER:
            return HTTPStatus.SERVICE_UNAVAILABLE, "As many sockets as the server can hold are open."
        return None, ""

    # A session's life

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        settings = self._settings
        link = SocketLink(
            connection, self._hub, self._pacer, self._traffic, settings.mailbox_frames, settings.mailbox_bytes
        )
        self._links.add(link)
        self._strangers += 1
        try:
            if len(self._links) > self._sockets_max or self._strangers > STRANGERS_MAX:
                link.end("full")
            link.ends_in(CONNECT_S, "late")
            await self._listen(connection, link)
        finally:
            self._strangers -= link.feed is None
            self._links.discard(link)
            link.gone()
            why = link.why or "lost"
            self._traffic.closed[why] = self._traffic.closed.get(why, 0) + 1

    async def _listen(self, connection: Connection, link: SocketLink) -> None:
        """Hear the client until it goes, or is made to."""
        try:
            async for text in connection:
                try:
                    rest = link.give(parse(text))
                except Malformed as error:
                    log.debug("malformed frame", error=str(error))
                    link.end("malformed")
                    return await connection.wait_closed()
                except UnknownType:
                    link.end("unknown_type")
                    return await connection.wait_closed()
                for output in rest:
                    await self._do(link, output)
                    if isinstance(output, Admit):
                        connection.forget_handshake()
        except ConnectionClosed:
            pass  # without a closing handshake: the client's machine is gone
        return None

    async def _do(self, link: SocketLink, output: Output) -> None:
        if isinstance(output, Admit):
            await self._admit(link, output.connect)
        elif isinstance(output, Mark):
            await self._mark(link, output.marks)

    async def _admit(self, link: SocketLink, connect: Connect) -> None:
        """Check who it is, register it for its user, and start it."""
        try:
            caller = self._auth.caller_of(connect.token or "")
        except Unauthorized:
            return link.end("unauthorized")
        if not caller.may_reach(connect.user):
            return link.end("forbidden")
        if self._hub.links_of(connect.user) >= SESSIONS_PER_USER_MAX:
            return link.end("too_many_devices")
        self._strangers -= 1
        link.ends_in(_left_s(connect.token) if self._auth.required else float("inf"), "token_expired")
        try:
            link.locale = await self._hub.locale_of(connect.user, connect.locale)
            link.feed = self._hub.join(connect.user, link)
            link.give(Admitted())
            link.give(await start(self._hub, link.feed, connect.cursor, link.locale))
            link.watch_expiry(int(time.time() * 1000))
        except StoreFailed as error:
            log.error("a session cannot start", error=str(error))
            link.end("unavailable")
        return None

    async def _mark(self, link: SocketLink, marks: Marks) -> None:
        """Put marks into the log. Answers only if the client gave a ref, and then only once they are durable."""
        assert link.feed is not None
        answer: dict[str, Any]
        try:
            change = await self._change_of(link.feed.user, marks)
            if change is not None:
                await self._backend.change([change])
            answer = {"type": "accepted"}
        except BadCursor:
            return link.end("malformed")
        except Busy as error:
            answer = {"type": "refused", "reason": "busy", "retry_after_s": error.retry_after_s}
        except (Unavailable, StoreFailed) as error:
            answer = {"type": "refused", "reason": "unavailable", "detail": str(error)}
        if marks.ref is not None:
            link.say(answer | {"ref": marks.ref})
        return None

    async def _change_of(self, user: str, marks: Marks) -> Change | None:
        """The change that `marks` asks for; None if nothing it names is there. Raises BadCursor, StoreFailed."""
        epoch = self._backend.epoch
        seqs: dict[str, int] = {}
        up_to = None
        if marks.up_to is not None:
            up_to = decode_cursor(marks.up_to, epoch)
        elif marks.cursors is not None:
            seqs = {
                id_: decode_cursor(text, epoch) for id_, text in zip(marks.ids, marks.cursors, strict=True)
            }
        else:
            seqs = await self._backend.store.seqs_of(user, list(dict.fromkeys(marks.ids)))
        if up_to is None and not seqs:
            return None
        return Change(
            id=secrets.token_hex(16),
            kind="mark",
            user=user,
            side="user",
            verb=marks.verb,
            ids=list(seqs),
            seqs=list(seqs.values()),
            up_to=up_to,
            occurred_at=time.time_ns() // 1_000_000,
        )


def _left_s(token: str | None) -> float:
    """How long `token`, which was verified, is still good, s."""
    claims = jwt.decode(token or "", options={"verify_signature": False})
    return max(0.0, float(claims["exp"]) - time.time())
