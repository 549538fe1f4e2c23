"""Reads one user's frames from the edge, and comes back by itself: for `fanbell tail`, and for tests.

It resumes by the last cursor it has given out, so whoever reads it to the end of time gets each notification once.
"""

import asyncio
from collections.abc import AsyncGenerator
from random import random
from typing import Any, Final

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from fanbell.edge.close_codes import BY_CODE, comes_back, wait_ms
from fanbell.edge.frames import SUBPROTOCOL

FRAME_BYTES_MAX: Final = 4 * 1024 * 1024  # a page of 50 rows, each with all the data it may have
OPEN_TIMEOUT_S: Final = 10.0
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """The edge closed the session for good; `code` as in `close_codes`, None if it refused the handshake."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def tail(
    url: str, user: str, token: str | None = None, cursor: str | None = None, *, locale: str | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """The frames that `user` is sent, hello and page included, from after `cursor`, across restarts of the server.

    Raises Refused when coming back would not help.
    """
    failures = 0
    while True:
        code: int | None = None
        try:
            async with _open(url) as socket:
                await socket.send(_encode(_connect(user, token, cursor, locale)).decode())
                async for text in socket:
                    frame: dict[str, Any] = msgspec.json.decode(text)
                    failures = 0
                    cursor = frame.get("cursor") or cursor
                    yield frame
                code = socket.close_code
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else None
        except InvalidMessage:
            pass  # the server went away in the middle of the handshake
        except InvalidHandshake as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status != 503:  # no room now, or stopping; anything else stays as it is
                raise Refused(None, f"the edge refuses the connection: {error}") from None
        except (OSError, TimeoutError):
            pass  # not there, or not yet again
        if not comes_back(code) and code != 1000:
            row = BY_CODE.get(code or 0)
            raise Refused(code, row.reason if row else f"closed with code {code}")
        await asyncio.sleep(wait_ms(code, failures, random()) / 1000)  # noqa: S311 - spreads clients, hides nothing
        failures += 1


def _open(url: str) -> connect:
    return connect(
        url,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        max_size=FRAME_BYTES_MAX,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=1,
        proxy=None,
    )


def _connect(user: str, token: str | None, cursor: str | None, locale: str | None) -> dict[str, str]:
    given = {"user": user, "token": token, "cursor": cursor, "locale": locale}
    return {"type": "connect", **{name: value for name, value in given.items() if value is not None}}
