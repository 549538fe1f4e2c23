"""One person's socket: kept open through the death of edges, on whichever of them answers."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, Final

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fanbell.edge.frames import SUBPROTOCOL

AGAIN_S: Final = 0.3  # before the next edge is tried
OPEN_S: Final = 15.0  # an edge that cannot read inboxes may take so long to say so
FRAME_BYTES_MAX: Final = 4 << 20

Frame = dict[str, Any]


class Listener:
    """`frames` are all that `user` was ever told, over all connections; it resumes by the last cursor it was given."""

    def __init__(self, user: str, edges: Sequence[str]) -> None:
        self.user = user
        self.frames: list[Frame] = []
        self.sessions = 0
        """How many began: a hello came."""
        self.edges = list(edges)
        """URLs, tried in turn; may be changed at any time."""
        self._cursor: str | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        for number in cycle(range(1 << 30)):
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._listen(self.edges[number % len(self.edges)])
            await asyncio.sleep(AGAIN_S)

    async def _listen(self, url: str) -> None:
        async with connect(
            url, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None, max_size=FRAME_BYTES_MAX,
            open_timeout=OPEN_S, close_timeout=1, proxy=None,
        ) as socket:  # fmt: skip
            hello = {"type": "connect", "user": self.user}
            if self._cursor is not None:
                hello["cursor"] = self._cursor
            await socket.send(msgspec.json.encode(hello).decode())
            async for text in socket:
                frame: Frame = msgspec.json.decode(text)
                self.sessions += frame["type"] == "hello"
                self._cursor = frame.get("cursor") or self._cursor
                self.frames.append(frame)

    def told(self, id_: str) -> bool:
        """Whether a notification of that id has come."""
        return any(
            frame["type"] == "notification" and frame["item"]["id"] == id_ for frame in reversed(self.frames)
        )
