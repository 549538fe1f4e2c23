"""The connection to the edge, made again whenever it breaks: frames in, frames out.

How to come back is a table, `edge.close_codes`: whether at all, after how long, and ever longer after each failure in
a row, by a random part. A line that carries nothing may be quiet or dead, and TCP cannot tell which for minutes; so
after some silence the edge is pinged, and if still nothing comes the connection is given up for a new one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from random import random
from ssl import SSLCertVerificationError, SSLContext
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from fanbell.clients.errors import Refused, Untrusted
from fanbell.clients.tokens import AWAY, Identity
from fanbell.edge.close_codes import BY_CODE, BY_NAME, comes_back, wait_ms

Status = Literal["connecting", "live", "offline", "closed"]
SUBPROTOCOL: Final = "fanbell.v1"
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024  # a page of 50 rows, each with all the data it may have
OPEN_TIMEOUT_S: Final = 10.0  # an address that does not answer by then is tried anew
CLOSE_TIMEOUT_S: Final = 1.0  # for the edge's goodbye; a dead line has none
PING_EVERY_S: Final = 20.0  # below the minute after which home routers forget a silent connection
SILENCE_S: Final = 10.0  # … after a ping: the edge answers in a millisecond, a phone's bad line in seconds
OLDER_ROWS: Final = 100  # of a page from the API
NOT_YET: Final = frozenset({408, 429})  # and 5xx: what a server or a proxy answers when there is no room now
NEW_TOKEN: Final = frozenset(BY_NAME[name].code for name in ("unauthorized", "token_expired"))
_encode = msgspec.json.Encoder().encode


class Silent(Exception):
    """Nothing comes through, not even the answer to a ping."""


class Address:
    """Where the edge is: as given, or where the API at `url` says, asked anew once it is not there any more."""

    def __init__(self, url: str, ssl: SSLContext | None = None) -> None:
        scheme = url.partition("://")[0]
        if scheme not in ("http", "https", "ws", "wss"):
            raise ValueError("url must begin with http://, https://, ws:// or wss://")
        self._api = url.rstrip("/") if scheme.startswith("http") else None
        self._edge = None if self._api else url
        self.ssl = ssl

    async def ask(self, user: str | None) -> str:
        """The edge's address, for `user` if they are known. Raises httpx.TransportError, Refused, Untrusted, Silent."""
        if self._edge is None:
            try:
                async with self._http() as http:
                    answer = await http.get(f"{self._api}/v1/edge", params={"user": user} if user else None)
            except httpx.ConnectError as error:
                if (why := _distrust(error)) is not None:
                    raise Untrusted("the API", why.verify_message) from None
                raise
            if _may_change(answer.status_code):
                raise Silent
            if answer.status_code != 200:
                raise Refused(None, f"the API does not say where the edge is: {answer.status_code}")
            try:
                self._edge = str(answer.json()["url"])
            except (ValueError, LookupError, TypeError):
                raise Refused(None, "what answers at the API's address is not a Fanbell") from None
        return self._edge

    async def older(
        self, user: str, token: str | None, before: str, locale: str | None
    ) -> dict[str, Any] | None:
        """The page of the inbox below the cursor `before`; None if the API is not known, or does not give it."""
        if self._api is None:
            return None
        given = {"before": before, "limit": str(OLDER_ROWS), **({"locale": locale} if locale else {})}
        path = f"{self._api}/v1/users/{quote(user, safe='').replace('.', '%2E')}/notifications"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._http() as http:
                answer = await http.get(path, params=given, headers=headers)
            return answer.json() if answer.status_code == 200 else None
        except (httpx.TransportError, ValueError):
            return None

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=OPEN_TIMEOUT_S, verify=self.ssl or True)

    def forget(self) -> None:
        """It is not there: ask again."""
        if self._api is not None:
            self._edge = None


