"""The event stream on real sockets: the frames of the WebSocket, resumed, bounded and ended as they are."""

import asyncio
import json
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect

from fanbell.edge import sse as sse_module
from fanbell.edge.auth import make_token
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.http import stream as stream_module
from fanbell.projections.store import StoreFailed
from tests.edge.fake_notices import FakeNotices
from tests.edge.http.conftest import SECRET, bearer
from tests.edge.http.streaming import PATIENCE_S, Server, running, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


async def raw(server: Server, request: bytes) -> bytes:
    """All that the server answers to `request` until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    return answer


async def test_a_stream_begins_with_hello_and_a_page() -> None:
    """
    A stream is an event stream that nobody keeps or holds back, and begins with hello and a fresh page.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with server.stream("ana") as stream:
            hello = await stream.hear("hello")
            page = await stream.hear("page")
            headers = stream.answer.headers

    assert (hello["recovered"], hello["counts"]["unread"]) == (False, 1)
    assert ids(page) == ["n1"]
    assert stream.last_id == page["cursor"]
    assert stream.retry == "1000"
    assert (headers["content-type"], headers["cache-control"]) == ("text/event-stream", "no-store")
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_same_frames_as_by_websocket() -> None:
    """
    Whatever happens, a stream and a WebSocket of one user are told the same, in the same order.
    """
    async with (
        running() as server,
        connect(f"ws://127.0.0.1:{server.edge.port}/", subprotocols=["fanbell.v1"], proxy=None) as ws,
        server.stream("ana") as stream,
    ):
        await ws.send(json.dumps({"type": "connect", "user": "ana"}))
        told: list[dict[str, Any]] = []
        while not told or told[-1]["type"] != "page":
            told.append(json.loads(await asyncio.wait_for(ws.recv(), PATIENCE_S)))
        heard = [await stream.hear("hello"), await stream.hear("page")]
        first = await server.backend.notice(
            ["ana"], "n1", data=b'{"title":"two\\nlines \xe2\x80\xa8 and more"}'
        )
        await server.backend.update("ana", "g1")
        await server.backend.mark("ana", "read", [first.seq])
        await server.backend.wish("ana", "follow", object="bob")
        await server.backend.retract("ana", "n1", first.seq)
        kinds = ("notification", "state", "wish", "retract")
        while told[-1]["type"] != "retract":
            frame = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE_S))
            told += [frame] if frame["type"] in kinds else []
        while heard[-1]["type"] != "retract":
            heard.append(await stream.hear(*kinds))

    assert heard == told
    assert stream.last_id == told[-1]["cursor"]


async def test_last_event_id_resumes() -> None:
    """
    Who comes back with the last event's id hears what was missed, once and in order; the id outranks the address.
    """
    async with running() as server:
        async with server.stream("ana") as stream:
            old = (await stream.hear("page"))["cursor"]
            await server.backend.notice(["ana"], "n1")
            await stream.hear("notification")
        for number in (2, 3):
            await server.backend.notice(["ana"], f"n{number}")
        assert stream.last_id is not None
        async with server.stream("ana", {"last-event-id": stream.last_id}, cursor=old) as again:
            hello = await again.hear("hello")
            missed = [(await again.hear("notification"))["item"]["id"] for _ in range(2)]
        async with server.stream("ana", cursor=old) as older:
            all_of_it = [(await older.hear("notification"))["item"]["id"] for _ in range(3)]

    assert hello["recovered"]
    assert missed == ["n2", "n3"]
    assert all_of_it == ["n1", "n2", "n3"]


@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor("another log", 1)])
async def test_a_cursor_that_helps_nothing_gives_a_page(cursor: str) -> None:
    """
    With a cursor of another log, or with none at all, the stream says so and begins anew.
    """
    async with running() as server, server.stream("ana", cursor=cursor) as stream:
        assert not (await stream.hear("hello"))["recovered"]
        assert (await stream.hear("page"))["items"] == []


async def test_a_stream_speaks_the_language_asked_for() -> None:
    """
    Texts are in the language that the address names; without one, in the profile's.
    """
    async with running() as server:
        await server.backend.wish("ana", "profile", locale="de")
        async with server.stream("ana") as german, server.stream("ana", locale="en-GB") as english:
            for stream in (german, english):
                await stream.hear("page")
            await server.backend.notice(["ana"], "n1", actor="bob")
            texts = [(await stream.hear("notification"))["item"]["text"] for stream in (german, english)]

    assert texts == ["bob hat etwas geteilt", "bob posted"]


