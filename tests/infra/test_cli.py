"""The command line as a whole: every verb asks the right thing, shows the answer, and ends with the right code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from fanbell.infra.cli import client
from fanbell.infra.cli.exits import MEANINGS, Exit
from tests.infra.conftest import Run
from tests.infra.fake_server import Server, problem

ITEM = {
    "id": "like-1", "cursor": "c1", "kind": "like", "reason": "like", "text": "Ben and 2 others liked your post",
    "url": "/posts/p1", "actors": [{"id": "ben", "name": "Ben", "avatar_url": None}], "count": 3, "object": "p1",
    "target": None, "scope": None, "data": None, "created_at": "2026-01-31T12:00:00Z",
    "updated_at": "2026-01-31T12:00:00Z", "seen": False, "read": False, "archived": False, "clicked": False,
}  # fmt: skip
PAGE = {"items": [ITEM], "cursor": "c1", "next": None, "prev": None, "total": 1, "unread": 1, "unseen": 1}
LETTER = {
    "offset": 4, "origin": {"topic": "activities", "partition": 2, "offset": 17}, "index": 0, "n": 17, "id": "like-9",
    "reason": "waited", "detail": "'p9' never came", "time_ms": 1_700_000_000_000, "bytes": 60,
}  # fmt: skip
RULES = "[kinds.ping]\naudience = []\n"
SECRET = "a secret of at least thirty-two bytes"


def test_inbox_shows_what_a_person_would_read(fanbell: Run, server: Server) -> None:
    """
    `inbox` shows texts and how many are unread.
    """
    server.answer = lambda asked: (200, PAGE)

    ran = fanbell("inbox", "ana", "--url", server.url)

    assert ran.code == Exit.OK
    assert "Ben and 2 others liked your post" in ran.out
    assert "1 unread" in ran.out
    assert ran.err == ""


def test_inbox_asks_with_its_filters(fanbell: Run, server: Server) -> None:
    """
    Filters that were given are asked for, others are left out.
    """
    server.answer = lambda asked: (200, PAGE)

    fanbell("inbox", "ana", "-n", "5", "--unread", "--kind", "like", "--locale", "de", "--url", server.url)

    assert server.asked[0].path == "/v1/users/ana/notifications?limit=5&unread=true&kind=like&locale=de"


@pytest.mark.parametrize(
    ("user", "escaped"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), (".", "%2E"), ("50%", "50%25"), ("ünal ?", "%C3%BCnal%20%3F")],
)
def test_ids_of_any_sort_reach_the_server(fanbell: Run, server: Server, user: str, escaped: str) -> None:
    """
    An id with `/`, `%` or `..` in it arrives as that id.
    """
    server.answer = lambda asked: (200, PAGE)

    fanbell("inbox", user, "--url", server.url)

    assert server.asked[0].path.startswith(f"/v1/users/{escaped}/notifications?")


def test_what_people_write_cannot_steer_the_terminal(fanbell: Run, server: Server) -> None:
    """
    Control characters and markup in a text are shown, not obeyed.
    """
    server.answer = lambda asked: (200, PAGE | {"items": [ITEM | {"text": "[red]\x1b[2Jboo\x9b"}]})

    ran = fanbell("inbox", "ana", "--url", server.url)

    assert "[red]" in ran.out
    assert "\x1b[2J" not in ran.out
    assert "\x9b" not in ran.out


def test_inbox_prints_the_answer_as_json(fanbell: Run, server: Server) -> None:
    """
    With --json, programs get what the server said.
    """
    server.answer = lambda asked: (200, PAGE)

    assert fanbell("inbox", "ana", "--json", "--url", server.url).json == PAGE


def test_the_token_goes_along_and_is_never_shown(
    fanbell: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The token is sent as the server wants it, and appears in no output, refusals and help included.
    """
    monkeypatch.setenv("FANBELL_TOKEN", "t0ps3cret")
    server.answer = lambda asked: (403, problem(403, "This token reaches only what is its own user's."))

    ran = fanbell("inbox", "ana", "--url", server.url)

    assert server.asked[0].headers["Authorization"] == "Bearer t0ps3cret"
    assert "t0ps3cret" not in ran.out + ran.err
    assert "t0ps3cret" not in fanbell("inbox", "--help").out


def test_numbers_of_partitions_are_one_line(fanbell: Run, server: Server) -> None:
    """
    A cluster tells its lag for each partition; `stats` shows what it is in all and where most of it is.
    """
    server.answer = lambda asked: (
        200,
        {"lag": {"routed": {"0": 3, "1": 1_200}, "notices": {"0": 0, "1": 0}}},
    )

    ran = fanbell("stats", "--url", server.url)

    assert "routed   1,203, most in partition 1: 1,200" in ran.out
    assert re.search(r"notices  0\s*$", ran.out, re.MULTILINE)


