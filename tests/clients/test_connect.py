"""`fanbell.connect` against a real edge: what a program is given, what it may do, how it ends."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve

import fanbell
from fanbell.clients import inbox as inbox_module
from fanbell.clients.errors import Closed, MarkLate, MarkRefused, Refused, Untrusted
from fanbell.clients.inbox import Inbox
from fanbell.clients.line import Address
from fanbell.edge import start as start_module
from fanbell.edge.auth import make_token
from fanbell.edge.backend import Busy
from fanbell.infra.settings import Settings
from fanbell.infra.up import running as up
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity
from tests.clients.told import hello, notification, page, row
from tests.edge.certificates import Pair, trusting
from tests.edge.fake_notices import FakeNotices
from tests.edge.test_socket import PATIENCE_S, SECRET, Server, running

pytestmark = pytest.mark.anyio
FAST: dict[str, Any] = {"ping_every_s": 0.05, "silence_s": 0.1}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def until(inbox: Inbox, holds: Callable[[], bool]) -> None:
    """Wait until what is known of `inbox` is such that `holds`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await inbox.changed()


async def news(inbox: Inbox, count: int) -> list[str]:
    """The ids of the next so many."""
    async with asyncio.timeout(PATIENCE_S):
        return [(await anext(inbox))["id"] for _ in range(count)]


def ids(inbox: Inbox) -> list[str]:
    return [item["id"] for item in inbox.items]


async def test_five_lines_are_enough() -> None:
    """
    A program iterates over what is new; list, counters and status are at hand when the block begins, and stay true.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with fanbell.connect(server.url, user="ana") as inbox:
            before = (ids(inbox), inbox.counts["unread"], inbox.status)
            await server.backend.notice(["ana"], "n2", actor="bob")
            async with asyncio.timeout(PATIENCE_S):
                async for item in inbox:
                    told = item["text"]
                    break
            await until(inbox, lambda: inbox.counts["unread"] == 2)
            after = ids(inbox)

    assert before == (["n1"], 1, "live")
    assert told == "bob posted"
    assert after == ["n2", "n1"]
    assert inbox.status == "closed"


def test_it_needs_no_client_of_the_cluster() -> None:
    """
    `from fanbell import connect` works where nothing of the extra `cluster` is installed.
    """
    absent = "import sys; sys.modules |= dict.fromkeys(('aiokafka', 'faust', 'cassandra')); "
    subprocess.run(
        (sys.executable, "-c", absent + "from fanbell import MarkFailed, Refused, connect"), check=True
    )


async def test_the_api_says_where_the_edge_is(tmp_path: Path) -> None:
    """
    The API's address is enough, and the token names the user.
    """
    settings = replace(Settings(), data=str(tmp_path), port=0, edge_port=0, token_secret=SECRET)
    async with up(settings) as server, asyncio.timeout(PATIENCE_S):
        token = make_token(SECRET, "ana", ["user"], 60)
        async with fanbell.connect(server.http + "/", token) as inbox:
            await server.backend.publish([Activity("f1", "follow", "ben", "ana")])
            assert await news(inbox, 1) == ["f1"]
            assert inbox.user == "ana"


async def test_a_long_absence_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who missed more than a fresh page shows is given the rest from the API, in order.
    """
    monkeypatch.setattr(start_module, "FRAMES_MAX", 2)
    settings = replace(Settings(), data=str(tmp_path), port=0, edge_port=0)
    async with up(settings) as server, asyncio.timeout(PATIENCE_S):
        await server.backend.publish([Activity("f", "follow", "ana", "ben")])
        async with fanbell.connect(server.http, user="ana") as inbox:
            await server.backend.publish([Activity("n", "post", "ben", "n")])
            told, cursor = await news(inbox, 1), inbox.cursor
        posts = [f"n{number}" for number in range(180)]
        await server.backend.publish([Activity(id_, "post", "ben", id_) for id_ in posts])
        await server.backend.settle(PATIENCE_S)
        async with fanbell.connect(server.http, user="ana", cursor=cursor) as inbox:
            told += await news(inbox, 180)

    assert told == ["n", *posts]


