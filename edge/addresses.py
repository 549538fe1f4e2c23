"""Whose address a connection counts for: that of the peer, or what a proxy of ours says of it.

`X-Forwarded-For` is a list to which each proxy adds, at the right, whom it was asked by. All left of what proxies of
ours wrote is the client's own claim, so it is read from the right: the first address that is no proxy of ours is the
client's. Without a trusted proxy as the peer the header says nothing.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
IPV6_PREFIX: Final = 64  # one line at home has that many addresses: they are one
FORWARDED_MAX: Final = 32  # entries that are looked at; chains of proxies are shorter
EXEMPT: Final = (
    ""  # loopback is this machine, or a proxy that speaks for many: no limit by address makes sense
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadProxy(ValueError):
    """A trusted proxy that is neither an address nor a network."""


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only be reached from this machine."""
    if host.strip("[]").lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(text: str) -> Address | None:
    """The address that `text` is, without brackets and zone; None if it is none."""
    try:
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)  # what a dual-stack socket says for 127.0.0.1
    return mapped or address


class Proxies:
    """Proxies that are believed, by address or network, such as 10.0.0.0/8."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Raises BadProxy."""
        self._networks: list[Network] = []
        for name in trusted:
            try:
                self._networks.append(ipaddress.ip_network(name.strip("[]")))
            except ValueError:
                raise BadProxy(
                    f"trusted_proxies: {name!r} is neither an address nor a network such as 10.0.0.0/8"
                ) from None

    def client(self, peer: str, forwarded: Sequence[str] = ()) -> str:
        """What limits count for: an address, an IPv6 network, or EXEMPT.

        `peer` is whom the connection comes from, `forwarded` the values of its X-Forwarded-For headers in order.
        """
        address = _address(peer)
        if address is None:
            return peer  # a socket of another family
        if forwarded and self._networks and self._are_ours(address):
            entries = ",".join(forwarded).rsplit(",", FORWARDED_MAX)[-FORWARDED_MAX:]
            for entry in reversed(entries):
                found = _address(entry)
                if found is None:
                    break  # what is further left was vouched for by nobody
                address = found
                if not self._are_ours(found):
                    break
        return _counted(address)

    def _are_ours(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4_096)  # the same few come again and again
def _counted(address: Address) -> str:
    if address.is_loopback:
        return EXEMPT
    if address.version == 6:
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
