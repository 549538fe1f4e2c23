"""A reader that resumes by itself."""

import asyncio
from contextlib import aclosing

import pytest

from fanbell.clients.tail import Refused, tail
from fanbell.edge.auth import make_token
from tests.edge.fake_notices import FakeNotices
from tests.edge.test_socket import PATIENCE_S, SECRET, Server, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_it_reads_hello_page_and_what_happens() -> None:
    """
    A tail gives out every frame as it came.
    """
    async with running() as server, asyncio.timeout(PATIENCE_S), aclosing(tail(server.url, "ana")) as frames:
        assert (await anext(frames))["type"] == "hello"
        assert (await anext(frames))["type"] == "page"
        await server.backend.notice(["ana"], "n1")
        assert (await anext(frames))["item"]["id"] == "n1"


async def test_it_survives_a_restart() -> None:
    """
    Across a restart of the server, each notification is given out once, in order.
    """
    backend = FakeNotices()
    first = Server(backend)
    await first.edge.start("127.0.0.1", 0)
    port, heard = first.edge.port, []
    async with asyncio.timeout(PATIENCE_S), aclosing(tail(first.url, "ana")) as frames:
        await anext(frames)
        await anext(frames)
        await backend.notice(["ana"], "n1")
        heard.append((await anext(frames))["item"]["id"])
        await first.edge.stop(1.0)
        await backend.notice(["ana"], "n2")
        second = Server(backend)
        await second.edge.start("127.0.0.1", port)
        await backend.notice(["ana"], "n3")
        async for frame in frames:
            if frame["type"] == "hello":
                assert frame["recovered"]
            if frame["type"] == "notification":
                heard.append(frame["item"]["id"])
            if len(heard) == 3:
                break
    await second.edge.stop(1.0)

    assert heard == ["n1", "n2", "n3"]


async def test_it_waits_for_a_server_that_is_not_there_yet() -> None:
    """
    A tail may be started before the server.
    """
    server = Server(FakeNotices())
    await server.edge.start("127.0.0.1", 0)
    port = server.edge.port
    await server.edge.stop(1.0)
    later = Server(FakeNotices())
    async with asyncio.timeout(PATIENCE_S), aclosing(tail(f"ws://127.0.0.1:{port}/", "ana")) as frames:
        first = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        await later.edge.start("127.0.0.1", port)
        assert (await first)["type"] == "hello"
    await later.edge.stop(1.0)


async def test_it_gives_up_when_coming_back_would_not_help() -> None:
    """
    A tail without a right to the inbox ends with the reason, instead of asking for ever.
    """
    async with running(secrets=(SECRET,)) as server, asyncio.timeout(PATIENCE_S):
        for token in (None, make_token(SECRET, "bob", ["user"], 60)):
            with pytest.raises(Refused, match="token"):
                await anext(tail(server.url, "ana", token))


async def test_it_gives_up_where_there_is_no_edge() -> None:
    """
    An address that is answered by something else is said to be wrong.
    """
    async with running() as server, asyncio.timeout(PATIENCE_S):
        with pytest.raises(Refused, match="404"):
            await anext(tail(server.url + "elsewhere", "ana"))
