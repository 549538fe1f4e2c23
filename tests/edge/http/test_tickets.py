"""Tickets on real sockets: whose they are, that they count once, and that nobody reads them in a log."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fanbell.edge import tickets as tickets_module
from fanbell.edge.auth import make_token
from fanbell.edge.http.app import EDGE_CALLS
from fanbell.projections.store import StoreFailed
from tests.edge.http.conftest import SECRET, Server, bearer, errors_of
from tests.edge.http.streaming import running
from tests.infra.up_process import fanbell_up


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_ticket_opens_one_stream() -> None:
    """
    A ticket stands for the token that made it: once, and not a second time.
    """
    async with running(secrets=(SECRET,)) as server:
        ticket = await server.ticket(bearer("ana"))
        async with server.stream("ana", ticket=ticket) as stream:
            await stream.hear("page")
            await server.backend.notice(["ana"], "n1")
            assert (await stream.hear("notification"))["item"]["id"] == "n1"
            status, problem = await server.refused("ana", ticket=ticket)

    assert (status, problem["type"]) == (401, "fanbell:unauthorized")
    assert ticket not in json.dumps(problem)


@pytest.mark.anyio
async def test_many_at_once_are_one() -> None:
    """
    Of many that show the same ticket at once, one gets in.
    """
    async with running(secrets=(SECRET,)) as server, server.asking() as client:
        ticket = await server.ticket(bearer("ana"))
        path = f"/v1/users/ana/stream?ticket={ticket}"

        async def status() -> int:
            async with client.stream("GET", path) as answer:
                return answer.status_code

        statuses = await asyncio.gather(*(status() for _ in range(10)))

    assert sorted(statuses) == [200, *[401] * 9]


@pytest.mark.anyio
async def test_a_ticket_is_no_other_users() -> None:
    """
    A ticket for one user opens no stream of another, and is not spent by the try.
    """
    async with running(secrets=(SECRET,)) as server:
        ticket = await server.ticket(bearer("root", "operator"), user="ana")
        assert (await server.refused("ben", ticket=ticket))[0] == 401
        async with server.stream("ana", ticket=ticket) as stream:
            await stream.hear("page")


@pytest.mark.anyio
async def test_an_old_ticket_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A ticket that was not used in time is worth nothing.
    """
    async with running(secrets=(SECRET,)) as server:
        clock = [0.0]
        monkeypatch.setattr(server.backend.tickets, "_clock", lambda: clock[0])
        ticket = await server.ticket(bearer("ana"))
        clock[0] = tickets_module.TTL_S
        assert (await server.refused("ana", ticket=ticket))[0] == 401


@pytest.mark.anyio
async def test_a_ticket_outlives_no_token() -> None:
    """
    What a ticket opens ends when the token does that the ticket was made with.
    """
    headers = {"authorization": f"Bearer {make_token(SECRET, 'ana', ['user'], 1)}"}
    async with running(secrets=(SECRET,)) as server:
        ticket = await server.ticket(headers)
        async with server.stream("ana", ticket=ticket) as stream:
            await stream.hear("page")
            assert (await stream.closed())["code"] == 4501


@pytest.mark.anyio
async def test_changed_and_made_up_tickets() -> None:
    """
    A ticket whose end was moved, and what never was one, do not count; a ticket beside a token is a mistake.
    """
    async with running(secrets=(SECRET,)) as server:
        ticket = await server.ticket(bearer("ana"))
        for wrong in (ticket[:-1] + "9", ticket + "0", "", "x", "x" * 10_000, "é\u2028", "."):
            assert (await server.refused("ana", ticket=wrong))[0] == 401
        assert (await server.refused("ana", bearer("ana"), ticket=ticket))[0] == 400
        async with server.stream("ana", ticket=ticket):
            pass


@pytest.mark.anyio
async def test_a_ticket_is_for_a_stream_alone() -> None:
    """
    No other call takes a ticket for a token.
    """
    async with running(secrets=(SECRET,)) as server, server.asking() as client:
        ticket = await server.ticket(bearer("ana"))
        for path in ("/v1/users/ana/counts", "/v1/users/ana/notifications", "/v1/users/ana/follows/stream"):
            answer = await client.get(f"{path}?ticket={ticket}")
            assert answer.status_code == 401


