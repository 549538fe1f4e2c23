"""The commands that ask a server, asked of a cluster's processes."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fanbell.infra.local.cluster import Cluster
from fanbell.streams.core.kinds import default_source
from tests import forked
from tests.cluster.processes import Installation, installation
from tests.cluster.test_end_to_end import until
from tests.infra.up_process import END_S, FANBELL, heeds_ctrl_c

pytestmark = pytest.mark.cluster
ACTIVITIES = (
    {"id": "a1", "kind": "follow", "actor": "ben", "object": "ana"},
    {"id": "a2", "kind": "post", "actor": "ana", "object": "post-1"},
    {"id": "a3", "kind": "comment", "actor": "ben", "object": "comment-1", "target": "post-1"},
)


@pytest.fixture
def made(servers: Cluster, tmp_path: Path) -> Iterator[Installation]:
    with installation(servers, tmp_path) as found:
        yield found


def asked(made: Installation, *words: str) -> Any:
    """What a command prints for programs."""
    return json.loads(made.fanbell(*words, "--json"))


def test_every_command_that_asks_is_answered(made: Installation) -> None:
    """
    publish, inbox, trace, stats, dead, kinds and tail do at a cluster's API what they do at one process.
    """
    made.start("worker")
    api, edge = made.start("api", "--port", "0"), made.start("edge", "--port", "0")
    made.environ["FANBELL_URL"] = api.told["http"]
    (made.folder / "activities.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ACTIVITIES))
    (made.folder / "kinds.toml").write_text(default_source())

    assert "published 3" in made.fanbell("publish", str(made.folder / "activities.jsonl"))
    until(lambda: asked(made, "inbox", "ana")["total"] == 2, "both reach Ana's inbox")
    until(lambda: asked(made, "trace", "a3").get("stored"), "the inboxes are written")
    assert "commented on your post" in made.fanbell("inbox", "ana")
    assert "heard by        1" in made.fanbell("trace", "a3")
    assert asked(made, "dead", "list") == {"items": [], "next": None}
    assert "no dead letters" in made.fanbell("dead", "list")
    assert "is good" in made.fanbell("kinds", "check", str(made.folder / "kinds.toml"))
    assert asked(made, "kinds", "apply", str(made.folder / "kinds.toml"))["version"] == 2
    until(lambda: asked(made, "stats")["rules_version"] == 2, "the rules are in force")
    assert {"activities", "routed", "notices"} <= set(asked(made, "stats")["lag"])
    assert "partitions" in made.fanbell("stats")
    assert followed(made, edge.told["http"], "ana")["type"] == "hello"


def followed(made: Installation, url: str, user: str) -> Any:
    """The first frame that `fanbell tail` tells."""
    line = [FANBELL, "tail", user, "--url", url, "--json"]
    with subprocess.Popen(line, env=made.environ, stdout=subprocess.PIPE, preexec_fn=heeds_ctrl_c) as tail:
        assert tail.stdout is not None
        try:
            return json.loads(tail.stdout.readline())
        finally:
            tail.send_signal(signal.SIGINT)
            assert tail.wait(END_S) == 130


def test_an_api_without_an_edge_says_so(made: Installation) -> None:
    """
    An API that does not know an edge refuses to name one; `tail` ends with what to set, rather than try for ever.
    """
    api = made.start("api", "--port", "0")
    done = forked.run(["tail", "ana", "--url", api.told["http"]], made.environ, END_S)

    assert done.returncode != 0
    assert "edge_url" in done.stderr


def test_two_workers_do_not_share_a_folder(made: Installation) -> None:
    """
    A second worker with the data folder of the first one refuses to start, and names what to do.
    """
    first = made.start("worker")
    done = forked.run(["worker", "--data", made.folder / "worker-1"], made.environ, END_S)

    assert done.returncode == 1
    assert "name another folder" in done.stderr
    assert first.end() == 0
    assert "worker_stopped" in (made.folder / "worker-1.log").read_text()
