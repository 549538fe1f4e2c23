"""The WebSocket edge: connections in, sessions driven, frames out.

A connection passes the handshake (`doors.py`), says who it is within a bounded time, and is a session from then on
(`session.py`). Everything has a bound: sockets (by the limit of open files), sockets that have not said who they
are, sessions of one user and of one address, how often an address connects, a client's frames and their size, the
time of each step.
"""

import asyncio
import resource
import ssl
import time
from typing import Final, Protocol

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fanbell.edge import frames
from fanbell.edge.auth import Auth, Caller, KeysAway, Unauthorized
from fanbell.edge.backend import Backend
from fanbell.edge.close_codes import BY_NAME
from fanbell.edge.connection import Connection, connections_of
from fanbell.edge.doors import FULL, LEAVING, Doors, DoorSettings, Refusal
from fanbell.edge.drain import drain
from fanbell.edge.frames import Connect, Malformed, Token, UnknownType, parse
from fanbell.edge.hub import Hub
from fanbell.edge.limits import Bucket
from fanbell.edge.link import SocketLink, Traffic
from fanbell.edge.marking import Marker
from fanbell.edge.pacer import Pacer
from fanbell.edge.ports import WRITE_BUFFER_BYTES, Inbox, Wire
from fanbell.edge.presence import LEASE_MS
from fanbell.edge.roll_call import RollCall
from fanbell.edge.steps import Admit, Admitted, Mark, Output, Renew
from fanbell.projections.store import StoreFailed
from fanbell.streams.log import LogFailed

FILES_KEPT: Final = 256  # open files that are not sockets of ours: databases, snapshots, HTTP
SOCKETS_OVER: Final = (
    64  # past the bound, so many are told "full" by a close code, as many by HTTP, and others nothing
)
PING_EVERY_S: Final = 20.0  # below the minute after which home routers and proxies forget a silent connection
PING_TIMEOUT_S: Final = 20.0
CLOSE_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 16_384  # the kernel may grant less; whoever finds it full comes seconds later
log = structlog.get_logger("fanbell.edge")