def test_who_may_make_tickets(guarded: Server) -> None:
    """
    A user makes tickets for themselves, an operator for anybody; an answer with one is kept nowhere.
    """
    own = guarded.post("/v1/tickets", {}, headers=bearer("ana"))

    assert own.status_code == 201
    assert (own.json()["user"], own.json()["expires_in_s"]) == ("ana", 30)
    assert own.headers["cache-control"] == "no-store"
    assert guarded.post("/v1/tickets", {"user": "ana"}, headers=bearer("root", "operator")).status_code == 201
    assert guarded.post("/v1/tickets", {"user": "ana"}, headers=bearer("ben")).status_code == 403
    assert guarded.post("/v1/tickets", {}, headers=bearer("site", "producer")).status_code == 403
    assert guarded.post("/v1/tickets", {"user": "ana"}).status_code == 401


@pytest.mark.parametrize("body", [{}, {"user": ""}, {"user": 3}, {"user": None}, {"users": "ana"}])
def test_bad_wishes_for_tickets(body: Any, server: Server) -> None:
    """
    Without a token that names one, the user must be named.
    """
    answer = server.post("/v1/tickets", body)

    assert answer.status_code == 422
    assert errors_of(answer) == [(None, "users" if "users" in body else "user")]


def test_tickets_while_the_store_is_away(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When tickets cannot be kept, none is given out.
    """

    async def fail(*_: Any) -> None:
        raise StoreFailed("away")

    monkeypatch.setattr(guarded.backend.tickets, "keep", fail)
    answer = guarded.post("/v1/tickets", {}, headers=bearer("ana"))

    assert (answer.status_code, answer.json()["type"]) == (503, "fanbell:unavailable")


def test_a_process_without_sockets_says_who_has_them(server: Server) -> None:
    """
    An API that holds no sockets makes tickets, and tells where streams are.
    """
    assert server.post("/v1/tickets", {"user": "ana"}).status_code == 201
    answer = server.get("/v1/users/ana/stream")

    assert answer.status_code == 404
    assert "fanbell edge" in answer.json()["detail"]


def test_a_process_of_sockets_alone_has_streams_and_tickets() -> None:
    """
    An edge process takes and makes tickets, and answers nothing of the rest of the API.
    """
    paths = {call.path for call in EDGE_CALLS}

    assert {"/v1/users/{user}/stream", "/v1/tickets", "/healthz", "/readyz", "/metrics"} <= paths
    assert not {"/v1/activities", "/v1/users/{user}/notifications"} & paths


def test_tickets_are_in_no_log(tmp_path: Path) -> None:
    """
    Nothing that a server writes or tells, of streams opened, refused and failed, has a ticket in it.
    """
    token = make_token(SECRET, "ana", ["user"], 60)
    log = tmp_path / "log"
    told = b""
    environ = {"FANBELL_TOKEN_SECRET": SECRET}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        with fanbell_up(tmp_path, log=log) as up:
            tickets = [_made(up.url, token) for _ in range(3)]
            used, spare, wrong = tickets
            for query in (
                f"ticket={used}",
                f"ticket={used}",
                f"ticket={wrong}x",
                f"tickets={spare}",
                f"ticket={spare}&ticket={spare}",
                f"ticket={spare}&locale=no such",
                f"cursor={spare}&ticket=%",
            ):
                told += _looked(f"{up.url}/v1/users/ana/stream?{query.replace(' ', '%20')}")
            told += _looked(f"{up.url}/v1/users/ana%2/stream?ticket={spare}")
            told += _looked(f"{up.url}/nowhere?ticket={spare}")
            told += _looked(f"{up.url}/metrics")
            assert b"event: hello" in told
            assert b"/v1/users/{user}/stream" in told
            opened = f"{up.url}/v1/users/ana/stream?ticket={_made(up.url, token)}"
            with urllib.request.urlopen(opened, timeout=10) as stream:
                assert stream.read(5) == b"retry"
                up.process.terminate()
                last = stream.read()
            assert b"event: close" in last
            assert b'"code":1001' in last
            assert up.end() == 0
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert b"stopping" in log.read_bytes()
    for ticket in tickets:
        random = ticket.partition(".")[0].encode()
        assert random not in written
        assert random not in told


def _made(url: str, token: str) -> str:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/tickets", b"{}", headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["ticket"])


def _looked(url: str) -> bytes:
    """The first of what is answered, head included."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            endless = answer.headers["content-type"] == "text/event-stream"
            return str(answer.headers).encode() + (answer.read(200) if endless else answer.read())
    except urllib.error.HTTPError as error:
        return str(error.headers).encode() + error.read()
