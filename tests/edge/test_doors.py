"""Who may come in, as the handshake says it."""

from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs
from websockets.datastructures import Headers
from websockets.http11 import Request

from fanbell.edge.addresses import EXEMPT
from fanbell.edge.doors import SAID_EVERY_S, Doors
from fanbell.infra.settings import Settings


def doors(**settings: Any) -> Doors:
    return Doors(replace(Settings(), **settings))


def asked(path: str = "/", **headers: str) -> Request:
    return Request(path, Headers(Host="127.0.0.1:8788", **headers))


def test_an_address_comes_back_after_its_wait() -> None:
    """
    Five seconds' worth of connections may come at once; then an address waits as long as it is told, and no longer.
    """
    entrance = doors(connects_per_address=0.5)
    told = [entrance.refusal(asked(), "192.0.2.1", 100.0) for _ in range(4)]

    assert [refusal and refusal.status for refusal in told] == [None, None, None, 429]
    assert told[3] is not None
    assert entrance.refusal(asked(), "192.0.2.1", 100.0 + told[3].retry_after_s) is None
    assert entrance.refusal(asked(), "192.0.2.2", 100.0) is None
    assert {entrance.refusal(asked(), EXEMPT, 100.0) for _ in range(9)} == {None}


def test_refused_handshakes_count_too() -> None:
    """
    Whoever tries wrong names or paths again and again is told to wait like everybody.
    """
    entrance = doors(connects_per_address=0.2)

    statuses = [entrance.refusal(asked("/elsewhere"), "192.0.2.1", 100.0) for _ in range(2)]

    assert [refusal and refusal.status for refusal in statuses] == [404, 429]


def test_without_a_limit_an_address_comes_as_often_as_it_likes() -> None:
    """
    With 0 the limits by address are off.
    """
    entrance = doors(connects_per_address=0, sessions_per_address=0)

    assert {entrance.refusal(asked(), "192.0.2.1", 100.0) for _ in range(1_000)} == {None}
    assert all(entrance.enter("192.0.2.1") for _ in range(3_000))


def test_an_address_at_its_limit_is_in_the_log_now_and_then() -> None:
    """
    Operators hear that an address is at a limit, for it may be their own proxy; not each time, and not which one.
    """
    entrance = doors(connects_per_address=0.2)
    with capture_logs() as lines:
        for now_s in (0.0, 0.0, 0.1, 0.2, SAID_EVERY_S + 0.1, SAID_EVERY_S + 0.1):
            entrance.refusal(asked(), "192.0.2.1", now_s)

    assert [line["limit"] for line in lines] == ["connects_per_address"] * 2
    assert all("trusted_proxies" in line["event"] and "192.0.2.1" not in str(line) for line in lines)
