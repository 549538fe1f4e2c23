"""Whose address a connection counts for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.edge.addresses import EXEMPT, BadProxy, Proxies

PROXIES = Proxies(("10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),  # nobody we know says so
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        (
            "10.1.2.3",
            ["127.0.0.1, 203.0.113.9"],
            "203.0.113.9",
        ),  # what the client claimed stands further left
        ("10.1.2.3", ["203.0.113.9, 192.0.2.7"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9", "10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["10.9.9.9"], "10.9.9.9"),  # ours all the way
        ("10.1.2.3", ["nonsense"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9, nonsense, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["127.0.0.1"], EXEMPT),
        ("127.0.0.1", ["203.0.113.9"], EXEMPT),  # a proxy here that settings do not name
        ("::1", [], EXEMPT),
        ("2001:db8:2:3:4:5:6:7", [], "2001:db8:2:3::/64"),
        ("2001:db8:1::1", ["[2001:db8:2:3::9]"], "2001:db8:2:3::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], ""),
    ],
)
def test_whose_address_counts(peer: str, forwarded: list[str], address: str) -> None:
    """
    Proxies of ours are believed, from the right, up to the first address that is not theirs; nobody else is.
    """
    assert PROXIES.client(peer, forwarded) == address


@given(st.lists(st.text(max_size=30), max_size=4))
def test_what_a_client_claims_never_counts(claimed: list[str]) -> None:
    """
    Whatever a client writes into the header, what our proxy adds at the right decides.
    """
    header = ",".join([*claimed, " 203.0.113.9"])

    assert PROXIES.client("10.1.2.3", [header]) == "203.0.113.9"
    assert Proxies().client("10.1.2.3", [header]) == "10.1.2.3"


def test_a_header_without_end_is_read_from_its_end() -> None:
    """
    A long header costs no more than a short one.
    """
    assert PROXIES.client("10.1.2.3", ["1.2.3.4," * 100_000 + "203.0.113.9"]) == "203.0.113.9"


@pytest.mark.parametrize("name", ["proxy.example", "10.0.0.1/8", "", "*"])
def test_a_proxy_is_an_address_or_a_network(name: str) -> None:
    """
    Anything else is refused at the start.
    """
    with pytest.raises(BadProxy, match="trusted_proxies"):
        Proxies((name,))
