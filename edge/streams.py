"""Event streams of one process: each is a session like any other, over an HTTP answer instead of a WebSocket."""

import asyncio

from fanbell.edge.close_codes import BY_NAME, CloseCode
from fanbell.edge.frames import Connect
from fanbell.edge.link import SocketLink
from fanbell.edge.socket import Edge
from fanbell.edge.sse import HttpWire


class Refused(Exception):
    """No session now; `row` says why, and whether and when to come back."""

    def __init__(self, row: CloseCode) -> None:
        super().__init__(row.reason)
        self.row = row


class Streams:
    """All there are. Sessions and their bounds are the edge's."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._wires: dict[HttpWire, tuple[SocketLink, str]] = {}
        """Each with its session and the address that it counts for."""
        self._none = asyncio.Event()
        self._none.set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._wires)

    def check(self, user: str) -> None:
        """Raise Refused if no session of `user` can begin now."""
        why = "restart" if self._stopping or self._edge.leaving else self._edge.no_room(user)
        if why is not None:
            raise Refused(BY_NAME[why])

    async def open(
        self, wire: HttpWire, user: str, connect: Connect, address: str, ends_in_s: float | None
    ) -> None:
        """Start a session of `user`, whose right to it was checked; `done` must follow, unless this raises.

        `address`: what limits count it for. `ends_in_s`: when its token's time is over, None is never. Raises Refused,
        StoreFailed.
        """
        self.check(user)
        link = self._edge.begin(wire, address)
        self._wires[wire] = link, address
        self._none.clear()
        try:
            if ends_in_s is not None:
                link.ends_in(ends_in_s, "token_expired")
            link.give(connect)
            if await self._edge.join(link, user, connect.locale):
                await link.begin(connect.cursor)
            if wire.ended is not None:
                raise Refused(wire.ended)
        except BaseException:
            self.done(wire)
            raise

    def done(self, wire: HttpWire) -> None:
        """The answer is over."""
        wire.hang_up()
        self._edge.done(*self._wires.pop(wire))
        if not self._wires:
            self._none.set()

    async def stop(self, drain_s: float) -> None:
        """Take no more, end all with "restart", and wait at most `drain_s` for clients to take that."""
        self._stopping = True
        for link, _ in list(self._wires.values()):
            link.end("restart")
        try:
            async with asyncio.timeout(drain_s):
                await self._none.wait()
        except TimeoutError:
            for wire in list(self._wires):
                wire.abort()
            await self._none.wait()
