"""Playing the town to a server."""

import asyncio
import json

import httpx
import pytest

from fanbell.infra import demo
from fanbell.infra.demo_kinds import demo_source
from fanbell.infra.town import Town
from fanbell.streams.core.kinds import default_source, parse_rules

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Taker:
    """A server that takes what it is sent; `statuses` are answered first."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.activities: list[str] = []
        self.named = 0
        self.rules = default_source()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 202 and request.method == "POST":
            self.activities += [one["id"] for one in json.loads(request.content)]
        if status == 202 and request.url.path == "/v1/kinds" and request.method == "PUT":
            self.rules = json.loads(request.content)["source"]
        self.named += request.method == "PUT" and request.url.path.startswith("/v1/users/")
        return httpx.Response(status, headers={"retry-after": "0"}, json={"source": self.rules})


@pytest.fixture
def taker(monkeypatch: pytest.MonkeyPatch) -> Taker:
    return serve(Taker(), monkeypatch)


def serve(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> Taker:
    real = httpx.AsyncClient
    monkeypatch.setattr(
        httpx,
        "AsyncClient",
        lambda **more: real(transport=httpx.MockTransport(taker), base_url=more["base_url"]),
    )
    return taker


async def test_it_sets_the_town_up_and_lets_it_live(taker: Taker) -> None:
    """
    Everybody gets a name, everybody who is followed is followed, and then things happen, up to the bound.
    """
    town = Town(1, "r", people=30)
    happened = await demo.play("http://town", 1, 1e6, town=town, at_most=50)

    assert happened >= 50
    assert taker.named >= 30
    assert len(set(taker.activities)) == len(taker.activities) >= len(town.follows) + 50


async def test_a_quiet_town_is_set_up_and_no_more(taker: Taker) -> None:
    """
    At no moments a second, everybody is there and follows whom they follow, and nothing happens after that.
    """
    town = Town(1, "r", people=30)

    assert await demo.play("http://town", 1, 0, town=town) == 0
    assert taker.named >= 30
    assert len(taker.activities) >= len(town.follows)


async def test_the_town_speaks_one_language_more(taker: Taker) -> None:
    """
    The rules that ship are put in force with texts in Arabic beside the others; rules of somebody's own are left alone.
    """
    await demo.play("http://town", 1, 0, town=Town(1, "r", people=12))
    rules = parse_rules(taker.rules, 1)
    shipped = parse_rules(default_source(), 1)

    assert taker.rules == demo_source()
    assert set(rules.kinds) == set(shipped.kinds)
    assert all("ar" in kind.text for kind in rules.kinds.values() if kind.text)
    taker.rules = "[kinds]"
    await demo.play("http://town", 1, 0, town=Town(1, "s", people=12))
    assert taker.rules == "[kinds]"


async def test_a_busy_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the server asks for patience, nothing is lost and nothing is sent in vain.
    """
    taker = serve(Taker(503, 429, 503), monkeypatch)
    await demo.play("http://town", 1, 1e6, town=Town(1, "r", people=12), at_most=5)

    assert len(set(taker.activities)) == len(taker.activities) > 5


async def test_it_ends_when_the_server_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A server that refuses what it is sent is not asked again and again.
    """
    serve(Taker(*[401] * 100), monkeypatch)

    assert await demo.play("http://town", 1, 1e6, town=Town(1, "r", people=12)) == 0


async def test_it_ends_when_the_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The traffic stops with the server.
    """
    monkeypatch.setattr(demo, "SILENT_S", 0.0)
    async with asyncio.timeout(10):
        assert await demo.play("http://127.0.0.1:1", 1, 1e6, town=Town(1, "r", people=12)) == 0