async def test_each_once_across_restarts() -> None:
    """
    Across restarts of the server each notification is given out once, in order, and the list is the inbox.
    """
    backend = FakeNotices()
    server = Server(backend)
    await server.edge.start("127.0.0.1", 0)
    port, told = server.edge.port, []
    async with fanbell.connect(server.url, user="ana") as inbox:
        for turn in range(3):
            await backend.notice(["ana"], f"live-{turn}")
            told += await news(inbox, 1)
            await server.edge.stop(1.0)
            await until(inbox, lambda: inbox.status == "offline")
            await backend.notice(["ana"], f"missed-{turn}")
            server = Server(backend)
            await server.edge.start("127.0.0.1", port)
            told += await news(inbox, 1)
        shown = ids(inbox)
    await server.edge.stop(1.0)

    assert told == [f"{when}-{turn}" for turn in range(3) for when in ("live", "missed")]
    assert shown == told[::-1]


async def test_another_day_goes_on_where_this_one_stopped() -> None:
    """
    The cursor is that of what was given out by iterating: what only waited is given out the next time.
    """
    async with running() as server:
        async with fanbell.connect(server.url, user="ana") as inbox:
            for id_ in ("n1", "n2"):
                await server.backend.notice(["ana"], id_)
            await until(inbox, lambda: len(inbox.items) == 2)
            first, cursor = await news(inbox, 1), inbox.cursor
        await server.backend.notice(["ana"], "n3")
        async with fanbell.connect(server.url, user="ana", cursor=cursor) as inbox:
            assert [*first, *await news(inbox, 2)] == ["n1", "n2", "n3"]


async def test_marks_are_there_at_once_and_on_every_device() -> None:
    """
    A mark shows here before it is sent, and on other devices once it was acknowledged.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        await server.backend.notice(["ana"], "n2")
        async with (
            fanbell.connect(server.url, user="ana") as phone,
            fanbell.connect(server.url, user="ana") as laptop,
        ):
            reading = asyncio.ensure_future(phone.read(["n1"]))
            await asyncio.sleep(0)
            at_once = (phone.counts["unread"], [item["read"] for item in phone.items])
            await reading
            await until(laptop, lambda: laptop.counts["unread"] == 1)
            await phone.archive("all")
            for device in (phone, laptop):
                await until(device, lambda one=device: not one.items and not one.counts["unread"])  # type: ignore[misc]
            await phone.unarchive(["n2"])
            await until(laptop, lambda: ids(laptop) == ["n2"])
            rows = await server.backend.store.rows("ana")

    assert at_once == (1, [False, True])
    assert [(row.flags & 4, row.flags & 2) for row in rows] == [(0, 2), (4, 2)]


async def test_a_refused_mark_rolls_back() -> None:
    """
    The error says why and when to try again; list and counters are what they were.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with fanbell.connect(server.url, user="ana") as inbox:
            server.backend.fails = Busy(3)
            with pytest.raises(MarkRefused, match="busy") as refused:
                await inbox.read(["n1"])
            assert (inbox.items[0]["read"], inbox.counts["unread"]) == (False, 1)

    assert (refused.value.reason, refused.value.retry_after_s, refused.value.ids) == ("busy", 3, ("n1",))


