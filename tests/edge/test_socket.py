"""The edge at real sockets: who gets in, what they are told, how they resume, what a slow one costs."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fanbell.edge import connection as connection_module
from fanbell.edge import hub as hub_module
from fanbell.edge import start as start_module
from fanbell.edge.auth import Auth, Caller, make_token
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.jwks import Jwks
from fanbell.edge.socket import SOCKETS_OVER, Edge, sockets_allowed
from fanbell.infra.settings import Settings
from fanbell.projections.store import StoreFailed
from fanbell.schemas.records import Notice
from fanbell.streams.log import LogFailed
from tests.edge.fake_notices import FakeNotices, content, inbox_of

pytestmark = pytest.mark.anyio
SECRET = "a secret of at least thirty-two bytes"
PATIENCE_S = 10.0
PLAIN: dict[str, Any] = {"subprotocols": ["fanbell.v1"], "compression": None}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    """A client that reads what it is told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, type_: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def hear(self, *types: str) -> dict[str, Any]:
        """The next frame, of these types; hello and counters are passed over unless asked for."""
        while True:
            frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE_S))
            if frame["type"] in types:
                return frame
            assert frame["type"] in ("counts", "hello"), frame

    async def closed(self) -> int | None:
        """The code that the server closes with."""
        try:
            while True:
                await asyncio.wait_for(self.socket.recv(), PATIENCE_S)
        except ConnectionClosed:
            return self.socket.close_code


class Server:
    """An edge over a backend whose notices the test writes."""

    def __init__(
        self, backend: FakeNotices, secrets: tuple[str, ...] = (), keys: Jwks | None = None, **settings: Any
    ) -> None:
        self.backend = backend
        self.settings = replace(Settings(), **settings)
        self.auth = Auth(secrets, keys)
        self.edge = Edge(backend, inbox_of(backend), self.settings, self.auth)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.edge.port}/"

    @asynccontextmanager
    async def open(self, **more: Any) -> AsyncIterator[Client]:
        """A client that has not said who it is."""
        async with connect(self.url, proxy=None, **PLAIN, **more) as socket:
            yield Client(socket)

    @asynccontextmanager
    async def as_user(self, user: str, cursor: str | None = None, **more: Any) -> AsyncIterator[Client]:
        """A client that has connected; hello is `client.hello`."""
        async with self.open() as client:
            await client.say("connect", user=user, **({"cursor": cursor} if cursor else {}), **more)
            yield client


