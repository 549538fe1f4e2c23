"""The documentation tells the truth: every table is in the reference, every command that a page shows exists."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from docs.generate import REFERENCE, commands, reference
from fanbell.edge.close_codes import CLOSE_CODES
from fanbell.infra.cli.exits import Exit
from fanbell.infra.settings import TABLE, variable_of
from fanbell.schemas.parse import parse_activity, parse_json
from fanbell.schemas.topics import TOPICS
from fanbell.streams.core.kinds import default_source, parse_rules
from tests.infra.up_process import FANBELL, fanbell_up

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/reference.md")
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VERBS: Final[dict[str, Any]] = dict(commands())


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def shell_lines(page: str) -> Iterator[str]:
    """The lines of a page's ```sh blocks, without comments and the insides of here-documents."""
    for block in re.findall(r"```sh\n(.*?)```", text_of(page), re.DOTALL):
        outside = re.sub(r"<<'END'\n.*?\nEND\n", "\n", block, flags=re.DOTALL)
        for line in outside.splitlines():
            if stripped := line.partition(" #")[0].strip():
                yield stripped


SHELL_LINES: Final = [(page, line) for page in PAGES for line in shell_lines(page)]


def test_the_reference_is_what_the_code_says() -> None:
    """
    docs/reference.md is what `make docs` writes.
    """
    assert REFERENCE.read_text(encoding="utf-8") == reference()


def test_the_reference_leaves_nothing_out() -> None:
    """
    Every verb, exit code, setting, close code and topic is in the reference.
    """
    names = [f"`fanbell {verb}" for verb in VERBS] + [f"| {code.value} |" for code in Exit]
    names += [variable_of(name) for name in TABLE] + [f"| {row.code} |" for row in CLOSE_CODES]
    names += [f"`{topic.name}`" for topic in TOPICS]
    text = REFERENCE.read_text(encoding="utf-8")

    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize(("page", "line"), SHELL_LINES)
def test_a_command_in_the_documentation_exists(page: str, line: str) -> None:
    """
    Every command that a page shows could be typed: the target, the verb, its arguments and options exist.
    """
    words = shlex.split(line)
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= TARGETS
    elif words[0].endswith("fanbell"):
        verb = max((verb for verb in VERBS if " ".join(words[1:]).startswith(verb)), key=len)
        VERBS[verb].make_context(verb, words[1 + len(verb.split()) :])  # raises if it makes no sense
    else:
        assert words == ["source", ".venv/bin/activate"]


def test_verbs_and_targets_in_running_text_exist() -> None:
    """
    What stands between backticks as `fanbell VERB` or `make TARGET` exists.
    """
    words = {verb.split()[0] for verb in VERBS}
    for page in PAGES:
        assert set(re.findall(r"`(?:\S*/)?fanbell ([a-z]+)", text_of(page))) <= words
        assert set(re.findall(r"`make ([a-z]+)", text_of(page))) <= TARGETS


def test_links_lead_somewhere() -> None:
    """
    Every link to a file of ours leads to one.
    """
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page))
        assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_activities_of_the_tour_are_good() -> None:
    """
    What the README publishes would be accepted.
    """
    rules = parse_rules(default_source())
    (tour,) = re.findall(r"<<'END'\n(.*?)\nEND\n", text_of("README.md"), re.DOTALL)
    activities = [parse_activity(parse_json(line.encode())) for line in tour.splitlines()]

    assert len(activities) >= 5
    assert [fault for activity in activities for fault in rules.faults(activity)] == []


@pytest.mark.skipif(not (ROOT / "infra" / "up.py").exists(), reason="there is no `fanbell up` yet")
def test_the_tour_runs(tmp_path: Path) -> None:
    """
    The README's tour, typed as it stands, does what it says.
    """
    blocks = re.findall(r"```sh\n(.*?)```", text_of("README.md"), re.DOTALL)
    tour = [block for block in blocks if "fanbell" in block and "up --data" not in block]
    with fanbell_up(tmp_path) as up:
        published = typed(tour[0], up.url, tmp_path)
        assert up.heard("ana")  # a person reads on meanwhile
        seen = "".join(typed(block, up.url, tmp_path) for block in tour[1:])

    assert "published 5 activities" in published
    assert "liked your post" in seen
    assert "commented on your post" in seen


def typed(block: str, url: str, folder: Path) -> str:
    """What a block of commands prints; `tail`, which never ends, is left out."""
    script = re.sub(r"^(source|fanbell tail).*$", "", block, flags=re.MULTILINE)
    environ = os.environ | {
        "PATH": f"{FANBELL.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120",
        "FANBELL_URL": url, "FANBELL_PORT": url.rpartition(":")[2],
    }  # fmt: skip
    command = ("bash", "-euo", "pipefail", "-c", script)
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_changelog_has_its_form() -> None:
    """
    The changelog opens with what is not released yet.
    """
    assert re.search(r"^## \[Unreleased\]$", text_of("CHANGELOG.md"), re.MULTILINE)
