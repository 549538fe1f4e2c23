import pytest

from fanbell.edge.origins import Hosts, Origins, host_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8787", "localhost"),
        ("[::1]:8787", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        (":80", ""),
    ],
)
def test_name_in_a_host_header(host: str, name: str) -> None:
    """
    The name is what stands before the port, in lower case.
    """
    assert host_name(host) == name


def test_hosts_are_compared_whole() -> None:
    """
    A name that only begins or ends like ours is another.
    """
    hosts = Hosts(("Bell.Example", "::1"))

    assert all(hosts.allow(host) for host in ("bell.example", "BELL.example.:443", "[::1]:1"))
    assert not any(
        hosts.allow(host) for host in ("", "bell.example.evil", "evil-bell.example", "example", "*")
    )


def test_own_origins_are_those_of_the_host_that_was_asked() -> None:
    """
    Pages of the server itself may call, at both its ports; those of other ports and hosts only if named.
    """
    origins = Origins(("https://Site.example/",), 8788)

    assert origins.allow("http://localhost:8787", "LOCALHOST:8787")
    assert origins.allow("https://localhost:8788", "localhost:8787")
    assert origins.allow("https://site.example", "localhost:8787")
    for foreign in (
        "http://localhost:1",
        "http://127.0.0.1:8787",
        "null",
        "",
        "ftp://localhost:8787",
        "https://x.site.example",
    ):
        assert not origins.allow(foreign, "localhost:8787")
