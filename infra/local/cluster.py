"""`fanbell cluster`: brokers and a Cassandra node in one folder, started, looked at and ended together."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from fanbell.infra.local import cassandra, kafka
from fanbell.infra.local.java import check_tools, jars
from fanbell.infra.local.process import Node, ended_unless_well, free_ports, wait

FILE: Final = "cluster.json"
BROKERS: Final = (1, 3)


class AlreadyUp(Exception):
    """There is a cluster in this folder, and it runs."""


class OtherNumber(Exception):
    """The cluster in this folder has another number of brokers."""


class Cluster(Struct, kw_only=True):
    """The servers of one folder."""

    brokers: list[Node]
    controllers: list[int]
    """Ports by which brokers find each other."""
    cassandra: Node
    storage_port: int

    @property
    def nodes(self) -> list[Node]:
        return [*self.brokers, self.cassandra]

    @property
    def bootstrap(self) -> str:
        """What a Kafka client is given."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.brokers)

    @property
    def contact_points(self) -> str:
        """What a Cassandra client is given."""
        return f"127.0.0.1:{self.cassandra.port}"


def number_of_brokers(data: Path, wanted: int | None = None) -> int:
    """How many there are to be in `data`: as many as it was made with, else `wanted`, else one. Raises OtherNumber."""
    before = read(data)
    there = len(before.brokers) if before is not None else wanted or 1
    if wanted not in (None, there):
        raise OtherNumber(
            f"the cluster in {data} was made with {there} broker{'s' * (there > 1)}, and cannot have {wanted}: take "
            f"another folder, or `fanbell cluster down --forget --data {data}`, which removes what is in it"
        )
    return there


def up(
    data: Path, brokers: int | None = None, ports: list[int] | None = None, sync: cassandra.Sync = "periodic"
) -> Cluster:
    """Start all of it in `data` and wait until it answers. Number of brokers and ports of an earlier start are kept.

    `ports`: for each broker two, then Cassandra's two; free ones if not given. `sync`: when what Cassandra
    acknowledged is on disk (`cassandra.SYNC`). Raises Missing, NotStarted, AlreadyUp, OtherNumber.
    """
    number = number_of_brokers(data, brokers)
    check_tools()
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    with _alone(data):
        before = read(data)
        if before is not None:
            if any(node.alive for node in before.nodes):
                raise AlreadyUp(f"a cluster runs in {data}; `fanbell cluster down --data {data}` ends it")
            ports = ports or _ports_of(before)
        ports = ports or free_ports(2 * number + 2)
        pairs = [(ports[2 * i], ports[2 * i + 1]) for i in range(number)]
        for name in ("kafka", "cassandra"):
            jars(name)  # which may take minutes, or fail: nothing runs meanwhile
        with ended_unless_well() as nodes:
            nodes += kafka.start_brokers(data / "kafka", pairs)
            nodes.append(cassandra.start_node(data / "cassandra", ports[-2], ports[-1], sync))
            cluster = Cluster(
                brokers=nodes[:-1],
                controllers=[controller for _, controller in pairs],
                cassandra=nodes[-1],
                storage_port=ports[-1],
            )
            _write(data, cluster)
            for node in cluster.brokers:
                wait(node, kafka.answers, kafka.START_S)
            wait(cluster.cassandra, cassandra.answers, cassandra.START_S)
    return cluster


def read(data: Path) -> Cluster | None:
    """What was started in `data`, running or not; None if nothing was."""
    try:
        return msgspec.json.decode((data.absolute() / FILE).read_bytes(), type=Cluster)
    except FileNotFoundError:
        return None


def answers(cluster: Cluster) -> dict[str, bool]:
    """By name, whether each server takes requests."""
    found = {node.name: kafka.answers(node.port) for node in cluster.brokers}
    return found | {cluster.cassandra.name: cassandra.answers(cluster.cassandra.port)}


def down(data: Path, *, forget: bool = False) -> bool:
    """End what runs in `data`, and with `forget` remove all of its data too; whether there was anything."""
    data = data.absolute()
    cluster = read(data)
    if cluster is None:
        return False
    with _alone(data):
        for node in cluster.nodes:
            node.end()
        if forget:
            for name in ("kafka", "cassandra"):
                shutil.rmtree(data / name, ignore_errors=True)
            (data / FILE).unlink()
    return True


def restart(node: Node) -> Node:
    """Start a server that has ended, or was ended, on its ports and with its data, and wait until it answers."""
    folder = Path(node.data)
    if node.name == "cassandra":
        config = msgspec.json.decode((folder / "cassandra.yaml").read_bytes())
        again = cassandra.start_node(folder, node.port, config["storage_port"], config["commitlog_sync"])
        wait(again, cassandra.answers, cassandra.START_S)
    else:
        again = kafka.start_broker(int(node.name.rpartition(" ")[2]), node.port, folder)
        wait(again, kafka.answers, kafka.START_S)
    for data in (folder.parent, folder.parent.parent):
        _note(data, again)
    return again


def _note(data: Path, again: Node) -> None:
    """Let `down` know the server's new process, if it is one of the cluster in `data`."""
    cluster = read(data)
    if cluster is None:
        return
    cluster.brokers = [again if node.name == again.name else node for node in cluster.brokers]
    if cluster.cassandra.name == again.name:
        cluster.cassandra = again
    _write(data, cluster)


def _write(data: Path, cluster: Cluster) -> None:
    (data / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(cluster)))


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """One command at a time."""
    with (data / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ports_of(cluster: Cluster) -> list[int]:
    pairs = zip(cluster.brokers, cluster.controllers, strict=True)
    kept = [port for node, controller in pairs for port in (node.port, controller)]
    return [*kept, cluster.cassandra.port, cluster.storage_port]


__all__ = [
    "AlreadyUp", "Cluster", "OtherNumber", "answers", "down", "number_of_brokers", "read", "restart", "up"
]  # fmt: skip
