"""A process that is told to stop, and whom others take over from."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from fanbell.clients.tail import tail
from fanbell.infra.settings import Settings
from fanbell.infra.up import running

DRAINS = """\
import sys
from pathlib import Path
from fanbell.infra.settings import Settings
from fanbell.infra.up import say, serve

settings = Settings(data=Path(sys.argv[1]), port=0)
sys.exit(serve(settings, True, lambda live: say(live, True, {}, ""), drain_s=3_600))
"""
PATIENCE_S = 30


@pytest.mark.parametrize("cut_short_by", ["hurry", "failed"])
def test_draining_is_cut_short(tmp_path: Path, cut_short_by: str) -> None:
    """
    A process that drains is not ready and lets nobody in; told to hurry, or unable to go on, it ends at once.
    """

    async def story() -> int | None:
        hurry = asyncio.Event()
        async with running(Settings(data=tmp_path / "data", port=0)) as live:
            assert live.edge is not None
            url = f"ws://127.0.0.1:{live.edge.port}/"
            one, two = [
                await connect(url, proxy=None, subprotocols=[Subprotocol("fanbell.v1")]) for _ in range(2)
            ]
            draining = asyncio.ensure_future(live.drain(3_600, hurry))
            async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=live.http) as client:
                while (await client.get("/readyz")).status_code == 200:
                    pass
                assert (await client.get("/v1/users/ana/counts")).status_code == 200
                with pytest.raises(InvalidStatus):
                    await connect(url, proxy=None, subprotocols=[Subprotocol("fanbell.v1")])
                (hurry if cut_short_by == "hurry" else live.failed).set()
                await draining
        for socket in (one, two):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert one.close_code == two.close_code
        return one.close_code

    assert asyncio.run(story()) == 1001


def test_a_process_without_an_edge_has_nothing_to_drain(tmp_path: Path) -> None:
    """
    Nothing is waited for where nobody is connected, or where no time is given.
    """

    async def story() -> None:
        async with running(Settings(data=tmp_path / "data", port=0)) as live:
            await live.drain(3_600, asyncio.Event())  # nobody is there
            await live._replace(edge=None).drain(3_600, asyncio.Event())
            await live.drain(0, asyncio.Event())

    asyncio.run(story())


def test_the_second_signal_ends_it(tmp_path: Path) -> None:
    """
    The first SIGTERM begins to drain, while all that is there goes on; the second ends the process in good order.
    """
    command = (sys.executable, "-c", DRAINS, str(tmp_path / "data"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())

            async def story() -> None:
                async with asyncio.timeout(PATIENCE_S), aclosing(tail(told["edge"], "ana")) as first:
                    await anext(first)
                    async with aclosing(tail(told["edge"], "ben")) as second:
                        await anext(second)
                        process.send_signal(signal.SIGTERM)
                        async with httpx.AsyncClient(base_url=told["http"]) as client:
                            while (await client.get("/readyz")).status_code == 200:
                                pass
                        assert process.poll() is None
                        process.send_signal(signal.SIGTERM)

            asyncio.run(story())
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
