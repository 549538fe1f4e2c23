"""A user's inbox as an event stream: what goes by WebSocket, for those behind proxies that break that."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET
from typing import Any, Final

from starlette.types import Receive, Send

from fanbell.edge.frames import TEXT_CHARS_MAX, Connect
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, locale_parameter
from fanbell.edge.http.calls import Answer, Call, Edge
from fanbell.edge.http.tickets import spent
from fanbell.edge.ports import SEND_BUFFER_BYTES, WRITE_BUFFER_BYTES
from fanbell.edge.problems import Problem, bad_request, fault, not_found
from fanbell.edge.sse import FIRST, HttpWire
from fanbell.edge.streams import Refused, Streams

CONTENT_TYPE: Final = b"text/event-stream"
HEADERS: Final = (
    (b"content-type", CONTENT_TYPE),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies that would hold events back until there are many
    (b"connection", b"close"),  # its socket is set up for a stream
)
SILENT_MS: Final = (
    40_000  # unacknowledged for so long, its client is gone: as long as a WebSocket's ping is waited for
)
TCP_USER_TIMEOUT: Final = 18  # of Linux; the socket module has no name for it everywhere
PARAMETERS: Final = ("cursor", "locale", "ticket", "p")


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that goes on until either side ends it."""

    streams: Streams
    wire: HttpWire
    receive: Receive

    async def send(self, send: Send) -> None:
        leaving = asyncio.get_running_loop().create_task(self._leave())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await send({"type": "http.response.body", "body": FIRST, "more_body": True})
            while not self.wire.gone:
                told = await self.wire.take()
                over = self.wire.ended is not None
                await send({"type": "http.response.body", "body": told, "more_body": not over})
                if over:
                    return
            await leaving  # what was cut off by us is noticed here; only then is there nobody to answer
        finally:
            leaving.cancel()
            self.streams.done(self.wire)

    async def _leave(self) -> None:
        """Wait for the client to leave, however it does."""
        while (await self.receive())["type"] != "http.disconnect":
            pass  # a body that nobody asked for
        self.wire.hang_up()


async def get_stream(edge: Edge, asked: Asked) -> Answer | EventStream:
    """The inbox as an event stream."""
    if edge.streams is None:
        raise not_found(
            "This process holds no streams: ask at the HTTP port of `fanbell edge`, or have your proxy send it what "
            "ends in /stream."
        )
    given = asked.query(PARAMETERS)
    if asked.scope.get("http_version") == "1.0":
        raise Problem(505, "http-version", "An event stream needs HTTP/1.1; nginx: proxy_http_version 1.1.")
    cursor, locale = _cursor(asked, given), locale_parameter(given)
    user, ends_in_s = await _who(edge, edge.streams, asked, given)
    if asked.is_head:
        return Answer(b"", content_type=CONTENT_TYPE)
    wire = HttpWire(_prepared(asked.scope.get("fanbell.transport")))
    try:
        connect = Connect(user, cursor=cursor, locale=locale)
        await edge.streams.open(wire, user, connect, asked.address, ends_in_s)
    except Refused as error:
        raise _problem_of(error) from None
    return EventStream(edge.streams, wire, asked.receive)


async def _who(edge: Edge, streams: Streams, asked: Asked, given: dict[str, str]) -> tuple[str, float | None]:
    """Whose stream, and for how many seconds it may go on (None is for ever). Raises Problem, StoreFailed."""
    ticket = given.get("ticket")
    if ticket is None or asked.is_head:  # a look at the headers spends no ticket
        return asked.user_to_reach(), asked.token_left_s()
    if asked.header(b"authorization") is not None:
        raise bad_request("The query cannot be used.", [fault("ticket", "must not be given beside a token")])
    user = asked.id("user")
    try:
        streams.check(user)  # before the ticket is spent for nothing
    except Refused as error:
        raise _problem_of(error) from None
    return user, await spent(edge.backend.tickets, ticket, user)


def _cursor(asked: Asked, given: dict[str, str]) -> str | None:
    """Up to where the client has the inbox: what it heard last outranks what its address says. Raises Problem."""
    cursor = asked.header(b"last-event-id") or given.get("cursor") or None
    if cursor is not None and len(cursor) > TEXT_CHARS_MAX:
        message = f"must have at most {TEXT_CHARS_MAX} characters"
        raise bad_request("The query cannot be used.", [fault("cursor", message)])
    return cursor


def _problem_of(refused: Refused) -> Problem:
    row = refused.row
    if not row.comes_back:
        return Problem(429, row.name.replace("_", "-"), row.reason.capitalize() + ".")
    wait = {"retry-after": str(max(1, ceil(row.after_ms / 1_000)))}
    return Problem(503, row.name.replace("_", "-"), row.reason.capitalize() + ".", headers=wait)


def _prepared(transport: Any) -> Callable[[], None]:
    """Give the connection the bounds that a stream has; returns how to cut it. None: a server that does not tell it."""
    if transport is None:
        return lambda: None
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    socket = transport.get_extra_info("socket")
    if socket is not None:
        socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            socket.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, SILENT_MS)
        except (
            OSError
        ):  # not Linux: who is gone without a word is noticed when the system gives up on sending
            return transport.abort  # type: ignore[no-any-return]
    return transport.abort  # type: ignore[no-any-return]


_STREAM: Final[d.Schema] = {
    "description": "Events without end, each a frame of `fanbell.v1`: `event` is its type, `data` its JSON, `id` its "
    "cursor. The last, `close`, says why the server ends it.",
    "content": {CONTENT_TYPE.decode(): {"schema": {"type": "string"}}},
}

CALLS: Final = (
    Call(
        "GET",
        "/v1/users/{user}/stream",
        get_stream,
        "The inbox, live",
        "As Server-Sent Events: what was missed since the cursor, or a fresh page, then whatever happens. For a bare "
        "`EventSource`, which sends no token, a ticket stands for one.",
        "inbox",
        {200: _STREAM, **d.problems(400, 401, 403, 404, 422, 429, 503, 505)},
        parameters=(
            d.path("user", "Id of the user."),
            d.query("cursor", "Up to where the inbox is known; a header `Last-Event-ID` outranks it."),
            d.query("locale", "Language of the texts; the profile's without it.", d.LOCALE),
            d.query("ticket", "From `POST /v1/tickets`, instead of a token."),
            d.query("p", "The user's partition, for balancers; not looked at here."),
        ),
    ),
)
