"""Who may come in, looked at in the handshake: the name asked for, the page that asks, and how often an address does.

Refusals are HTTP answers. Those that a client should try again after carry Retry-After.
"""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import structlog
from websockets.datastructures import Headers
from websockets.http11 import Request

from fanbell.edge.addresses import EXEMPT, LOOPBACK_NAMES, Proxies
from fanbell.edge.limits import Places
from fanbell.edge.origins import Hosts, Origins
from fanbell.edge.rate_limit import RateLimit

FULL_RETRY_S: Final = 5  # as the close code "full" says
SAID_EVERY_S: Final = 60.0  # that an address is at a limit; whoever attacks must not fill the log
LEAVING_RETRY_S: Final = 1  # by then a balancer has seen that this process is not ready


log = structlog.get_logger("fanbell.edge")


class DoorSettings(Protocol):
    """The settings that decide who comes in; `infra.settings.Settings` has them all."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...
    @property
    def allowed_origins(self) -> Sequence[str]: ...
    @property
    def trusted_proxies(self) -> Sequence[str]: ...
    @property
    def sessions_per_address(self) -> int: ...
    @property
    def connects_per_address(self) -> float: ...


class Refusal(NamedTuple):
    """Why a handshake is refused; `retry_after_s` is 0 where trying again is no use."""

    status: HTTPStatus
    why: str
    retry_after_s: int = 0


FULL: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "As many sockets as the server can hold are open.", FULL_RETRY_S
)
LEAVING: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "This server is about to stop; another takes over.", LEAVING_RETRY_S
)


class Doors:
    """Raises BadProxy when made."""

    def __init__(self, settings: DoorSettings) -> None:
        self._hosts = Hosts((*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts))
        self._origins = Origins(settings.allowed_origins, settings.port)
        self._proxies = Proxies(settings.trusted_proxies)
        per_s = settings.connects_per_address
        self._connects = RateLimit(per_s) if per_s else None
        self._places = Places(settings.sessions_per_address)
        self._say_at_s = float("-inf")

    def address(self, peer: str, headers: Headers) -> str:
        """What limits count for; EXEMPT is nobody."""
        return self._proxies.client(peer, headers.get_all("X-Forwarded-For"))

    def enter(self, address: str) -> bool:
        """Count a session of `address`; whether it is within the bound. It is to `leave` in either case."""
        if address == EXEMPT or self._places.enter(address):
            return True
        self._say("sessions_per_address", time.monotonic())
        return False

    def leave(self, address: str) -> None:
        """A session that entered is gone."""
        if address != EXEMPT:
            self._places.leave(address)

    @property
    def addresses(self) -> int:
        """How many addresses have sessions."""
        return len(self._places)

    def _say(self, limit: str, now_s: float) -> None:
        """Have it in the log that an address is at `limit`: it may be a proxy of ours that nobody named."""
        if now_s >= self._say_at_s:
            self._say_at_s = now_s + SAID_EVERY_S
            log.warning(
                "an address is at its limit; if it is a proxy, name it in trusted_proxies", limit=limit
            )

    def refusal(self, request: Request, address: str, now_s: float | None = None) -> Refusal | None:
        """Why the handshake `request` from `address` is refused; None if it is not. `now_s`: monotonic."""
        headers = request.headers
        if self._connects is not None and address != EXEMPT:  # first, so that refused ones count too
            now_s = time.monotonic() if now_s is None else now_s
            asked = self._connects.take(address, now_s)
            if not asked.allowed:
                self._say("connects_per_address", now_s)
                why = f"Too many connections from here; try again in {asked.retry_after_s} s."
                return Refusal(HTTPStatus.TOO_MANY_REQUESTS, why, asked.retry_after_s)
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        if len(hosts) != 1 or not self._hosts.allow(hosts[0]):
            why = "This server is not asked by that name; see the setting allowed_hosts."
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, why)
        if origins and (len(origins) > 1 or not self._origins.allow(origins[0], hosts[0])):
            return Refusal(
                HTTPStatus.FORBIDDEN, "This origin may not connect; see the setting allowed_origins."
            )
        if request.path.partition("?")[0] != "/":
            return Refusal(HTTPStatus.NOT_FOUND, "The edge is at /.")
        if len(headers.get_all("Authorization")) > 1:
            return Refusal(HTTPStatus.BAD_REQUEST, "The header Authorization is given twice.")
        return None
