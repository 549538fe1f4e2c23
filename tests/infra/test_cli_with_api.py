"""The command line against the real HTTP API: both mean the same calls."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from fanbell.edge.auth import Auth
from fanbell.edge.http.app import create_app
from fanbell.infra.cli.exits import Exit
from fanbell.infra.settings import Settings
from fanbell.streams.core.kinds import default_source
from tests.edge.fake_backend import FakeBackend, FakeInbox
from tests.infra.conftest import Run

SECRET = "a secret of at least thirty-two bytes"
LINE = '{"id": "a1", "kind": "post", "actor": "ana", "object": "p1"}\n'


class Api:
    """The API on a free port of loopback, in a thread."""

    def __init__(self) -> None:
        app = create_app(FakeBackend(), FakeInbox(), Settings(), Auth((SECRET,)))
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run)

    def start(self) -> str:
        """Start, and return the address once it listens."""
        listening = threading.Event()
        started = self._server.startup

        async def startup(sockets: object = None) -> None:
            await started()
            listening.set()

        self._server.startup = startup  # type: ignore[method-assign]
        self._thread.start()
        assert listening.wait(30)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    api = Api()
    try:
        yield api.start()
    finally:
        api.stop()


@pytest.fixture
def operator(fanbell: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fanbell` with an operator's token, made by `fanbell token`."""
    monkeypatch.setenv("FANBELL_TOKEN_SECRET", SECRET)
    monkeypatch.setenv("FANBELL_TOKEN", fanbell("token", "root", "--role", "operator").out.strip())
    monkeypatch.setenv("FANBELL_URL", url)
    return fanbell


@pytest.mark.parametrize(
    "args",
    [
        ["inbox", "ana"],
        ["inbox", "a/../b", "--unread", "--kind", "like", "--locale", "de"],
        ["stats"],
        ["dead", "list"],
    ],
)
def test_every_question_is_understood(operator: Run, args: list[str]) -> None:
    """
    What the command line asks, the API answers, for people and for programs.
    """
    assert operator(*args).code == Exit.OK
    assert operator(*args, "--json").json is not None


def test_what_was_published_can_be_traced(operator: Run, tmp_path: Path) -> None:
    """
    `publish`, then `trace`.
    """
    (tmp_path / "a.jsonl").write_text(LINE)

    assert operator("publish", str(tmp_path / "a.jsonl"), "--json").json["published"] == 1
    assert operator("trace", "a1", "--json").json["id"] == "a1"
    assert operator("trace", "nobody-knows").code == Exit.NOT_FOUND


def test_a_refused_line_is_named_by_field(operator: Run, tmp_path: Path) -> None:
    """
    The API's faults come out as lines of the file.
    """
    (tmp_path / "a.jsonl").write_text(
        LINE + '{"id": "a2", "kind": "nonsense", "actor": "ana", "object": ""}\n'
    )

    ran = operator("publish", str(tmp_path / "a.jsonl"))

    assert ran.code == Exit.REFUSED
    assert "line 2: object: must not be empty" in ran.err


def test_rules_are_checked_and_applied(operator: Run, tmp_path: Path) -> None:
    """
    A good file is applied; a bad one is refused with line and key.
    """
    (tmp_path / "good.toml").write_text(default_source())
    (tmp_path / "bad.toml").write_text("[kinds.ping]\nwindow = 'soon'\n")

    assert operator("kinds", "check", str(tmp_path / "good.toml")).code == Exit.OK
    assert "is in force" in operator("kinds", "apply", str(tmp_path / "good.toml")).out
    refused = operator("kinds", "apply", str(tmp_path / "bad.toml"))
    assert refused.code == Exit.REFUSED
    assert "line 2, kinds.ping.window" in refused.err


def test_dead_letters_are_none(operator: Run) -> None:
    """
    Where there are no dead letters, there is none to show or retry, and all of them are dropped at once.
    """
    assert operator("dead", "show", "3").code == Exit.NOT_FOUND
    assert operator("dead", "retry", "3").code == Exit.NOT_FOUND
    assert operator("dead", "drop", "--all").code == Exit.OK


def test_without_a_token_nothing_is_told(fanbell: Run, url: str) -> None:
    """
    Where tokens are on, a call without one says how to get one.
    """
    ran = fanbell("inbox", "ana", "--url", url)

    assert ran.code == Exit.UNAUTHORISED
    assert "fanbell token" in ran.err


def test_a_user_reaches_the_own_inbox_only(operator: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A user's token opens the own inbox and no other.
    """
    monkeypatch.setenv("FANBELL_TOKEN", operator("token", "ana").out.strip())

    assert operator("inbox", "ana").code == Exit.OK
    assert operator("inbox", "ben").code == Exit.UNAUTHORISED
    assert operator("stats").code == Exit.UNAUTHORISED
