"""Connections of `websockets`, as the wire of a session."""

import asyncio
import time
from collections.abc import Callable
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import Event, State

from fanbell.edge.addresses import EXEMPT
from fanbell.edge.close_codes import CloseCode
from fanbell.edge.limits import Bucket
from fanbell.edge.link import SocketLink
from fanbell.edge.ports import SEND_BUFFER_BYTES

FORGOTTEN: Final = Request("/", Headers())


class Connection(ServerConnection):
    """A connection of `websockets` that says when its transport takes data again: a `Wire`."""

    link: SocketLink | None = None
    address = EXEMPT
    """What limits by address count for."""
    bucket: Bucket | None = None
    """Of the frames that may come, control frames and fragments included; None is any number."""
    connections_max = 0
    """Of one server, those included whose handshake has not come; past it new ones are dropped. 0 is no bound."""
    put_out: Callable[[bytes], object]
    _closing: "asyncio.Task[None] | None" = None

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    def process_event(self, event: Event) -> None:
        if self.bucket is not None and self.link is not None and not self.bucket.take(time.monotonic()):
            self.link.end("too_fast")
        super().process_event(event)

    def end(self, row: CloseCode) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.close(row.code, row.reason))

    def abort(self) -> None:
        self.transport.abort()

    @property
    def authorization(self) -> str | None:
        """What the handshake's Authorization header says, until it is forgotten."""
        return self.request.headers.get("Authorization") if self.request is not None else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.put_out = self.transport.write
        if 0 < self.connections_max < len(self.server.handler_tasks):  # it has a task for each
            self.transport.abort()
            return
        socket = transport.get_extra_info("socket")
        if socket is not None:
            socket.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)

    def forget_handshake(self) -> None:
        """Let go of the headers of both sides, once it is known who it is: 2 KB of each idle socket, and secrets."""
        self.response = None
        self.request = FORGOTTEN  # by having a request, `websockets` knows that the handshake is done

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.link is not None:
            self.link.flush()


def connections_of(most: int) -> type[Connection]:
    """Connections of a server that holds at most so many at once."""
    return type("Connection", (Connection,), {"connections_max": most})
