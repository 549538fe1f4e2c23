"""The documentation tells the truth: every table is in the reference, every command that a page shows exists."""

import asyncio
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from docs.generate import CLIENT_CODES, REFERENCE, client_codes, commands, reference
from fanbell.edge.close_codes import CLOSE_CODES
from fanbell.edge.http.metrics import Metrics
from fanbell.infra.cli.exits import Exit
from fanbell.infra.health import MEANINGS, PROCESS
from fanbell.infra.settings import CLIENT_VARIABLES, CONFIG, TABLE, load, variable_of
from fanbell.schemas.parse import parse_activity, parse_json
from fanbell.schemas.topics import TOPICS
from fanbell.streams.core.kinds import default_source, parse_rules
from tests.infra.memory_cluster import MemoryCluster
from tests.infra.up_process import FANBELL, fanbell_up

ROOT: Final = Path(__file__).parent.parent
OPERATING: Final = "docs/operating.md"
PAGES: Final = (
    "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/reference.md", "docs/producing.md",
    "docs/clients.md", "docs/balancers.md", OPERATING,
)  # fmt: skip
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


def test_the_client_has_the_close_codes() -> None:
    """
    The JavaScript client goes by the table of close codes that the edge closes by.
    """
    assert CLIENT_CODES.read_text(encoding="utf-8") == client_codes()


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
    elif words[0] == "export":
        name = words[1].partition("=")[0]
        assert name in {variable_of(name) for name in TABLE} | {CONFIG, *CLIENT_VARIABLES}
    else:
        assert words in (["source", ".venv/bin/activate"], ["cat", ">", "cluster.toml"])


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


@pytest.mark.parametrize(("page", "count"), [("README.md", 5), (OPERATING, 3)])
def test_the_activities_of_a_tour_are_good(page: str, count: int) -> None:
    """
    What a page publishes would be accepted.
    """
    rules = parse_rules(default_source())
    (tour,) = re.findall(r"publish - <<'END'\n(.*?)\nEND\n", text_of(page), re.DOTALL)
    activities = [parse_activity(parse_json(line.encode())) for line in tour.splitlines()]

    assert len(activities) == count
    assert [fault for activity in activities for fault in rules.faults(activity)] == []


def test_the_settings_of_the_cluster_are_good(tmp_path: Path) -> None:
    """
    The file of settings that operating a cluster begins with can be read, and its ports are those of `cluster up`.
    """
    text = text_of(OPERATING)
    (file,) = re.findall(r"cat > cluster\.toml <<'END'\n(.*?)END\n", text, re.DOTALL)
    (tmp_path / "cluster.toml").write_text(file)
    settings = load({}, {}, tmp_path / "cluster.toml")
    (ports,) = re.findall(r"fanbell cluster up --ports (\S+)", text)

    assert settings.kafka_bootstrap_servers == (f"127.0.0.1:{ports.split(',')[0]}",)
    assert settings.cassandra_contact_points == (f"127.0.0.1:{ports.split(',')[2]}",)


def test_every_number_of_a_worker_is_explained() -> None:
    """
    What a worker shows at /metrics is in the page about operating; what else is told there, an API shows.
    """
    told = set(re.findall(r"`(fanbell_\w+)`", text_of(OPERATING)))
    of_workers = {f"fanbell_{name}" for name in (*MEANINGS, *PROCESS)}
    of_an_api = set(re.findall(r"^# HELP (\w+)", asyncio.run(metrics_of_an_api()), re.MULTILINE))

    assert of_workers - told == set()
    assert told - of_workers - of_an_api == set()


async def metrics_of_an_api() -> str:
    """What an API of a cluster shows once it has measured."""
    async with MemoryCluster() as cluster, asyncio.timeout(30):
        while not cluster.backend.stats()["lag"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        metrics = Metrics(cluster.backend.stats)
        metrics.answered("GET", "/readyz", 200, 0.001)
        return metrics.text().decode()


def test_every_setting_that_operating_names_exists() -> None:
    """
    What stands between backticks as a setting of Kafka, Cassandra or the processes' ports is one.
    """
    named = set(re.findall(r"`((?:kafka|cassandra|ready|edge|health|token)_\w+)", text_of(OPERATING)))

    assert len(named) >= 8
    assert named - set(TABLE) == set()


@pytest.mark.skipif(not (ROOT / "infra" / "up.py").exists(), reason="there is no `fanbell up` yet")
def test_the_tour_runs(tmp_path: Path) -> None:
    """
    The README's tour, typed as it stands, does what it says.
    """
    blocks = re.findall(r"```sh\n(.*?)```", text_of("README.md"), re.DOTALL)
    tour = [block for block in blocks if "fanbell" in block and not re.search("up --data|cluster up", block)]
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


def test_all_that_a_page_may_style_or_set_is_told() -> None:
    """
    Every attribute, custom property, part and event of the inbox element is in the page about clients.
    """
    folder, told = ROOT / "clients" / "js", text_of("docs/clients.md")
    script = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*inbox*.js"))
    sheet = (folder / "fanbell-inbox.css").read_text(encoding="utf-8")
    (observed,) = re.findall(r"observedAttributes = \[(.*?)\]", script)
    names = set(re.findall(r'"(.+?)"', observed)) | set(re.findall(r'attribute\("(.+?)"\)', script))
    names |= set(re.findall(r"var\((--fanbell-[a-z-]+)", sheet))
    names |= {f"fanbell-{event}" for event in re.findall(r'#tell\("([a-z]+)"', script)}
    parts = {part for found in re.findall(r'part: "([a-z -]+)"', script) for part in found.split()}

    assert len(names) >= 20
    assert [name for name in sorted(names | parts) if f"`{name}`" not in told] == []