def test_stats_are_listed_by_name(fanbell: Run, server: Server) -> None:
    """
    `stats` lists what the server counts, nested values indented.
    """
    server.answer = lambda asked: (200, {"users": 1_234, "backlog": {"routed": 0}})

    ran = fanbell("stats", "--url", server.url)

    assert "1,234" in ran.out
    assert "routed" in ran.out
    assert server.asked[0].path == "/v1/stats"


def test_trace_tells_who_heard_and_what_silenced_others(fanbell: Run, server: Server) -> None:
    """
    `trace` names each rule that silenced somebody.
    """
    server.answer = lambda asked: (
        200, {"id": "a/1", "state": "routed", "heard": 12, "silenced": {"mutes": 3}, "stored": True, "reason": None}
    )  # fmt: skip

    ran = fanbell("trace", "a/1", "--url", server.url)

    assert server.asked[0].path == "/v1/activities/a%2F1/trace"
    assert "12" in ran.out
    assert "mutes" in ran.out


def test_kinds_are_checked_and_applied(fanbell: Run, server: Server, tmp_path: Path) -> None:
    """
    `kinds check` and `kinds apply` send the file as it stands.
    """
    (tmp_path / "kinds.toml").write_text(RULES)
    server.answer = lambda asked: (200, {"version": 7})

    assert fanbell("kinds", "check", str(tmp_path / "kinds.toml"), "--url", server.url).code == Exit.OK
    applied = fanbell("kinds", "apply", str(tmp_path / "kinds.toml"), "--url", server.url)

    assert [(asked.method, asked.path, asked.body) for asked in server.asked] == [
        ("POST", "/v1/kinds/check", {"source": RULES}),
        ("PUT", "/v1/kinds", {"source": RULES}),
    ]
    assert "version 7" in applied.out


def test_a_bad_rules_file_is_told_by_line(fanbell: Run, tmp_path: Path) -> None:
    """
    A rules file that cannot be used names line and key, also without a server.
    """
    (tmp_path / "kinds.toml").write_text("[kinds.ping]\nwindow = 'soon'\n")

    ran = fanbell("kinds", "check", str(tmp_path / "kinds.toml"), "--offline")

    assert ran.code == Exit.REFUSED
    assert "line 2, kinds.ping.window" in ran.err


def test_dead_letters_are_listed_and_shown(fanbell: Run, server: Server) -> None:
    """
    `dead list` gives origin and reason, `dead show` all there is.
    """
    server.answer = lambda asked: (
        200,
        {"items": [LETTER], "next": 4} if asked.path.startswith("/v1/dead?") else LETTER,
    )

    listed = fanbell("dead", "list", "--url", server.url)
    shown = fanbell("dead", "show", "4", "--url", server.url)

    assert "waited: 'p9' never came" in listed.out
    assert "activities/2 at 17" in listed.out
    assert "more: --after 4" in listed.out
    assert "like-9" in shown.out
    assert server.asked[1].path == "/v1/dead/4"


def test_dead_letters_are_retried_and_dropped(fanbell: Run, server: Server) -> None:
    """
    `dead retry` and `dead drop` take places, or all that are there now.
    """
    pages = {
        "/v1/dead?limit=1000": {"items": [LETTER], "next": 4},
        "/v1/dead?after=4&limit=1000": {"items": [LETTER | {"offset": 9}], "next": None},
    }
    server.answer = lambda asked: (
        (200, pages[asked.path]) if asked.method == "GET" else (202, {"retried": 1, "dropped": 2})
    )

    retried = fanbell("dead", "retry", "4", "--url", server.url)
    dropped = fanbell("dead", "drop", "--all", "--json", "--url", server.url)

    assert retried.out == "retried 1\n"
    assert dropped.json == {"dropped": 2}
    assert [(a.path, a.body) for a in server.asked if a.method == "POST"] == [
        ("/v1/dead/retry", {"offsets": [4]}),
        ("/v1/dead/drop", {"offsets": [4, 9]}),
    ]


def test_dead_wants_to_know_which(fanbell: Run) -> None:
    """
    Neither places nor --all is a usage error, not "all".
    """
    assert fanbell("dead", "drop").code == Exit.USAGE


