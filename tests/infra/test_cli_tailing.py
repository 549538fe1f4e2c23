"""`fanbell tail`: what it shows, and how it ends."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fanbell.infra.cli.exits import Exit
from fanbell.infra.cli.tailing import lines
from tests.infra.test_cli import ITEM
from tests.infra.up_process import END_S, FANBELL, fanbell_up, heeds_ctrl_c

COUNTS = {"unread": 3, "unseen": 1, "kinds": {}, "scopes": {}}


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ({"type": "hello", "counts": COUNTS}, ["· connected; 3 unread, 1 unseen"]),
        ({"type": "notification", "item": ITEM}, ["● Ben and 2 others liked your post  like like-1"]),
        (
            {"type": "state", "items": [ITEM | {"read": True, "seen": True}]},
            ["· read: Ben and 2 others liked your post"],
        ),
        ({"type": "state", "items": [ITEM]}, ["· unread: Ben and 2 others liked your post"]),
        ({"type": "retract", "id": "like-1"}, ["✕ taken back: like-1"]),
        ({"type": "counts", **COUNTS}, ["· 3 unread, 1 unseen"]),
        ({"type": "wish", "kind": "mute", "object": "author:ben"}, ["· mute author:ben"]),
        ({"type": "wish", "kind": "preferences", "items": []}, ["· preferences"]),
        ({"type": "kept", "ids": []}, []),
        ({"type": "of another day"}, ["· of another day"]),
    ],
)
def test_each_frame_is_a_line(frame: dict[str, object], shown: list[str]) -> None:
    """
    A person reads a line for each thing that happens; a frame of a later version does no harm.
    """
    assert [line.plain for line in lines(frame)] == shown


def test_a_page_is_shown_in_the_order_of_time() -> None:
    """
    The newest of the page stands last, where what comes next will stand.
    """
    page = {"type": "page", "items": [ITEM | {"text": "new"}, ITEM | {"text": "old"}]}

    assert [line.plain.split()[1] for line in lines(page)] == ["old", "new"]


@contextmanager
def tailing(url: str, *args: str, form: tuple[str, ...] = ("--json",)) -> Iterator["subprocess.Popen[str]"]:
    command = (FANBELL, "tail", *args, *form, "--url", url)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_ctrl_c
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_is_published_shows_up(tmp_path: Path) -> None:
    """
    `tail` shows what was published after it, and Ctrl-C ends it quietly.
    """
    line = b'{"id": "f1", "kind": "follow", "actor": "ben", "object": "ana"}\n'
    with fanbell_up(tmp_path) as up, tailing(up.url, "ana") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert json.loads(tail.stdout.readline())["type"] == "hello"
        subprocess.run((FANBELL, "publish", "-", "--url", up.url), input=line, check=True, timeout=END_S)
        frames = (json.loads(text) for text in tail.stdout)
        heard = next(frame for frame in frames if frame["type"] == "notification")
        tail.send_signal(signal.SIGINT)
        code = tail.wait(END_S)
        said = tail.stderr.read()

    assert heard["item"]["id"] == "f1"
    assert code == Exit.INTERRUPTED
    assert said == ""


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_may_leave(tmp_path: Path, form: tuple[str, ...]) -> None:
    """
    When whoever reads the output has left, `tail` ends without a traceback.
    """
    with fanbell_up(tmp_path) as up, tailing(up.url, "ana", form=form) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.stdout.close()
        for n in range(3):
            line = b'{"id": "f%d", "kind": "follow", "actor": "ben%d", "object": "ana"}\n' % (n, n)
            subprocess.run((FANBELL, "publish", "-", "--url", up.url), input=line, check=True, timeout=END_S)
        assert tail.wait(END_S) == Exit.FAILED
        assert tail.stderr.read() == ""


def test_the_wrong_token_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token of somebody else is told as such, and not tried for ever.
    """
    monkeypatch.setenv("FANBELL_TOKEN_SECRET", "a secret of at least thirty-two bytes")
    ben = subprocess.run(
        (FANBELL, "token", "ben"), capture_output=True, text=True, check=True, timeout=END_S
    ).stdout
    with fanbell_up(tmp_path) as up, tailing(up.url, "ana", "--token", ben.strip()) as tail:
        assert tail.stderr is not None
        code = tail.wait(END_S)
        said = tail.stderr.read()

    assert code == Exit.UNAUTHORISED
    assert "does not reach this user's inbox" in said
