"""HTTP/1.1 as uvicorn and httptools speak it, with the bounds that they leave open.

A request's head has a size and a time, and whatever else is not body (chunk sizes, trailers) a size; past it the
connection is answered and closed. What cannot be parsed is refused as a problem, like any other fault.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fanbell.edge.problems import CONTENT_TYPE, Problem

HEAD_BYTES_MAX: Final = 64 * 1024  # request line and headers; ids of 256 bytes are far below, tokens too
REST_BYTES_MAX: Final = (
    16 * 1024 * 1024
)  # what is not body: a body of 2 MiB in chunks of one byte has 10 MiB of it
HEAD_TIMEOUT_S: Final = 10.0  # for a head to arrive, a new connection's included; proxies need milliseconds
SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer."""
_REASONS: Final[Mapping[int, bytes]] = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
}


class BoundedProtocol(HttpToolsProtocol):
    """Pass as `http` to `uvicorn.Config`."""

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._received = 0
        self._of_body = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._received += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing to upgrade to here; the request itself is answered
        except httptools.HttpParserError:
            return self._refuse(Problem(400, "bad-request", "This is not an HTTP/1.1 request."))
        if self._in_head and self._received > HEAD_BYTES_MAX:
            detail = f"Request line and headers have at most {HEAD_BYTES_MAX} bytes."
            self._refuse(Problem(431, "head-too-large", detail))
        elif self._received - self._of_body > REST_BYTES_MAX:
            self.transport.abort()  # an answer was given, or will never be: the body's end is not in sight
        elif self._in_head and self._received and self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._received, self._of_body = True, 0, 0
        self.scope["fanbell.transport"] = self.transport  # type: ignore[typeddict-unknown-key]  # for what goes on

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._of_body += len(body)
        super().on_body(body)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        detail = f"The request's head did not arrive within {self.head_timeout_s:g} s."
        self._refuse(Problem(408, "slow", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer what no call sees, and close. In the middle of another answer there is only closing."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = problem.body()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *SECURITY,
        ]
        lines = [b"HTTP/1.1 %d %s" % (problem.status, _REASONS[problem.status])]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