class Line:
    """One connection after the other. Read `frames`; `say` while there is one."""

    def __init__(
        self,
        address: Address,
        identity: Identity,
        locale: str | None = None,
        *,
        ping_every_s: float = PING_EVERY_S,
        silence_s: float = SILENCE_S,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> None:
        self._address = address
        self._identity = identity
        self._locale = locale
        self._ping_every_s = ping_every_s
        self._silence_s = silence_s
        self._on_status = on_status
        self._socket: ClientConnection | None = None
        self._failures = 0
        self._renewed = False

    async def frames(self, cursor: Callable[[], str | None]) -> AsyncGenerator[dict[str, Any], None]:
        """Every frame that the edge sends, across all connections; each begins with what `cursor` gives by then.

        Raises Refused when coming back would not help.
        """
        while True:
            code: int | None = None
            self._on_status("connecting")
            try:
                async with self._open(await self._address.ask(self._identity.user)) as socket:
                    try:
                        await self._say_who(socket, cursor())
                        while True:
                            frame = await self._hear(socket)
                            self._socket, self._failures, self._renewed = socket, 0, False
                            yield frame
                    finally:
                        await socket.close()  # 1000, whatever made us leave
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd is not None else None
            except InvalidStatus as error:
                if not _may_change(error.response.status_code):
                    raise Refused(None, f"the edge refuses the connection: {error}") from None
            except InvalidHandshake as error:
                if not isinstance(error, InvalidMessage):  # … the server went away in the middle of it
                    raise Refused(None, f"what answers is not an edge: {error}") from None
            except SSLCertVerificationError as error:
                raise Untrusted("the edge", error.verify_message) from None
            except (OSError, httpx.TransportError):
                self._address.forget()
            except (Silent, msgspec.DecodeError):
                pass  # the line is dead, or garbles what it carries
            finally:
                self._socket = None
            self._on_status("offline")
            await self._come_back(code)

    async def say(self, message: Mapping[str, Any]) -> bool:
        """Send a frame; False if there is no connection that is past its first frame, or it broke."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(_encode(message).decode())
        except ConnectionClosed:
            return False
        return True

    def _open(self, url: str) -> connect:
        return connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=FRAME_BYTES_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # ours has a cursor in its answer
            proxy=None,
            ssl=(self._address.ssl or True) if url.startswith("wss:") else None,
        )

    async def _say_who(self, socket: ClientConnection, cursor: str | None) -> None:
        given = {"cursor": cursor, "locale": self._locale}
        asked = {name: value for name, value in given.items() if value is not None}
        await socket.send(_encode({"type": "connect", **await self._identity.fields(), **asked}).decode())

    async def _hear(self, socket: ClientConnection) -> dict[str, Any]:
        """The next frame. Raises Silent, and then the connection is no more."""
        try:
            if self._socket is None:  # not greeted yet, and nobody may ping before
                return await _next(socket, self._ping_every_s + self._silence_s)
            with suppress(TimeoutError):
                return await _next(socket, self._ping_every_s)
            async with asyncio.timeout(self._silence_s):
                await socket.send('{"type":"ping"}')
                return await _next(socket, self._silence_s)
        except TimeoutError:
            socket.transport.abort()
            raise Silent from None

    async def _come_back(self, code: int | None) -> None:
        """Wait as the table says, with a new token if that is what is missing. Raises Refused."""
        renews = code in NEW_TOKEN and self._identity.can_renew and not self._renewed
        if not renews and not comes_back(code) and code != 1000:
            row = BY_CODE.get(code or 0)
            raise Refused(code, row.reason if row else f"closed with code {code}")
        if renews:
            code = None  # a token that ends at once must not make us ask for the next without a pause
        await asyncio.sleep(wait_ms(code, self._failures, random()) / 1000)  # noqa: S311 - spreads clients
        self._failures += 1
        while renews:
            try:
                await self._identity.renew()
                renews, self._renewed = False, True
            except AWAY:  # whoever gives tokens is away, too
                await asyncio.sleep(wait_ms(None, self._failures, random()) / 1000)  # noqa: S311
                self._failures += 1


async def _next(socket: ClientConnection, timeout_s: float) -> dict[str, Any]:
    """The next frame within `timeout_s`. Raises TimeoutError, ConnectionClosed, msgspec.DecodeError."""
    async with asyncio.timeout(timeout_s):
        text = await socket.recv()
    return msgspec.json.decode(text, type=dict[str, Any])


def _distrust(error: BaseException | None) -> SSLCertVerificationError | None:
    """What is wrong with a certificate, where that is what `error` comes of."""
    while error is not None and not isinstance(error, SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _may_change(status: int) -> bool:
    """Whether what was answered with `status` may be answered otherwise later."""
    return status >= 500 or status in NOT_YET