async def test_marks_made_elsewhere_arrive() -> None:
    """
    What is marked by HTTP shows in the stream: the row as it is now, and the counters.
    """
    async with running() as server, server.stream("ana") as stream, server.asking() as client:
        await stream.hear("page")
        await server.backend.notice(["ana"], "n1")
        await stream.hear("notification")
        await client.post("/v1/users/ana/notifications/read", json={"ids": ["n1"]})
        state = await stream.hear("state")
        counts = await stream.hear("counts")
        while counts["unread"]:
            counts = await stream.hear("counts")

    assert state["items"][0]["read"]
    assert counts["unread"] == 0


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A stream that has nothing to tell gives a sign of life, and a newer cursor once others' news have passed by.
    """
    monkeypatch.setattr(sse_module, "HEARTBEAT_S", 0.02)
    one = FakeNotices(partitions=1)
    async with running(one) as server, server.stream("ana") as stream:
        page = await stream.hear("page")
        await one.notice(["bob"], "n1")
        pong = await stream.hear("pong")

    assert stream.comments > 0
    assert pong["cursor"] != page["cursor"]
    assert stream.last_id == pong["cursor"] == encode_cursor(one.epoch, 1)


async def test_a_stream_that_is_not_read_is_asked_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who stops reading is told to resume once its bounded mailbox is full; others are told at once meanwhile, and after
    resuming it has missed nothing.
    """
    monkeypatch.setattr(stream_module, "SEND_BUFFER_BYTES", 4_096)
    async with running(FakeNotices(partitions=1), mailbox_frames=20) as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", server.port))
        slow.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=slow, limit=2_048)
        writer.write(b"GET /v1/users/slow/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
        got = await asyncio.wait_for(reader.readuntil(b"event: page"), PATIENCE_S)
        async with server.stream("fast") as fast:
            await fast.hear("page")
            sent = 0
            while server.edge._hub.links_of("slow") and sent < 2_000:
                await server.backend.notice(
                    ["slow", "fast"], f"n{sent}", data=b'{"title":"%s"}' % (b"x" * 900)
                )
                assert (await fast.hear("notification"))["item"]["id"] == f"n{sent}"
                sent += 1
            got += await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        writer.close()
        blocks = unchunked(got.partition(b"\r\n\r\n")[2]).split(b"\n\n")
        events = [event_of_block(block) for block in blocks if b"data: " in block]
        heard = [data["item"]["id"] for type_, data in events if type_ == "notification"]
        cursors = [data["cursor"] for type_, data in events if type_ == "notification"]
        assert events[-1][0] == "close"
        assert events[-1][1]["code"] == 4500
        assert events[-1][1]["comes_back"]
        assert 20 < sent < 500
        async with server.stream("slow", cursor=cursors[-1]) as again:
            assert (await again.hear("hello"))["recovered"]
            while len(heard) < sent:
                heard.append((await again.hear("notification"))["item"]["id"])

    assert heard == [f"n{number}" for number in range(sent)]


def event_of_block(block: bytes) -> tuple[str, dict[str, Any]]:
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
    return fields[b"event"].decode(), json.loads(fields[b"data"])


def unchunked(body: bytes) -> bytes:
    """`body` without the framing of its chunks."""
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


async def test_a_stream_that_never_takes_its_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who does not even take the last event is dropped after a while, and nothing is kept for it.
    """
    monkeypatch.setattr(stream_module, "SEND_BUFFER_BYTES", 4_096)
    monkeypatch.setattr(sse_module, "CLOSE_S", 0.05)
    async with running(mailbox_frames=5) as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"GET /v1/users/slow/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await until(lambda: len(server.streams) == 1)
        number = 0
        while len(server.streams) and number < 2_000:
            number += 1
            await server.backend.notice(["slow"], f"n{number}", data=b'{"title":"%s"}' % (b"x" * 900))
            await asyncio.sleep(0)
        await until(lambda: len(server.streams) == 0)
        slow.close()

        assert (server.edge.stats()["sockets"], server.edge.stats()["users"]) == (0, 0)
        assert server.edge.stats()["closed"] == {"resume": 1}


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    """
    Streams count as sockets while they are open, and nothing is kept of them afterwards.
    """
    async with running() as server:
        async with server.stream("ana") as one, server.stream("ana") as two:
            for stream in (one, two):
                await stream.hear("page")
            assert (server.edge.stats()["sockets"], server.edge.stats()["users"]) == (2, 1)
        await until(lambda: server.edge.stats()["sockets"] == 0)

        assert (server.edge.stats()["users"], len(server.streams)) == (0, 0)
        assert server.edge.stats()["closed"] == {"lost": 2}


async def test_stopping_asks_streams_to_come_back() -> None:
    """
    A server that stops ends its streams with the code for a restart, and begins no more.
    """
    async with running() as server, server.stream("ana") as stream:
        await stream.hear("page")
        stopping = asyncio.ensure_future(server.streams.stop(2.0))
        close = await stream.closed()
        await stopping
        status, problem = await server.refused("ana")

    assert (close["code"], close["comes_back"], close["after_ms"]) == (1001, True, 500)
    assert (status, problem["type"]) == (503, "fanbell:restart")


async def test_streams_are_asked_to_leave_in_turns() -> None:
    """
    While a process drains, its streams are asked to go elsewhere as sockets are, and none begins.
    """
    async with running() as server, server.stream("ana") as stream:
        await stream.hear("page")
        draining = asyncio.ensure_future(server.edge.drain(0.01))
        close = await stream.closed()
        await draining
        status, problem = await server.refused("ana")

    assert close["code"] == 1001
    assert (status, problem["type"]) == (503, "fanbell:restart")


async def test_a_stream_ends_with_its_token() -> None:
    """
    A session does not outlive its token.
    """
    headers = {"authorization": f"Bearer {make_token(SECRET, 'ana', ['user'], 1)}"}
    async with running(secrets=(SECRET,)) as server, server.stream("ana", headers) as stream:
        await stream.hear("page")

        assert (await stream.closed())["code"] == 4501


async def test_who_may_listen() -> None:
    """
    A stream is for its user and operators, not for others, nor without a token.
    """
    async with running(secrets=(SECRET,)) as server:
        async with server.stream("ana", bearer("ana")), server.stream("ana", bearer("root", "operator")):
            pass
        assert (await server.refused("ana"))[0] == 401
        assert (await server.refused("ana", bearer("ben")))[0] == 403
        assert (await server.refused("ana", bearer("site", "producer")))[0] == 403


async def test_streams_have_the_bounds_of_sockets() -> None:
    """
    A user has so many sessions and a server so many sockets, whatever they travel by; more are refused with a reason.
    """
    async with running(sockets_max=2, sessions_per_user=1) as server, server.stream("ana") as stream:
        await stream.hear("page")
        status, problem = await server.refused("ana")
        assert (status, problem["type"]) == (429, "fanbell:too-many-devices")
        async with server.stream("ben") as other:
            await other.hear("page")
            status, problem = await server.refused("cem")
            assert (status, problem["type"]) == (503, "fanbell:full")


async def test_an_unreadable_inbox_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the store cannot be read, the stream is refused, and nothing is kept for it.
    """

    async def fail(user: str) -> Any:
        raise StoreFailed("damaged")

    async with running() as server:
        monkeypatch.setattr(server.backend.store, "rows", fail)
        status, problem = await server.refused("ana")

        assert (status, problem["type"]) == (503, "fanbell:unavailable")
        assert (server.edge.stats()["sockets"], server.edge.stats()["users"]) == (0, 0)


async def test_heads_and_old_clients() -> None:
    """
    HEAD gets the head and no session; HTTP/1.0, which knows no open end, is told what is needed.
    """
    async with running() as server:
        head = await raw(
            server, b"HEAD /v1/users/ana/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        old = await raw(server, b"GET /v1/users/ana/stream HTTP/1.0\r\nhost: localhost\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-type: text/event-stream" in head
        assert head.endswith(b"\r\n\r\n")
        assert old.startswith(b"HTTP/1.1 505")
        assert server.edge.stats()["closed"] == {}


async def test_pages_of_others_may_not_listen() -> None:
    """
    A page of an origin that is not allowed gets no stream; one that is may read it.
    """
    async with running(allowed_origins=("https://example.org",)) as server:
        assert (await server.refused("ana", {"origin": "https://example.net"}))[0] == 403
        async with server.stream("ana", {"origin": "https://example.org"}) as stream:
            assert stream.answer.headers["access-control-allow-origin"] == "https://example.org"


@pytest.mark.parametrize("query", [{"since": "3"}, {"locale": "auf deutsch"}, {"cursor": "x" * 8_193}])
async def test_bad_addresses_are_refused(query: dict[str, str]) -> None:
    """
    What cannot be meant is refused by name.
    """
    async with running() as server:
        status, problem = await server.refused("ana", None, **query)

    assert (status, [error["field"] for error in problem["errors"]]) == (400, list(query))