async def test_marks_wait_for_the_line() -> None:
    """
    What is marked offline shows at once, and is sent when the line is back.
    """
    backend = FakeNotices()
    server = Server(backend)
    await server.edge.start("127.0.0.1", 0)
    port = server.edge.port
    await backend.notice(["ana"], "n1")
    async with fanbell.connect(server.url, user="ana") as inbox:
        await server.edge.stop(1.0)
        await until(inbox, lambda: inbox.status == "offline")
        reading = asyncio.ensure_future(inbox.read("all"))
        await asyncio.sleep(0)
        offline = inbox.counts["unread"]
        server = Server(backend)
        await server.edge.start("127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_S):
            await reading
    await server.edge.stop(1.0)

    assert offline == 0
    assert [row.flags & 2 for row in await backend.store.rows("ana")] == [2]


async def test_marks_do_not_wait_for_ever() -> None:
    """
    A mark that found no line in time is taken back, and says that it was not sent; so do those of a client that closes.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with fanbell.connect(server.url, user="ana", marks_wait_s=0.01) as inbox:
            await server.edge.stop(1.0)
            await until(inbox, lambda: inbox.status == "offline")
            with pytest.raises(MarkLate) as late:
                await inbox.read(["n1"])
            assert inbox.counts["unread"] == 1
            inbox._marking._wait_s = PATIENCE_S
            reading = asyncio.ensure_future(inbox.read(["n1"]))
            await asyncio.sleep(0)
        with pytest.raises(Closed):
            await reading
        with pytest.raises(Closed):
            await inbox.read("all")

    assert not late.value.sent


async def test_the_wrong_token_ends_it() -> None:
    """
    Who has no right to the inbox is told so when connecting, and not tried for ever.
    """
    async with running(secrets=(SECRET,)) as server, asyncio.timeout(PATIENCE_S):
        for token in (None, make_token(SECRET, "bob", ["user"], 60)):
            with pytest.raises(Refused, match="token"):
                async with fanbell.connect(server.url, token, "ana"):
                    pass


async def test_being_refused_later_ends_the_iteration() -> None:
    """
    When the edge will not have a client any more, iterating raises why.
    """

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1))
        await socket.close(4403)

    async with (
        scripted([script]) as url,
        asyncio.timeout(PATIENCE_S),
        fanbell.connect(url, user="ana") as inbox,
    ):
        with pytest.raises(Refused) as refused:
            await anext(inbox)
        with pytest.raises(Closed):
            await inbox.read("all")

    assert refused.value.code == 4403


async def test_a_program_must_say_whose_inbox() -> None:
    """
    Without a user, or a token that names one, there is nothing to ask for; nor at an address of another kind.
    """
    with pytest.raises(ValueError, match="which user"):
        fanbell.connect("ws://127.0.0.1/")
    with pytest.raises(ValueError, match="url"):
        fanbell.connect("127.0.0.1", user="ana")


async def test_a_new_token_is_fetched_when_the_old_one_does_not_count() -> None:
    """
    Closed for its token, the client comes back with a new one; if that does not count either, it stays away.
    """
    tokens = [make_token("another secret of thirty-two bytes", "ana", ["user"], 60)] * 2
    asked: list[str] = []

    async def get_token() -> str:
        token = tokens.pop(0) if tokens else make_token(SECRET, "ana", ["user"], 60)
        asked.append(token)
        return token

    async with running(secrets=(SECRET,)) as server, asyncio.timeout(PATIENCE_S):
        with pytest.raises(Refused):
            async with fanbell.connect(server.url, get_token=get_token):
                pass
        stale = make_token("another secret of thirty-two bytes", "ana", ["user"], 60)
        async with fanbell.connect(server.url, stale, get_token=get_token) as inbox:
            assert inbox.status == "live"

    assert len(asked) == 3


async def test_whoever_gives_tokens_may_be_away() -> None:
    """
    A source of tokens that cannot be reached is asked again.
    """
    faults: list[Exception] = [OSError("away"), TimeoutError()]

    async def get_token() -> str:
        if faults:
            raise faults.pop()
        return make_token(SECRET, "ana", ["user"], 60)

    stale = make_token("another secret of thirty-two bytes", "ana", ["user"], 60)
    async with (
        running(secrets=(SECRET,)) as server,
        asyncio.timeout(PATIENCE_S),
        fanbell.connect(server.url, stale, get_token=get_token) as inbox,
    ):
        assert inbox.status == "live"
    assert not faults


async def test_a_token_is_renewed_in_place() -> None:
    """
    Before a token ends the edge is given the next one, on the same connection.
    """
    fresh = make_token(SECRET, "ana", ["user"], 3_600)
    heard: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1))
        heard.set_result(json.loads(await socket.recv()))
        await say(socket, {"type": "accepted", "ref": heard.result()["ref"]}, notification(row("n2", 2)))
        await socket.wait_closed()

    async def get_token() -> str:
        return fresh

    async with scripted([script]) as url, asyncio.timeout(PATIENCE_S):
        old = make_token(SECRET, "ana", ["user"], 2)
        async with fanbell.connect(url, old, get_token=get_token) as inbox:
            assert await news(inbox, 1) == ["n2"]

    assert (heard.result()["type"], heard.result()["token"]) == ("token", fresh)


async def test_a_dead_line_is_given_up() -> None:
    """
    An edge that neither speaks nor answers a ping is left for a new connection, which goes on from the cursor.
    """
    first: list[dict[str, Any]] = []

    async def silent(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1), notification(row("n2", 2)))
        await socket.wait_closed()

    async def awake(socket: ServerConnection) -> None:
        first.append(json.loads(await socket.recv()))
        await say(socket, hello(recovered=True), notification(row("n3", 3)))
        async for _ in socket:
            await say(socket, {"type": "pong"})

    async with (
        scripted([silent, awake]) as url,
        asyncio.timeout(PATIENCE_S),
        fanbell.connect(url, user="ana", **FAST) as inbox,
    ):
        assert await news(inbox, 2) == ["n2", "n3"]

    assert first[0]["cursor"] == row("n2", 2)["cursor"]


async def test_a_quiet_line_is_kept() -> None:
    """
    Pings that are answered keep the connection, and the cursor grows by them.
    """
    backend = FakeNotices(partitions=1)
    async with running(backend) as server, fanbell.connect(server.url, user="ana", **FAST) as inbox:
        before = inbox.cursor
        await backend.notice(["bob"], "not ours")
        await until(inbox, lambda: inbox.cursor != before)

        assert server.edge.stats()["closed"] == {}


async def test_an_edge_by_tls_is_who_it_says(tmp_path: Path) -> None:
    """
    By wss a certificate is looked at: one of an authority of one's own is taken if it is named, and refused else.
    """

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1))
        await socket.wait_closed()

    pair = Pair(tmp_path)
    trusted = trusting(pair.write("edge"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certfile, pair.keyfile)
    async with scripted([script], tls) as url, asyncio.timeout(PATIENCE_S):
        async with fanbell.connect(url, user="ana", ssl=trusted) as inbox:
            assert inbox.status == "live"
        with pytest.raises(Untrusted, match="the edge is not whom"):
            async with fanbell.connect(url, user="ana"):
                pass


async def test_an_api_by_tls_is_who_it_says(tmp_path: Path) -> None:
    """
    By https too a certificate that is not trusted is no reason to try again, and ends the client.
    """
    pair = Pair(tmp_path)
    trusted = trusting(pair.write("api"))
    settings = replace(
        Settings(),
        data=str(tmp_path / "data"),
        port=0,
        edge_port=0,
        tls_certfile=str(pair.certfile),
        tls_keyfile=str(pair.keyfile),
    )
    async with up(settings) as server, asyncio.timeout(PATIENCE_S):
        assert server.http.startswith("https://")
        async with fanbell.connect(server.http, user="ana", ssl=trusted) as inbox:
            assert inbox.status == "live"
        with pytest.raises(Untrusted, match="the API is not whom"):
            async with fanbell.connect(server.http, user="ana"):
                pass


async def test_the_edge_is_asked_for_with_the_user(tmp_path: Path) -> None:
    """
    A client says whose inbox it wants, and so goes to the address that has the user's partition in it.
    """
    async with up(replace(Settings(), data=str(tmp_path), port=0, edge_port=0)) as server:
        assert server.edge is not None
        edge, at = f"ws://127.0.0.1:{server.edge.port}/", await Address(server.http).ask("ana/1 2")

    assert at == f"{edge}?p={partition_of('ana/1 2', server.backend.partitions)}"


async def test_leaving_is_said() -> None:
    """
    A client that leaves closes as one that is done, and is not taken for lost.
    """
    left: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1))
        await socket.wait_closed()
        left.set_result(socket.close_code)

    async with scripted([script]) as url, asyncio.timeout(PATIENCE_S):
        async with fanbell.connect(url, user="ana"):
            pass
        assert await left == 1000


async def test_frames_are_there_for_those_who_want_them() -> None:
    """
    A reader of frames is given all of them, in order, of types that the client does not know too.
    """

    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, hello(), page(1))
        await socket.recv()
        await say(socket, {"type": "of another day"}, notification(row("n2", 2)))
        await socket.wait_closed()

    async with (
        scripted([script]) as url,
        asyncio.timeout(PATIENCE_S),
        fanbell.connect(url, user="ana", marks_wait_s=0.01) as inbox,
        aclosing(inbox.frames()) as frames,
    ):
        first = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)  # it reads
        with pytest.raises(MarkLate):
            await inbox.read(["n1"])
        assert [(await first)["type"], (await anext(frames))["type"]] == ["of another day", "notification"]


async def test_who_reads_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever iterates slowly is given everything all the same, and no more waits here than a bound.
    """
    monkeypatch.setattr(inbox_module, "NEWS_MAX", 3)
    async with running() as server, fanbell.connect(server.url, user="ana") as inbox:
        aiter(inbox)  # has begun
        for number in range(50):
            await server.backend.notice(["ana"], f"n{number}")
        await until(inbox, lambda: len(inbox._news) >= 3)
        waiting = len(inbox._news)
        told_ids = await news(inbox, 50)

    assert waiting == 3
    assert told_ids == [f"n{number}" for number in range(50)]


async def say(socket: ServerConnection, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await socket.send(json.dumps(frame))


@asynccontextmanager
async def scripted(
    scripts: Sequence[Callable[[ServerConnection], Awaitable[None]]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """An edge whose n-th connection goes as the n-th script; the address."""
    left = list(scripts)

    async def handle(socket: ServerConnection) -> None:
        await left.pop(0)(socket)

    server: SocketServer
    async with serve(
        handle, "127.0.0.1", 0, subprotocols=["fanbell.v1"], compression=None, ssl=tls
    ) as server:  # type: ignore[list-item]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
