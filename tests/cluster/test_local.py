"""`fanbell cluster`: real servers, as a command starts, shows and ends them."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from fanbell.infra.cli.exits import Exit
from fanbell.infra.local import cassandra, cluster, kafka
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.local.process import free_ports
from tests.infra.up_process import FANBELL

pytestmark = pytest.mark.cluster
UP_S = 3 * kafka.START_S + cassandra.START_S  # the most that the command waits for what it starts


def fanbell(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    line = [FANBELL, "cluster", *args]
    return subprocess.run(line, capture_output=True, text=True, timeout=UP_S, check=False)


def status(data: Path) -> tuple[int, dict[str, object]]:
    done = fanbell("status", "--data", data, "--json")
    return done.returncode, json.loads(done.stdout)


def test_what_runs_is_shown(servers: Cluster) -> None:
    """Each server of a cluster is named with its port and whether it answers."""
    folder = Path(servers.cassandra.data).parent

    code, said = status(folder)

    assert code == 0
    assert said["kafka_bootstrap_servers"] == servers.bootstrap
    assert said["kafka_replication_factor"] == 1
    assert said["cassandra_contact_points"] == servers.contact_points
    assert [(node["name"], node["answers"]) for node in said["nodes"]] == [  # type: ignore[attr-defined]
        ("kafka broker 1", True),
        ("cassandra", True),
    ]


@pytest.mark.long
def test_three_brokers_by_the_command(tmp_path: Path) -> None:
    """
    `up --brokers 3` starts three brokers and a Cassandra, `status` shows them, and `down --forget`
    ends them all and leaves nothing of them.
    """
    folder = tmp_path / "cluster"
    try:
        made = fanbell("up", "--brokers", "3", "--data", folder, "--json")
        assert made.returncode == 0, made.stderr
        said = json.loads(made.stdout)
        names = [f"kafka broker {n}" for n in (1, 2, 3)] + ["cassandra"]
        assert [(node["name"], node["answers"]) for node in said["nodes"]] == [(name, True) for name in names]
        assert len(set(said["kafka_bootstrap_servers"].split(","))) == 3
        assert said["kafka_replication_factor"] == 3
        assert status(folder) == (0, said)
        started = cluster.read(folder)
        assert started is not None
    finally:
        ended = fanbell("down", "--forget", "--data", folder)

    assert ended.returncode == 0, ended.stderr
    assert [node.name for node in started.nodes if node.alive] == []
    assert sorted(path.name for path in folder.iterdir()) == ["lock"]
    assert fanbell("status", "--data", folder).returncode == Exit.NOT_FOUND


def test_a_second_start_in_the_same_folder_is_refused(servers: Cluster) -> None:
    """A folder whose cluster runs is left alone."""
    with pytest.raises(cluster.AlreadyUp, match="cluster down"):
        cluster.up(Path(servers.cassandra.data).parent)


def test_a_killed_broker_is_seen_and_comes_back(tmp_path: Path) -> None:
    """A broker that was killed is shown as down; started anew it has its ports and its data."""
    kafka_port, controller = free_ports(2)
    (broker,) = kafka.start_brokers(tmp_path, [(kafka_port, controller)])
    try:
        cluster.wait(broker, kafka.answers, kafka.START_S)
        broker.end(by=signal.SIGKILL)
        assert not broker.alive
        assert not kafka.answers(kafka_port)

        broker = cluster.restart(broker)

        assert broker.alive
        assert broker.port == kafka_port
    finally:
        broker.end()


def test_nobody_answers_where_nobody_listens() -> None:
    """A port without a server is no server that answers."""
    (port,) = free_ports(1)
    assert not kafka.answers(port)
    assert not cassandra.answers(port)
