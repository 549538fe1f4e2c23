"""What docs/python.md shows runs, and it names what there is."""

import asyncio
import inspect
import re
from dataclasses import replace
from itertools import count
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

import fanbell
from fanbell.clients import errors
from fanbell.clients.inbox import Inbox
from fanbell.infra.settings import Settings
from fanbell.infra.up import running as up
from fanbell.schemas.records import Activity
from tests.edge.test_socket import PATIENCE_S

pytestmark = pytest.mark.anyio
TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_first_lines_run(tmp_path: Path) -> None:
    """
    A stranger's first program prints what happens.
    """
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    async with up(replace(Settings(), data=str(tmp_path), port=0, edge_port=0)) as server:
        names: dict[str, Any] = {}
        source = found[1].replace("http://127.0.0.1:8787", server.http)
        exec("async def program(print):\n" + indent(source, "    "), names)
        program = asyncio.ensure_future(names["program"](lambda text: told.done() or told.set_result(text)))
        await server.backend.publish([Activity("f", "follow", "ana", "ben")])
        async with asyncio.timeout(PATIENCE_S):
            for number in count():
                await server.backend.publish([Activity(f"n{number}", "post", "ben", f"n{number}")])
                await asyncio.wait((told, program), timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                if told.done() or program.done():
                    break
        if program.done():
            program.result()
        assert told.result() == "ben posted"
        program.cancel()
        await asyncio.wait((program,))


def test_it_names_what_there_is() -> None:
    """
    Every argument, every mark and every error is told of.
    """
    arguments = inspect.signature(fanbell.connect).parameters
    public = [name for name in vars(Inbox) if not name.startswith("_")]
    faults = [
        one.__name__ for one in (errors.Refused, errors.MarkFailed, *errors.MarkFailed.__subclasses__())
    ]
    names = [*arguments, *(name for name in public if name not in ("close", "user")), *faults]
    assert [name for name in names if name not in TEXT] == []