class EdgeSettings(DoorSettings, Protocol):
    """The settings that the edge reads; `infra.settings.Settings` has them all."""

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
    @property
    def sessions_per_user(self) -> int: ...
    @property
    def strangers_max(self) -> int: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def frames_per_session(self) -> float: ...
    @property
    def frames_burst(self) -> int: ...
    @property
    def client_frame_bytes(self) -> int: ...


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

    def __init__(
        self, backend: Backend, inbox: Inbox, settings: EdgeSettings, auth: Auth, lease_ms: int = LEASE_MS
    ) -> None:
        """`lease_ms`: how long who is here still shows after this process has died. Raises BadProxy."""
        keep_age_ms = settings.inbox_keep_days * 86_400_000 or None
        self._backend = backend
        self._settings = settings
        self._auth = auth
        self._roll_call = RollCall(backend, lease_ms)
        self._hub = Hub(backend, inbox, settings.inbox_keep, keep_age_ms, self._roll_call.count)
        self._marker = Marker(backend, self._roll_call)
        self._pacer = Pacer()
        self._traffic = Traffic()
        self._server: Server | None = None
        self._doors = Doors(settings)
        self._leaving = False
        self._links: set[SocketLink] = set()
        self._strangers = 0
        self._sockets_max = 0
        self._refused = 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Read to where the inboxes stand, then listen on `host` and `port` (0: a free one), by TLS if `tls` is given.

        Raises OSError.
        """
        timeout_s = self._settings.connect_timeout_s
        self._sockets_max = sockets_allowed(raise_file_limit(), self._settings.sockets_max)
        await self._hub.open()
        self._server = await serve(
            self._handle,
            host,
            port,
            create_connection=connections_of(self._sockets_max + 2 * SOCKETS_OVER),
            process_request=self._check,
            subprotocols=[Subprotocol(frames.SUBPROTOCOL)],
            compression=None,
            server_header=None,
            open_timeout=timeout_s,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=self._settings.client_frame_bytes,
            max_queue=4,
            write_limit=WRITE_BUFFER_BYTES,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=timeout_s if tls is not None else None,
        )
        self._roll_call.start()
        log.info("edge listens", host=host, port=self.port, sockets_max=self._sockets_max)

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def leaving(self) -> bool:
        """Whether nobody is let in any more, because this process is about to stop."""
        return self._leaving

    async def drain(self, over_s: float) -> None:
        """Let nobody in any more, and ask all sessions to go elsewhere, spread over `over_s` seconds; then `stop`.

        Cancelled, it hurries: `stop` asks the rest at once.
        """
        self._leaving = True
        log.info("sessions are asked to go elsewhere", sockets=len(self._links), over_s=over_s)
        await drain(self._links, over_s)

    async def stop(self, drain_s: float) -> None:
        """Close all sessions with "restart", waiting at most `drain_s` seconds for clients to agree."""
        self._leaving = True
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
        await self._roll_call.stop()
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
        assert isinstance(connection, Connection)
        peer = connection.remote_address
        connection.address = self._doors.address(peer[0] if peer else "", request.headers)
        refusal = self._refusal(request, connection.address)
        if refusal is None:
            return None
        self._refused += 1
        response = connection.respond(refusal.status, refusal.why + "\n")
        if refusal.retry_after_s:
            response.headers["Retry-After"] = str(refusal.retry_after_s)
        return response

    def _refusal(self, request: Request, address: str) -> Refusal | None:
        if self._leaving:
            return LEAVING
        if len(self._links) >= self._sockets_max + SOCKETS_OVER:
            return FULL
        return self._doors.refusal(request, address)

    # A session's life

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        settings = self._settings
        if settings.frames_per_session:
            connection.bucket = Bucket(settings.frames_per_session, settings.frames_burst, time.monotonic())
        link = self.begin(connection, connection.address)
        self._strangers += 1
        try:
            if self._leaving:  # its handshake was under way
                link.end("restart")
            if len(self._links) > self._sockets_max or self._strangers > settings.strangers_max:
                link.end("full")
            link.ends_in(settings.connect_timeout_s, "late")
            await self._listen(connection, link)
        finally:
            self._strangers -= link.feed is None
            self.done(link, connection.address)

    def begin(self, wire: Wire, address: str) -> SocketLink:
        """A link over `wire`, counted among the sockets and for `address`; `done` once it is no more."""
        settings = self._settings
        link = SocketLink(
            wire, self._hub, self._pacer, self._traffic, settings.mailbox_frames, settings.mailbox_bytes
        )
        self._links.add(link)
        if not self._doors.enter(address):
            link.end("too_many_here")
        return link

    def done(self, link: SocketLink, address: str) -> None:
        """The link's connection is no more."""
        self._links.discard(link)
        self._doors.leave(address)
        link.gone()
        why = link.why or "lost"
        self._traffic.closed[why] = self._traffic.closed.get(why, 0) + 1

    def no_room(self, user: str) -> str | None:
        """Why another session of `user`, known to be them, cannot begin, a name in `close_codes`; None if it can."""
        if len(self._links) >= self._sockets_max:
            return "full"
        return "too_many_devices" if self._crowded(user) else None

    def _crowded(self, user: str) -> bool:
        return self._hub.links_of(user) >= self._settings.sessions_per_user

    async def join(self, link: SocketLink, user: str, locale: str | None) -> bool:
        """Register the session for `user`, unless it was ended meanwhile or they have too many; whether it is.

        Raises StoreFailed.
        """
        try:
            await self._hub.opened(user)
        except LogFailed as error:
            raise StoreFailed(str(error)) from error
        link.locale = await self._hub.locale_of(user, locale)
        if link.session.state != "waiting":
            return False
        if self._crowded(user):
            link.end("too_many_devices")
            return False
        link.feed = self._hub.join(user, link)
        link.give(Admitted())
        return True

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
                    await self._do(connection, link, output)
                    if isinstance(output, Admit):
                        connection.forget_handshake()
        except ConnectionClosed:
            pass  # without a closing handshake: the client's machine is gone
        return None

    async def _do(self, connection: Connection, link: SocketLink, output: Output) -> None:
        if isinstance(output, Admit):
            await self._admit(connection, link, output.connect)
        elif isinstance(output, Mark):
            await self._marker.mark(link, output.marks)
        elif isinstance(output, Renew):
            await self._renew(link, output.token)

    async def _admit(self, connection: Connection, link: SocketLink, connect: Connect) -> None:
        """Check who it is, register it for its user, and start it.

        Before it is registered, time may end it at every await.
        """
        try:
            caller = await self._caller(connect.token, connection.authorization)
            user = connect.user or caller.user
            if user is None:
                return link.end("malformed")
            if not caller.may_reach(user):
                return link.end("forbidden")
            if not await self.join(link, user, connect.locale):
                return None
            self._strangers -= 1
            link.ends_in(caller.left_s(time.time()), "token_expired")
            await link.begin(connect.cursor)
        except Unauthorized:
            link.end("unauthorized")
        except (KeysAway, StoreFailed) as error:
            log.error("a session cannot start", error=str(error))
            link.end("unavailable")
        return None

    async def _caller(self, token: str | None, header: str | None) -> Caller:
        """Who a frame's token speaks for, or else the handshake's header. Raises Unauthorized, KeysAway."""
        return await (self._auth.caller_of(token) if token is not None else self._auth.caller(header))

    async def _renew(self, link: SocketLink, token: Token) -> None:
        """Let the session last as long as the new token, if that reaches the inbox; a refused one changes nothing."""
        assert link.feed is not None
        refused = None
        try:
            caller = await self._auth.caller_of(token.token)
            if not caller.may_reach(link.feed.user):
                refused = "forbidden"
            elif link.session.state != "closed":  # the old one may have ended meanwhile
                link.ends_in(caller.left_s(time.time()), "token_expired")
        except Unauthorized:
            refused = "unauthorized"
        except KeysAway:
            refused = "unavailable"
        if token.ref is not None:
            answer = {"type": "accepted"} if refused is None else {"type": "refused", "reason": refused}
            link.say(answer | {"ref": token.ref})