def test_a_token_is_signed_with_the_secret(fanbell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `token` makes what the server accepts, and shows no secret.
    """
    monkeypatch.setenv("FANBELL_TOKEN_SECRET", SECRET)

    ran = fanbell("token", "ana", "--role", "user", "--role", "producer", "--ttl", "60")

    claims = jwt.decode(ran.out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["roles"], claims["exp"] - claims["iat"]) == (
        "ana",
        ["producer", "user"],
        60,
    )
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize(("secret", "role"), [("", "user"), ("short", "user"), (SECRET, "king")])
def test_no_token_without_a_good_secret_and_role(
    fanbell: Run, monkeypatch: pytest.MonkeyPatch, secret: str, role: str
) -> None:
    """
    A missing or short secret, or an unknown role, makes no token.
    """
    if secret:
        monkeypatch.setenv("FANBELL_TOKEN_SECRET", secret)

    ran = fanbell("token", "ana", "--role", role)

    assert ran.code == Exit.USAGE
    assert ran.out == ""


def test_settings_list_what_is_in_force(fanbell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `settings` shows values in force with their defaults; secrets only as being set.
    """
    monkeypatch.setenv("FANBELL_INBOX_KEEP", "500")
    monkeypatch.setenv("FANBELL_TOKEN_SECRET", SECRET)

    ran = fanbell("settings")
    rows = {row["name"]: row for row in fanbell("settings", "--json").json}

    assert rows["inbox_keep"]["value"] == "500"
    assert rows["token_secret"]["value"] == "(set)"
    assert "(default 200)" in ran.out
    assert SECRET not in ran.out


def test_every_setting_is_a_flag(fanbell: Run) -> None:
    """
    A setting that no command spells out is a flag all the same, and a misspelt one is an error.
    """
    rows = {
        row["name"]: row for row in fanbell("settings", "--json", "--inbox-keep", "7", "--partitions=2").json
    }

    assert (rows["inbox_keep"]["value"], rows["partitions"]["value"]) == ("7", "2")
    assert fanbell("settings", "--inbox-kep", "7").code == Exit.USAGE
    assert fanbell("settings", "--token-secret", SECRET).code == Exit.USAGE


def test_version_names_all_that_matters(fanbell: Run) -> None:
    """
    `version` names the versions that a bug report needs.
    """
    assert set(fanbell("version", "--json").json) == {"fanbell", "python", "sqlite", "platform", "core"}


def test_every_exit_code_has_a_meaning() -> None:
    """
    The table of exit codes is whole.
    """
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, Exit.REFUSED), (401, Exit.UNAUTHORISED), (403, Exit.UNAUTHORISED), (404, Exit.NOT_FOUND),
     (409, Exit.REFUSED), (413, Exit.REFUSED), (422, Exit.REFUSED), (500, Exit.FAILED)],
)  # fmt: skip
def test_refusals_end_with_their_code(fanbell: Run, server: Server, status: int, code: Exit) -> None:
    """
    What the server says decides the exit code, and stands on stderr.
    """
    server.answer = lambda asked: (status, problem(status, "Because so.", (None, "limit", "is odd")))

    ran = fanbell("stats", "--url", server.url)

    assert ran.code == code
    assert "Because so." in ran.err
    assert "limit: is odd" in ran.err
    assert ran.out == ""


def test_nobody_there(fanbell: Run) -> None:
    """
    No server at the address: said at once, with how to start one.
    """
    ran = fanbell("stats", "--url", "http://127.0.0.1:9")

    assert ran.code == Exit.UNREACHABLE
    assert "fanbell up" in ran.err


def test_somebody_else_there(fanbell: Run, server: Server) -> None:
    """
    A server that does not speak JSON is not taken for Fanbell.
    """
    server.answer = lambda asked: (200, b"<html>")

    ran = fanbell("stats", "--url", server.url)

    assert ran.code == Exit.FAILED
    assert "is that Fanbell's address?" in ran.err


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["inbox"],
        ["inbox", "ana", "-n", "0"],
        ["stats", "--url", "ftp://x"],
        ["publish", "/nowhere"],
    ],
)
def test_a_wrong_command_line(fanbell: Run, args: list[str]) -> None:
    """
    A wrong command line ends with 2 and writes nothing to stdout.
    """
    ran = fanbell(*args)

    assert ran.code == Exit.USAGE
    assert ran.out == ""


def test_ctrl_c_ends_a_command_quietly(fanbell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ctrl-C while a server is waited for ends with 130, and without a word.
    """

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client.Client, "get", interrupted)

    ran = fanbell("stats")

    assert (ran.code, ran.out, ran.err) == (Exit.INTERRUPTED, "", "")


def test_help_is_quick_to_import() -> None:
    """
    `--help` imports neither the HTTP client nor the server nor the codec.
    """
    heavy = ("httpx", "fastapi", "uvicorn", "fastavro", "jinja2")
    code = f"import sys, fanbell.infra.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert json.loads(done.stdout.replace("'", '"')) == []
