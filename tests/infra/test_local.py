"""`fanbell cluster` where it cannot work, or is asked for what there is not. What works is in tests/cluster/."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from fanbell.infra.cli import clustering
from fanbell.infra.cli.exits import Exit
from fanbell.infra.local import cassandra, cluster, java, kafka
from fanbell.infra.local.process import Node, NotStarted, start
from fanbell.infra.settings import load
from tests.infra.up_process import END_S, FANBELL


def fanbell(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    line = [FANBELL, "cluster", *args]
    return subprocess.run(line, capture_output=True, text=True, timeout=END_S, check=False)


@pytest.mark.parametrize(("there", "said"), [((), "a JDK"), (("java",), "Maven")])
def test_what_is_missing_is_said_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], said: str
) -> None:
    """Without Java or Maven the message names it and the command that installs it."""
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(java.Missing, match=f"^{said}.*apt-get install"):
        java.check_tools()


def test_a_java_that_is_too_old_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 8 says its version in a way of its own, and is refused by it."""
    for name, does in (("java", "echo 'openjdk version \"1.8.0_312\"' >&2"), ("mvn", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(java.Missing, match="of version 8, 17 or newer"):
        java.check_tools()


def a_cluster(folder: Path, brokers: int) -> cluster.Cluster:
    """As `up` gives it, without its servers."""
    nodes = [
        Node(name=f"node {n}", port=9_000 + n, pid=0, data=str(folder), log="") for n in range(brokers + 1)
    ]
    return cluster.Cluster(brokers=nodes[:-1], controllers=[], cassandra=nodes[-1], storage_port=0)


@pytest.mark.parametrize("brokers", [1, 3])
def test_up_says_how_the_other_commands_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], brokers: int
) -> None:
    """The line that is to be pasted into a shell holds all that is not as settings are by default."""
    made = a_cluster(tmp_path, brokers)
    monkeypatch.setattr(cluster, "up", lambda *_: made)

    clustering.up(str(tmp_path), brokers)

    (line,) = re.findall("^export (.*)$", capsys.readouterr().out, re.MULTILINE)
    settings = load({}, dict(pair.split("=", 1) for pair in shlex.split(line)))
    assert ",".join(settings.kafka_bootstrap_servers) == made.bootstrap
    assert ",".join(settings.cassandra_contact_points) == made.contact_points
    assert settings.kafka_replication_factor == brokers


@pytest.mark.parametrize("verb", ["status", "down"])
def test_a_folder_without_a_cluster_is_said(tmp_path: Path, verb: str) -> None:
    """There is nothing to show or end where nothing was started."""
    done = fanbell(verb, "--data", tmp_path)

    assert done.returncode == Exit.NOT_FOUND
    assert "`fanbell cluster up` starts one" in done.stderr


@pytest.mark.parametrize("wrong", [("--brokers", "2"), ("--ports", "1,2"), ("--ports", "a,b,c,d")])
def test_what_cannot_be_is_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    """Numbers of brokers and ports that make no sense start nothing."""
    done = fanbell("up", "--data", tmp_path / "data", *wrong)

    assert done.returncode == Exit.USAGE
    assert wrong[0] in done.stderr
    assert not (tmp_path / "data").exists()


class Started:
    """Stands for the servers: processes that sleep, and fail where it is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str, error: BaseException) -> None:
        self.nodes: list[Node] = []
        self.did: list[str] = []
        self._fails, self._error = fails, error
        monkeypatch.setattr(cluster, "check_tools", lambda: None)
        for module in (cluster, kafka, cassandra):
            monkeypatch.setattr(module, "jars", lambda name: self.do(f"jars of {name}"), raising=False)
        monkeypatch.setattr(kafka, "_format", lambda name, file: self.do(f"format {file.parent.name}"))
        monkeypatch.setattr(kafka, "start_broker", lambda _, port, folder: self.start(folder, port))
        monkeypatch.setattr(cassandra, "start_node", lambda data, port, *_: self.start(data, port))
        monkeypatch.setattr(cluster, "wait", lambda node, *_: self.do(f"wait for {Path(node.data).name}"))

    def do(self, what: str) -> None:
        self.did.append(what)
        if what == self._fails:
            raise self._error

    def start(self, folder: Path, port: int) -> Node:
        self.do(f"start {folder.name}")
        folder.mkdir(exist_ok=True)
        self.nodes.append(start(folder.name, port, ["sh", "-c", "sleep 60; :", folder], folder))
        return self.nodes[-1]


@pytest.mark.parametrize(
    ("fails", "error", "started"),
    [
        ("jars of cassandra", java.Missing("Maven could not"), 0),
        ("format broker-3", NotStarted("no"), 2),
        ("start cassandra", KeyboardInterrupt(), 3),
        ("wait for cassandra", NotStarted("it did not answer"), 4),
    ],
)
def test_a_start_that_fails_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, error: BaseException, started: int
) -> None:
    """Whatever fails, or whoever gives up, on the way: what was started until then is ended."""
    servers = Started(monkeypatch, fails, error)

    with pytest.raises(type(error)):
        cluster.up(tmp_path, brokers=3)

    try:
        assert len(servers.nodes) == started
        assert [node.name for node in servers.nodes if node.alive] == []
    finally:
        for node in servers.nodes:
            node.end()


def test_a_folder_keeps_its_number_of_brokers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was made with one broker is not started as if it had three, nor the other way round; without a number it is
    started as it was made, on other ports if they are as many.
    """
    servers = Started(monkeypatch, "", AssertionError())
    for made, other, brokers in ((1, "3", "one"), (3, "1", "three")):
        folder = tmp_path / brokers
        try:
            first = cluster.up(folder, made)
            cluster.down(folder)
            with pytest.raises(cluster.OtherNumber, match=f"was made with {made} "):
                cluster.up(folder, int(other))

            done = fanbell("up", "--data", folder, "--brokers", other)
            assert (done.returncode, f"was made with {made} " in done.stderr) == (Exit.USAGE, True)
            done = fanbell(
                "up", "--data", folder, "--ports", ",".join(map(str, range(1, 3 + 2 * int(other))))
            )
            assert (done.returncode, f"--ports must be {2 * made + 2}" in done.stderr) == (Exit.USAGE, True)

            again = cluster.up(folder)
            assert again.bootstrap == first.bootstrap
        finally:
            for node in servers.nodes:
                node.end()


def test_a_cluster_id_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 64 would begin with a dash, and Kafka's tool for new folders would take it for an option."""
    drawn = iter((b"\xf8" * 16, b"\x01" * 16))
    monkeypatch.setattr(kafka.secrets, "token_bytes", lambda size: next(drawn))  # type: ignore[attr-defined]

    assert kafka._cluster_id() == "AQEBAQEBAQEBAQEBAQEBAQ"
