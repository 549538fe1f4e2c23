"""Reads one user's frames from the edge, and comes back by itself: for `fanbell tail`, and for tests.

It resumes by the last cursor it has given out, so whoever reads it to the end of time gets each notification once.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fanbell.clients.errors import Refused
from fanbell.clients.line import Address, Line
from fanbell.clients.tokens import Identity

__all__ = ["Refused", "tail"]


async def tail(
    url: str, user: str, token: str | None = None, cursor: str | None = None, *, locale: str | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """The frames that `user` is sent, hello and page included, from after `cursor`, across restarts of the server.

    Raises Refused when coming back would not help.
    """
    line = Line(Address(url), Identity(user, token, None), locale)
    async with aclosing(line.frames(lambda: cursor)) as frames:
        async for frame in frames:
            cursor = frame.get("cursor") or cursor
            yield frame
