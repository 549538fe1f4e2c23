"""Names by which this server may be asked, and web origins that may ask it: the same for HTTP and WebSocket.

A web page can make its visitor's browser send requests to a loopback server, under a name of its own that it points
there (so the Host header is compared with a list) or under ours (so the Origin header is).
"""

from collections.abc import Iterable
from functools import lru_cache


class Hosts:
    """Names that a Host header may give, whatever the port. `*` is any."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().strip("[]").rstrip(".") for name in names if name)

    def allow(self, host: str) -> bool:
        """Whether the value `host` of a Host header names us."""
        return bool(host) and ("*" in self._names or host_name(host).strip("[]").rstrip(".") in self._names)


class Origins:
    """Origins that may call: those named, and the server's own at the port asked and at its `other_port`."""

    def __init__(self, named: Iterable[str], other_port: int) -> None:
        self._named = frozenset(origin.rstrip("/").lower() for origin in named)
        self._other_port = other_port

    def allow(self, origin: str, host: str) -> bool:
        """Whether pages of `origin` may call the server that was asked as `host`, a Host header that is allowed.

        Own pages may be served over http or https: a proxy before us may speak TLS.
        """
        origin = origin.lower()
        scheme, _, place = origin.partition("://")
        own = (host.lower(), f"{host_name(host)}:{self._other_port}")
        return (scheme in ("http", "https") and place in own) or origin in self._named


@lru_cache(maxsize=64)  # the few names by which a server is asked
def host_name(host: str) -> str:
    """The name or address in the value of a Host header, in lower case; an IPv6 address with its brackets."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