@asynccontextmanager
async def running(backend: FakeNotices | None = None, **more: Any) -> AsyncIterator[Server]:
    server = Server(backend or FakeNotices(), **more)
    await server.edge.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.edge.stop(2.0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until `holds`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what the edge counts has no signal of its own
            await asyncio.sleep(0.005)


def ids(frame: dict[str, Any]) -> list[str]:
    return [item["id"] for item in frame["items"]]


async def test_a_new_client_gets_hello_and_a_fresh_page() -> None:
    """
    Who comes without a cursor gets the counters, and the newest rows, said to be a fresh page.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        await server.backend.notice(["ana"], "n2")
        async with server.as_user("ana") as client:
            hello = await client.hear("hello")
            page = await client.hear("page")

    assert (hello["recovered"], hello["counts"]["unread"], hello["cursor"]) == (False, 2, None)
    assert ids(page) == ["n2", "n1"]
    assert page["cursor"] == encode_cursor("epoch-1", server.backend.next_seq("ana") - 1)


async def test_notifications_arrive_live_and_whole() -> None:
    """
    A notification arrives with the row's whole state, then the counters.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        await server.backend.notice(["ana"], "n1", actor="bob")
        told = await client.hear("notification")
        counts = await client.hear("counts")

    assert (told["item"]["id"], told["item"]["text"], told["item"]["read"]) == ("n1", "bob posted", False)
    assert told["cursor"] == told["item"]["cursor"]
    assert (counts["unread"], counts["kinds"]) == (1, {"post": 1})


async def test_names_and_languages() -> None:
    """
    Each session is told in its own language, with the names that people go by now.
    """
    async with running() as server:
        await server.backend.wish("bob", "profile", name="Bob B.")
        async with server.as_user("ana", locale="de-AT") as german, server.as_user("ana") as english:
            for client in (german, english):
                await client.hear("page")
            await server.backend.notice(["ana"], "n1", actor="bob")
            first = [(await client.hear("notification"))["item"]["text"] for client in (german, english)]
            await server.backend.wish("bob", "profile", name="Bobby")
            await server.backend.notice(["ana"], "n2", actor="bob")
            second = (await english.hear("notification"))["item"]["text"]

    assert first == ["Bob B. hat etwas geteilt", "Bob B. posted"]
    assert second == "Bobby posted"


async def test_nobody_is_told_what_is_not_theirs() -> None:
    """
    A notification reaches its recipients and nobody else.
    """
    one = FakeNotices(partitions=1)
    async with running(one) as server, server.as_user("ana") as ana, server.as_user("cleo") as cleo:
        for client in (ana, cleo):
            await client.hear("page")
        await one.notice(["ana", "bob"], "n1")
        await one.notice(["cleo"], "n2")

        assert (await ana.hear("notification"))["item"]["id"] == "n1"
        assert (await cleo.hear("notification"))["item"]["id"] == "n2"


async def test_a_mark_reaches_every_device() -> None:
    """
    What one device marks, the others are shown, as whole rows; the marking one is answered once it is in the log.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with server.as_user("ana") as phone, server.as_user("ana") as laptop:
            for client in (phone, laptop):
                await client.hear("page")
            await phone.say("read", ids=["n1"], ref="r1")
            answer, states = {}, []
            for _ in range(2):
                frame = await phone.hear("accepted", "state")
                answer, states = (frame, states) if frame["type"] == "accepted" else (answer, [frame])
            states.append(await laptop.hear("state"))
            counts = await laptop.hear("counts")

    assert answer["ref"] == "r1"
    assert [state["items"][0]["read"] for state in states] == [True, True]
    assert counts["unread"] == 0


async def test_a_mark_leaves_what_a_group_gained_meanwhile() -> None:
    """
    A mark carries the cursor that was shown; a group that has grown since stays unread.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        await server.backend.update("ana", "g")
        shown = (await client.hear("notification"))["item"]
        await server.backend.update("ana", "g", server.backend.next_seq("ana") - 1, count=2)
        await client.hear("notification")
        await client.say("read", ids=["g"], cursors=[shown["cursor"]], ref="1")
        await client.hear("accepted")
        rows = await server.backend.store.rows("ana")

    assert [row.flags for row in rows] == [0]


async def test_all_is_marked_up_to_what_was_seen() -> None:
    """
    "Mark all" carries a cursor; what came after it stays unread.
    """
    async with running() as server, server.as_user("ana") as client:
        page = await client.hear("page")
        for number in range(60):
            page = await told_live(server, client, f"n{number}")
        seen = page["cursor"]
        await told_live(server, client, "later")
        await client.say("read", up_to=seen)
        marked = ids(await client.hear("state"))
        while len(marked) < 60:
            marked += ids(await client.hear("state"))

    assert "later" not in marked
    assert len(set(marked)) == 60


async def told_live(server: Server, client: Client, id_: str) -> dict[str, Any]:
    await server.backend.notice(["ana"], id_)
    return await client.hear("notification")


async def test_marks_that_cannot_be_kept_are_refused() -> None:
    """
    A mark is answered only once in the log; when that cannot be, the answer says so and the session goes on.
    """
    from fanbell.edge.backend import Busy, Unavailable

    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with server.as_user("ana") as client:
            await client.hear("page")
            server.backend.fails = Busy(3)
            await client.say("read", ids=["n1"], ref="a")
            busy = await client.hear("refused")
            server.backend.fails = Unavailable("disk full")
            await client.say("read", ids=["n1"], ref="b")
            full = await client.hear("refused")
            await client.say("read", ids=["unknown"], ref="c")
            await client.hear("accepted")
            await client.say("ping")
            await client.hear("pong")

    assert (busy["ref"], busy["reason"], busy["retry_after_s"]) == ("a", "busy", 3)
    assert (full["ref"], full["reason"], full["detail"]) == ("b", "unavailable", "disk full")


async def test_retractions_and_corrections_arrive() -> None:
    """
    A like taken back corrects the row where it stands; the last one takes it away.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        one = await server.backend.update("ana", "g")
        await client.hear("notification")
        await server.backend.update("ana", "g", one.row_seq, announces=False, count=3)
        state = await client.hear("state")
        await server.backend.retract("ana", "g", one.row_seq)
        gone = await client.hear("retract")
        counts = await client.hear("counts")

    assert (state["items"][0]["id"], state["items"][0]["count"]) == ("g", 3)
    assert gone["id"] == "g"
    assert counts["unread"] == 0


async def test_order_holds_while_rows_are_read() -> None:
    """
    What happens while a mark's rows are read from the store is told after them, in order.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        async with server.as_user("ana") as client:
            await client.hear("page")
            seq = server.backend.next_seq("ana") - 1
            await server.backend.mark("ana", "read", [seq])
            await server.backend.notice(["ana"], "n2")
            await server.backend.mark("ana", "unread", [seq])
            await server.backend.notice(["ana"], "n3")
            heard = [(await client.hear("state", "notification"))["cursor"] for _ in range(4)]

    assert heard == sorted(heard)
    assert len(set(heard)) == 4


async def test_wishes_of_other_devices_arrive() -> None:
    """
    A preference or a follow set elsewhere reaches the user's open pages, and nobody else's.
    """
    async with running() as server, server.as_user("ana") as ana, server.as_user("bob") as bob:
        for client in (ana, bob):
            await client.hear("page")
        await server.backend.wish("ana", "follow", object="bob")
        await server.backend.wish("ana", "block", object="bob", side="other")
        await server.backend.wish("ana", "mute", object="x", aspect="thread")
        wishes = [await ana.hear("wish") for _ in range(2)]
        await bob.say("ping")
        await bob.hear("pong")

    assert [(wish["kind"], wish["object"]) for wish in wishes] == [("follow", "bob"), ("mute", "thread:x")]


# Resuming


async def resumed(server: Server, cursor: str, frames: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    async with server.as_user("ana", cursor) as client:
        hello = await client.hear("hello")
        return hello, [
            await client.hear("notification", "state", "retract", "page", "kept", "wish")
            for _ in range(frames)
        ]


async def history(server: Server) -> str:
    """Something before the cursor, which is returned; then a notification, a mark, a growth, a retraction."""
    backend = server.backend
    first = await backend.notice(["ana"], "n1")
    group = await backend.update("ana", "g")
    doomed = await backend.notice(["ana"], "n2")
    await backend.notice(["ana"], "n3")
    await backend.mark("ana", "read", [first.seq])
    await backend.update("ana", "g", group.row_seq, count=2)
    await backend.retract("ana", "n2", doomed.seq)
    return encode_cursor(backend.epoch, doomed.seq)


async def test_resume_from_the_ring() -> None:
    """
    Who comes back soon is told again what it missed, in order, without a look into the log.
    """
    async with running(FakeNotices(partitions=1)) as server:
        cursor = await history(server)
        reads = server.backend.reads
        hello, missed = await resumed(server, cursor, 4)

    assert (hello["recovered"], hello["cursor"]) == (True, cursor)
    assert [frame["type"] for frame in missed] == ["notification", "state", "notification", "retract"]
    assert [missed[0]["item"]["id"], ids(missed[1]), missed[2]["item"]["id"], missed[3]["id"]] == [
        "n3", ["n1"], "g", "n2",
    ]  # fmt: skip
    assert server.backend.reads == reads


async def test_resume_after_a_restart_of_the_server() -> None:
    """
    The edge reads to the end before it admits anybody, so a restart costs a resuming client nothing.
    """
    backend = FakeNotices(partitions=1)
    async with running(backend) as before:
        cursor = await history(before)
    async with running(backend) as after:
        hello, missed = await resumed(after, cursor, 4)

    assert hello["recovered"]
    assert [frame["type"] for frame in missed] == ["notification", "state", "notification", "retract"]


async def test_resume_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the ring has dropped is read from the log, and is the same.
    """
    async with running(FakeNotices(partitions=1)) as server:
        monkeypatch.setattr(server.edge._hub.partitions[0].ring, "_records_max", 1)
        cursor = await history(server)
        hello, missed = await resumed(server, cursor, 4)

    assert hello["recovered"]
    assert [frame["type"] for frame in missed] == ["notification", "state", "notification", "retract"]


async def test_resume_from_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Further back, the client is told which ids are still there, the old rows that changed, then the new ones.
    """
    monkeypatch.setattr(start_module, "LOG_RECORDS_MAX", 0)
    async with running(FakeNotices(partitions=1)) as server:
        monkeypatch.setattr(server.edge._hub.partitions[0].ring, "_records_max", 1)
        cursor = await history(server)
        hello, missed = await resumed(server, cursor, 4)

    assert hello["recovered"]
    assert set(missed[0]["ids"]) == {"n1", "n3", "g"}
    assert [(item["id"], item["read"]) for item in missed[1]["items"]] == [("n1", True)]
    assert [frame["item"]["id"] for frame in missed[2:]] == ["n3", "g"]
    assert [frame["cursor"] for frame in missed[1:]] == sorted(frame["cursor"] for frame in missed[1:])


async def test_who_was_away_too_long_gets_a_fresh_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When too much came to say what was missed, a fresh page is given, and said to be one.
    """
    monkeypatch.setattr(start_module, "FRAMES_MAX", 2)
    async with running(FakeNotices(partitions=1, keep=4)) as server:
        await server.backend.notice(["ana"], "n0")
        for number in range(1, 8):
            await server.backend.notice(["ana"], f"n{number}")
        hello, missed = await resumed(server, encode_cursor(server.backend.epoch, 1), 1)

    assert not hello["recovered"]
    assert len(ids(missed[0])) == 4


@pytest.mark.parametrize(
    "cursor", ["nonsense", encode_cursor("another-log", 1), encode_cursor("epoch-1", 999)]
)
async def test_cursors_of_other_logs_give_a_fresh_page(cursor: str) -> None:
    """
    A cursor that is not of this log helps nothing, and does no harm.
    """
    async with running() as server:
        await server.backend.notice(["ana"], "n1")
        hello, missed = await resumed(server, cursor, 1)

    assert not hello["recovered"]
    assert ids(missed[0]) == ["n1"]


async def test_a_page_ahead_of_the_records_is_told_once() -> None:
    """
    The store may show a notification a moment before its record is heard; it is told once all the same.
    """
    async with running() as server:
        backend = server.backend
        early = Notice(0, 0, -1, -1, backend.next_seq("ana"), "post", content("early"), ["ana"])
        await backend.project("ana", early)
        async with server.as_user("ana") as client:
            page = await client.hear("page")
            backend.catch_up()
            await backend.notice(["ana"], "later")
            told = await client.hear("notification")

    assert ids(page) == ["early"]
    assert told["item"]["id"] == "later"


async def test_a_gap_is_healed_from_the_log() -> None:
    """
    Records that the edge was not told of are read from the log, before those that came after them.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        lost = Notice(0, 0, -1, -1, server.backend.next_seq("ana"), "post", content("lost"), ["ana"])
        await server.backend.project("ana", lost)
        server.backend.lose()
        await server.backend.notice(["ana"], "next")
        heard = [(await client.hear("notification"))["item"]["id"] for _ in range(2)]

    assert heard == ["lost", "next"]
    assert server.edge.stats()["gaps"] == 1


async def test_a_log_that_cannot_be_read_costs_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While missing records cannot be read, nobody is told a part: clients are asked to come back, and then miss nothing.
    """
    monkeypatch.setattr(hub_module, "RETRY_S", 0.001)
    async with running() as server, server.as_user("ana") as client:
        cursor = (await client.hear("page"))["cursor"]
        real, fails = server.backend.notices, [LogFailed("disk"), LogFailed("disk")]

        async def notices(partition: int, offset: int, at_most: int) -> Any:
            if fails:
                raise fails.pop()
            return await real(partition, offset, at_most)

        monkeypatch.setattr(server.backend, "notices", notices)
        lost = Notice(0, 0, -1, -1, server.backend.next_seq("ana"), "post", content("lost"), ["ana"])
        await server.backend.project("ana", lost)
        server.backend.lose()
        await server.backend.notice(["ana"], "next")
        assert await client.closed() == 4513
        await until(lambda: not any(partition.behind for partition in server.edge._hub.partitions))
        hello, missed = await resumed(server, cursor, 2)

    assert hello["recovered"]
    assert [frame["item"]["id"] for frame in missed] == ["lost", "next"]


async def test_what_has_expired_is_not_told() -> None:
    """
    A notification whose time was over before it arrived shows nowhere.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        await server.backend.notice(["ana"], "late", expires_at=1)
        await server.backend.notice(["ana"], "in time")

        assert (await client.hear("notification"))["item"]["id"] == "in time"


@pytest.mark.parametrize("live", [True, False])
async def test_a_row_that_expires_leaves_list_and_badge(live: bool) -> None:
    """
    When a row's time is over, the list is told, and the badge goes down, though no record says so, whether the row came
    live or was there before.
    """
    soon_ms = int(time.time() * 1000) + 700
    async with running() as server:
        if not live:
            await server.backend.notice(["ana"], "n", expires_at=soon_ms)
        async with server.as_user("ana") as client:
            hello = await client.hear("hello")
            await client.hear("page")
            if live:
                await server.backend.notice(["ana"], "n", expires_at=soon_ms)
                await client.hear("notification")
                assert (await client.hear("counts"))["unread"] == 1
            else:
                assert hello["counts"]["unread"] == 1
            assert (await client.hear("gone"))["ids"] == ["n"]
            assert (await client.hear("counts"))["unread"] == 0


async def test_a_group_whose_news_has_expired_goes() -> None:
    """
    A row that moved to the front with an activity whose time is over shows nowhere, nor does what it was before.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        before = await server.backend.update("ana", "g")
        await client.hear("notification")
        await server.backend.update("ana", "g", before.row_seq, count=2, expires_at=1)

        assert (await client.hear("retract"))["id"] == "g"


async def test_the_cursor_grows_while_others_are_told() -> None:
    """
    A pong carries a cursor, so that a quiet user resumes cheaply after a busy night of others.
    """
    async with running(FakeNotices(partitions=1)) as server, server.as_user("ana") as client:
        await client.hear("page")
        for number in range(5):
            await server.backend.notice(["bob"], f"n{number}")
        await client.say("ping", ref="x")
        pong = await client.hear("pong")

    assert (pong["cursor"], pong["ref"]) == (encode_cursor("epoch-1", 5), "x")


# Who gets in


async def test_tokens_open_the_own_inbox_only() -> None:
    """
    With a token secret: one's own inbox with a token of one's own, anybody's with an operator's.
    """

    async def code(server: Server, user: str, token: str | None) -> int | None:
        async with server.as_user(user, **({"token": token} if token else {})) as client:
            try:
                await client.hear("hello")
            except ConnectionClosed:
                return client.socket.close_code
            return None

    async with running(secrets=(SECRET,)) as server:
        mine = make_token(SECRET, "ana", ["user"], 60)
        operator = make_token(SECRET, "root", ["operator"], 60)
        codes = [
            await code(server, *who)
            for who in (("ana", mine), ("bob", mine), ("bob", operator), ("ana", None), ("ana", "x.y.z"))
        ]

    assert codes == [None, 4403, None, 4401, 4401]


def nearly_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is good for a minute now has a moment left, any longer one is as it is."""
    real = Caller.left_s
    monkeypatch.setattr(Caller, "left_s", lambda self, now_s: max(0.01, real(self, now_s) - 100))


async def test_a_session_ends_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token's time is over for open sessions too; the client is asked to come back with a new one.
    """
    nearly_over(monkeypatch)
    token = make_token(SECRET, "ana", ["user"], 60)
    async with running(secrets=(SECRET,)) as server, server.as_user("ana", token=token) as client:
        assert await client.closed() == 4501


async def test_a_new_token_keeps_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token brought in place moves the session's end; one that does not count or reaches another inbox changes nothing.
    """
    first, later = make_token(SECRET, "ana", ["user"], 3_600), make_token(SECRET, "ana", ["user"], 60)
    async with running(secrets=(SECRET,)) as server, server.as_user("ana", token=first) as client:
        await client.hear("page")
        answers = []
        for token in (first, make_token(SECRET, "bob", ["user"], 60), "x.y.z"):
            await client.say("token", token=token, ref=f"r{len(answers)}")
            answers.append(await client.hear("accepted", "refused"))
        await client.say("token", token=first)  # without a ref, without an answer
        await client.say("ping")
        await client.hear("pong")
        nearly_over(monkeypatch)
        await client.say("token", token=later)

        assert await client.closed() == 4501
    assert answers == [
        {"type": "accepted", "ref": "r0"},
        {"type": "refused", "reason": "forbidden", "ref": "r1"},
        {"type": "refused", "reason": "unauthorized", "ref": "r2"},
    ]


async def test_a_token_may_come_in_the_handshake() -> None:
    """
    The Authorization header stands for the connect frame's token, which outranks it; the user is the token's.
    """
    mine, other = (make_token(SECRET, user, ["user"], 60) for user in ("ana", "bob"))
    async with running(secrets=(SECRET,)) as server:
        for header, fields, user in (
            (f"Bearer {mine}", {}, "ana"),
            (f"Bearer {mine}", {"user": "ana"}, "ana"),
            (f"Bearer {mine}", {"token": other}, "bob"),
            (None, {"token": other}, "bob"),
        ):
            headers = {"Authorization": header} if header else {}
            async with server.open(additional_headers=headers) as client:
                await client.say("connect", **fields)
                assert (await client.hear("hello"))["user"] == user
        for header, fields, code in (
            (f"Bearer {mine}", {"user": "bob"}, 4403),
            (f"Basic {mine}", {"user": "ana"}, 4401),
            (f"Bearer {mine}", {"token": "x.y.z"}, 4401),
        ):
            async with server.open(additional_headers={"Authorization": header}) as client:
                await client.say("connect", **fields)
                assert await client.closed() == code


async def test_the_edge_logs_no_tokens(capfd: pytest.CaptureFixture[str]) -> None:
    """
    Whatever becomes of a token, in the handshake, in a frame or in what is no frame: it is not in the log, nor kept.
    """
    good, bad = make_token(SECRET, "ana", ["user"], 60), "eyJ.not.good"
    with capture_logs() as lines:
        async with running(secrets=(SECRET,)) as server:
            async with server.open(additional_headers={"Authorization": f"Bearer {good}"}) as client:
                await client.say("connect")
                await client.hear("page")
                await client.say("token", token=bad, ref="r")
                await client.hear("refused")
                (connection,) = server.edge._server.connections  # type: ignore[union-attr]
                assert connection.request is not None
                assert "Authorization" not in connection.request.headers
            for frame in (
                f'{{"type":"connect","token":"{good}"',
                f'{{"type":"token","token":"{good}","ref":7}}',
            ):
                async with server.open() as client:
                    await client.socket.send(frame)
                    assert await client.closed() == 4400
    said = str(lines) + "".join(capfd.readouterr())

    assert lines
    assert not [token for token in (good, bad) if token in said or token.rpartition(".")[2] in said]


async def test_a_handshake_names_one_token() -> None:
    """
    Two Authorization headers are refused: which of them counts would be anybody's guess.
    """
    async with running(secrets=(SECRET,)) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with server.open(
                additional_headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
            ):
                pass

    assert refused.value.response.status_code == 400


async def test_without_tokens_a_user_must_be_named() -> None:
    """
    Where no token says who it is, the connect frame does.
    """
    async with running() as server, server.open() as client:
        await client.say("connect")
        assert await client.closed() == 4400


async def test_hello_says_whose_inbox_and_how_much_it_keeps() -> None:
    """
    A client learns whose inbox it is, and after how many rows an inbox ends.
    """
    async with running(inbox_keep=7) as server, server.as_user("ana") as client:
        hello = await client.hear("hello")

    assert (hello["user"], hello["keep"]) == ("ana", 7)


async def test_keys_that_are_away_are_no_fault_of_the_token() -> None:
    """
    While nobody can say whether a token counts, its sender is asked to come back, and not told that it is bad.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    keys = Jwks(f"http://127.0.0.1:{port}/keys")
    token = jwt.encode({"sub": "ana", "exp": 9_000_000_000}, ec.generate_private_key(ec.SECP256R1()), "ES256")
    async with running(keys=keys) as server, server.as_user("ana", token=token) as client:
        assert await client.closed() == 4513


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
    ],
)
async def test_web_pages_of_others_do_not_get_in(headers: dict[str, str], status: int) -> None:
    """
    A page of another origin, or one that points a name of its own at us, is refused in the handshake.
    """
    async with running() as server:
        with pytest.raises(InvalidStatus) as refused:
            await handshake(server, headers)

    assert refused.value.response.status_code == status


async def handshake(server: Server, headers: dict[str, str]) -> None:
    if "Host" in headers:
        sock = socket.create_connection(("127.0.0.1", server.edge.port))
        async with connect(f"ws://{headers['Host']}/", sock=sock, proxy=None):
            return
    async with connect(server.url, additional_headers=headers, proxy=None):
        return


async def test_own_pages_get_in() -> None:
    """
    Pages of the API's own address, and of origins that the settings name, connect.
    """
    async with running(port=8787, allowed_origins=("https://site.example",)) as server:
        for origin in ("http://127.0.0.1:8787", "https://site.example"):
            async with server.open(origin=origin) as client:
                await client.say("connect", user="ana")
                await client.hear("hello")


async def test_strangers_have_little_time() -> None:
    """
    Who does not say who it is, is closed, and told so.
    """
    async with running(connect_timeout_s=0.5) as server, server.open() as client:
        assert await client.closed() == 4508


async def test_strangers_are_few() -> None:
    """
    Sockets that have not said who they are have a bound of their own; who has said it makes room.
    """
    async with running(strangers_max=1) as server, server.as_user("ana") as first:
        await first.hear("hello")
        async with server.open() as second, server.open() as third:
            assert await third.closed() == 4503
            await second.say("connect", user="bob")
            await second.hear("hello")


BEHIND = {"trusted_proxies": ("127.0.0.1",)}


def seen_at(address: str) -> dict[str, Any]:
    """As a proxy of ours says it of a client."""
    return {"additional_headers": {"X-Forwarded-For": address}}


async def test_sessions_of_one_address_are_bounded() -> None:
    """
    One address cannot take all sockets; others, and this machine, are not kept out by it, and who leaves makes room.
    """
    async with running(sessions_per_address=1, **BEHIND) as server:
        async with server.open(**seen_at("192.0.2.1")) as first:
            async with server.open(**seen_at("192.0.2.1")) as second:
                assert await second.closed() == 4530
            async with server.open(**seen_at("192.0.2.2")) as other, server.open(), server.open() as here:
                for client in (first, other, here):
                    await client.say("connect", user="ana")
                    await client.hear("hello")
        await until(lambda: server.edge._doors.addresses == 0)
        async with server.open(**seen_at("192.0.2.1")) as again:
            await again.say("connect", user="ana")
            await again.hear("hello")


async def test_an_address_connects_only_so_often() -> None:
    """
    Past its rate an address is refused in the handshake, and told when to try again; nobody else is.
    """
    async with running(connects_per_address=0.001, **BEHIND) as server:
        async with server.open(**seen_at("192.0.2.1")):
            pass
        with pytest.raises(InvalidStatus) as refused:
            async with server.open(**seen_at("192.0.2.1")):
                pass
        async with server.open(**seen_at("192.0.2.2")), server.open():
            pass

    assert refused.value.response.status_code == 429
    assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 1_000


async def test_a_client_sends_only_so_fast() -> None:
    """
    A client that sends more frames than hands could is closed, with a code that lets it come back.
    """
    async with running(frames_per_session=0.001, frames_burst=3) as server, server.as_user("ana") as client:
        await client.hear("page")
        for _ in range(2):
            await client.say("ping")
            await client.hear("pong")
        await client.say("ping")

        assert await client.closed() == 4529


async def test_control_frames_count_too() -> None:
    """
    Pings of the WebSocket protocol cost work as well, and are bounded with the rest.
    """
    async with running(frames_per_session=0.001, frames_burst=5) as server, server.as_user("ana") as client:
        await client.hear("page")
        for _ in range(5):
            await client.socket.ping()

        assert await client.closed() == 4529


async def test_a_client_sends_as_many_frames_as_it_likes_where_settings_say_so() -> None:
    """
    Without a limit of frames there is none.
    """
    async with running(frames_per_session=0, frames_burst=1) as server, server.as_user("ana") as client:
        await client.hear("page")
        for number in range(20):
            await client.say("ping", ref=str(number))
            await client.hear("pong")


@pytest.mark.parametrize(
    ("text", "code"), [("{", 4400), ('{"type":"typing"}', 4404), ('{"type":"ping"}', 4404)]
)
async def test_bad_frames_end_the_session(text: str, code: int) -> None:
    """
    Nonsense and unknown frames are refused by a code that says which.
    """
    async with running() as server, server.open() as client:
        await client.socket.send(text)

        assert await client.closed() == code


async def test_frames_too_large_end_the_session() -> None:
    """
    A client cannot make the server read without bound.
    """
    async with running(client_frame_bytes=1_024) as server, server.open() as client:
        await client.socket.send(" " * 1_100)

        assert await client.closed() == 1009


async def test_sockets_are_bounded() -> None:
    """
    Past the number of sockets there is room for, clients are told to come back later; those inside stay.
    """
    async with running(sockets_max=1) as server, server.as_user("ana") as first:
        await first.hear("hello")
        async with server.open() as second:
            assert await second.closed() == 4503
        await first.say("ping")
        await first.hear("page")
        await first.hear("pong")


async def test_connections_without_a_handshake_are_bounded() -> None:
    """
    Who connects and says nothing takes a file of ours too: past a bound such connections are dropped, and there is
    room again once others go.
    """

    async def silent(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", server.edge.port)

    async with running(sockets_max=1) as server:
        held = [await silent(server) for _ in range(1 + 2 * SOCKETS_OVER)]
        one_more, writer = await silent(server)
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(one_more.read(), PATIENCE_S) == b""
        writer.close()
        for _, other in held:
            other.close()
        await until(lambda: len(server.edge._server.handler_tasks) == 0)  # type: ignore[union-attr]
        async with server.as_user("ana") as client:
            await client.hear("hello")


async def test_devices_of_one_user_are_bounded() -> None:
    """
    One user cannot take all sockets.
    """
    async with running(sessions_per_user=1) as server, server.as_user("ana") as first:
        await first.hear("hello")
        async with server.as_user("ana") as second:
            assert await second.closed() == 4429


async def test_an_unreadable_inbox_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the store cannot be read, the client is asked to come back.
    """

    async def fail(user: str) -> Any:
        raise StoreFailed("damaged")

    async with running() as server:
        monkeypatch.setattr(server.backend.store, "rows", fail)
        async with server.as_user("ana") as client:
            assert await client.closed() == 4513
        await until(lambda: server.edge.stats()["users"] == 0)


async def test_a_client_that_stops_reading_is_asked_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who stops reading is closed with "resume" once its bounded mailbox is full; others are told at once meanwhile, and
    after resuming it has missed nothing.
    """
    monkeypatch.setattr(connection_module, "SEND_BUFFER_BYTES", 4_096)
    async with running(FakeNotices(partitions=1), mailbox_frames=20) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect(("127.0.0.1", server.edge.port))
        slow = await connect(server.url, sock=sock, max_queue=1, ping_interval=None, proxy=None, **PLAIN)
        client = Client(slow)
        await client.say("connect", user="slow")
        page = await client.hear("page")
        slow.transport.pause_reading()
        async with server.as_user("fast") as fast:
            await fast.hear("page")
            sent = 0
            while server.edge._hub.links_of("slow") and sent < 2_000:
                await server.backend.notice(
                    ["slow", "fast"], f"n{sent}", data=b'{"title":"%s"}' % (b"x" * 900)
                )
                assert (await fast.hear("notification"))["item"]["id"] == f"n{sent}"
                sent += 1
        assert 20 < sent < 500
        slow.transport.resume_reading()
        got: list[str] = []
        cursor = page["cursor"]
        try:
            while True:
                frame = json.loads(await asyncio.wait_for(slow.recv(), PATIENCE_S))
                if frame["type"] == "notification":
                    got.append(frame["item"]["id"])
                cursor = frame.get("cursor") or cursor
        except ConnectionClosed:
            assert slow.close_code == 4500
        async with server.as_user("slow", cursor) as again:
            assert (await again.hear("hello"))["recovered"]
            while len(got) < sent:
                got.append((await again.hear("notification"))["item"]["id"])

    assert got == [f"n{number}" for number in range(sent)]


async def test_counters_are_paced_and_the_last_arrives() -> None:
    """
    Many notifications at once bring few counters, and the last of them is right.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        for number in range(150):
            await server.backend.notice(["ana"], f"n{number}")
        seen = []
        while not seen or seen[-1] != 150:
            seen.append((await counted(client))["unread"])

    assert len(seen) < 15


async def counted(client: Client) -> dict[str, Any]:
    frame: dict[str, Any] = {}
    while frame.get("type") != "counts":
        frame = json.loads(await asyncio.wait_for(client.socket.recv(), PATIENCE_S))
    return frame


async def test_stopping_asks_clients_to_come_back() -> None:
    """
    A server that stops closes its sessions with the code for a restart.
    """
    async with running() as server, server.as_user("ana") as client:
        await client.hear("page")
        stopping = asyncio.ensure_future(server.edge.stop(2.0))

        assert await client.closed() == 1001
        await stopping


async def test_leaving_lets_nobody_in() -> None:
    """
    A server that is about to stop refuses handshakes, saying when to try again; sessions go on until it is their turn.
    """
    async with running() as server, server.as_user("ana") as first, server.as_user("ana") as second:
        for client in (first, second):
            await client.hear("page")
        leaving = asyncio.ensure_future(server.edge.drain(3_600))
        await until(lambda: server.edge.stats()["sockets"] == 1)
        with pytest.raises(InvalidStatus) as refused:
            async with server.open():
                pass
        codes = {client.socket.close_code for client in (first, second)}
        leaving.cancel()  # a second signal: whoever is left goes at once
        await server.edge.stop(2.0)
        closed = [await client.closed() for client in (first, second)]

    assert codes == {1001, None}
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (503, "1")
    assert closed == [1001, 1001]


async def test_leaving_ends_by_itself() -> None:
    """
    Everybody is asked to go within the time, and then there is nothing left to wait for.
    """
    async with running() as server, server.as_user("ana") as first, server.as_user("bob") as second:
        for client in (first, second):
            await client.hear("page")
        await server.edge.drain(0.01)

        assert [await client.closed() for client in (first, second)] == [1001, 1001]


async def test_closed_sessions_leave_nothing_behind() -> None:
    """
    When everybody has gone, nothing is kept for anybody.
    """
    async with running() as server:
        async with server.as_user("ana") as one, server.as_user("ana") as two, server.open():
            for client in (one, two):
                await client.hear("page")
            assert (server.edge.stats()["sockets"], server.edge.stats()["users"]) == (3, 1)
        await until(lambda: server.edge.stats()["sockets"] == 0)

        assert (server.edge.stats()["users"], server.edge.stats()["strangers"]) == (0, 0)


def test_room_for_sockets_comes_of_open_files() -> None:
    """
    The limit of open files says how many sockets there may be; a setting may say fewer, never more.
    """
    assert sockets_allowed(20_000, 0) == 19_744
    assert sockets_allowed(20_000, 500) == 500
    assert sockets_allowed(1_024, 5_000) == 768
    assert sockets_allowed(100, 0) == 1
