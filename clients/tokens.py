"""Who the client is: a token, whose it is, how long it is good, and where the next one comes from.

The token is not verified here, only read: whoever sends it may know what it says.
"""

import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import msgspec

GetToken = Callable[[], Awaitable[str]]
RENEW_BEFORE_S: Final = (
    60.0  # … its end, and for a short-lived one a fifth of its life: time to ask more than once
)

AWAY: Final = (OSError, httpx.TransportError)  # TimeoutError is one of the former
"""What `get_token` may raise when whoever gives tokens cannot be reached: it is asked again."""


def claims_of(token: str | None) -> dict[str, Any]:
    """What a JWT says; empty if it is none."""
    try:
        part = (token or "").split(".")[1]
        claims = msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if type(claims) is dict else {}


class Identity:
    """`user` may be left out where the token names one."""

    def __init__(self, user: str | None, token: str | None, get_token: GetToken | None) -> None:
        self.token = token
        self._user = user
        self._get_token = get_token

    @property
    def user(self) -> str | None:
        """Whose inbox is asked for."""
        return self._user or claims_of(self.token).get("sub")

    @property
    def can_renew(self) -> bool:
        return self._get_token is not None

    async def renew(self) -> bool:
        """Ask for a new token; whether it is another one. Raises whatever `get_token` does."""
        assert self._get_token is not None
        before, self.token = self.token, await self._get_token()
        return self.token != before

    async def fields(self) -> dict[str, str]:
        """What the first frame says of it. Asks for a token where there is none yet."""
        if self.token is None and self._get_token is not None:
            await self.renew()
        given = {"user": self.user, "token": self.token}
        return {name: value for name, value in given.items() if value is not None}

    def renews_in_s(self) -> float | None:
        """When to ask for the next token; None if never, or not before this one is refused."""
        expires = claims_of(self.token).get("exp")
        if not self.can_renew or not isinstance(expires, int | float):
            return None
        left_s = expires - time.time()
        return left_s - min(RENEW_BEFORE_S, left_s / 5) if left_s > 1 else None
