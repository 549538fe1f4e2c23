"""The frames of `fanbell.v1` as Server-Sent Events, and the wire that carries them: an HTTP answer that goes on.

Each frame is one event: `event` its type, `data` its JSON, `id` its cursor where it has one, so that a client that
comes back tells by `Last-Event-ID` what it has. Frames reach a wire as bytes ready for a WebSocket, made once for
all who are told the same; here the header is taken off, and type and cursor are read, in about 2 µs: streams are the
way around proxies, and few.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from fanbell.edge.close_codes import CloseCode
from fanbell.edge.frames import payloads
from fanbell.edge.link import SocketLink
from fanbell.edge.ports import WRITE_BUFFER_BYTES

RETRY_MS: Final = (
    1_000  # before a bare EventSource asks again; our own clients go by the table of close codes
)
HEARTBEAT_S: Final = 15.0  # proxies give an answer up that is silent for a minute, some after 30 s
CLOSE_S: Final = (
    5.0  # for the last event to get out to a client that reads slowly; then the connection is dropped
)
FIRST: Final = b"retry: %d\n\n" % RETRY_MS
HEARTBEAT: Final = b":\n\n"


class _Told(Struct):
    type: str
    cursor: str | None = None


_told = msgspec.json.Decoder(_Told).decode


def event_of(payload: bytes) -> bytes:
    """The event that tells the frame `payload`, JSON on one line."""
    told = _told(payload)
    head = f"id: {told.cursor}\nevent: {told.type}\n" if told.cursor else f"event: {told.type}\n"
    return b"%bdata: %b\n\n" % (head.encode(), payload)


def closing(row: CloseCode) -> bytes:
    """The last event: why the server ends, and whether and when to come back."""
    said = {
        "code": row.code,
        "reason": row.reason,
        "comes_back": row.comes_back,
        "after_ms": row.after_ms,
    }
    return b"event: close\ndata: %b\n\n" % msgspec.json.encode(said)


class HttpWire:
    """A `Wire` whose bytes wait for the request's own task, the only one that may send. `drop` cuts the connection."""

    link: SocketLink | None = None

    def __init__(self, drop: Callable[[], None]) -> None:
        self._drop = drop
        self._ready = bytearray()
        self._wake = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self.ended: CloseCode | None = None
        """Why the server has ended it; None while it has not."""
        self.gone = False
        """The client is no more there."""

    @property
    def is_open(self) -> bool:
        return self.ended is None and not self.gone

    @property
    def paused(self) -> bool:
        return len(self._ready) >= WRITE_BUFFER_BYTES

    def put_out(self, data: bytes) -> None:
        for payload in payloads(data):
            self._ready += event_of(payload)
        self._wake.set()

    def end(self, row: CloseCode) -> None:
        if self.is_open:
            self.ended = row
            self._ready += closing(row)
            self._late = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)
            self._wake.set()

    def abort(self) -> None:
        self.hang_up()
        self._drop()

    def hang_up(self) -> None:
        """There is nobody to send to any more."""
        self.gone = True
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._wake.set()

    async def take(self) -> bytes:
        """What is to be sent next: events, or after a long silence a sign of life. Nothing once the client has gone."""
        if not self._ready and self.is_open:
            self._wake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                self._ready += HEARTBEAT
                if self.link is not None:
                    self.link.pulse()
        taken = bytes(self._ready)
        self._ready.clear()
        if self.link is not None:
            self.link.flush()
        return taken
