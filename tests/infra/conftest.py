"""What the command line's tests share: a server to talk to, and a way to run a command."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fanbell.infra import cli
from tests.infra.fake_server import Server, serving


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def fanbell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as the shell would, in a wide terminal and without the variables of whoever runs the tests."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FANBELL_URL", "FANBELL_TOKEN", "FANBELL_TOKEN_SECRET", "FANBELL_DATA", "FANBELL_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str) -> Ran:
        capsys.readouterr()
        code = cli.run(list(args))
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return run
