"""Kafka brokers on this machine (KRaft, each broker and controller in one)."""

import base64
import secrets
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fanbell.infra.local.java import jars
from fanbell.infra.local.process import Node, NotStarted, ask, ended_unless_well, start

START_S: Final = 60.0
FORMAT_S: Final = 60
HEAP_MB: Final = 512
API_VERSIONS: Final = 18

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}/log
auto.create.topics.enable=false
unclean.leader.election.enable=false
offsets.topic.num.partitions=8
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
"""


def answers(port: int) -> bool:
    """Whether a broker takes requests there: it tells its API versions."""
    request = struct.pack(">hhih7s", API_VERSIONS, 0, 1, 7, b"fanbell")
    return len(ask(port, struct.pack(">i", len(request)) + request)) > 8


def start_brokers(data: Path, ports: Sequence[tuple[int, int]]) -> list[Node]:
    """Start a broker for each (port, controller port), with its data below `data`; made there if there is none."""
    replicas = min(3, len(ports))
    voters = ",".join(f"{i}@127.0.0.1:{controller}" for i, (_, controller) in enumerate(ports, 1))
    name = data / "cluster-id"
    if not name.exists():
        data.mkdir(parents=True, exist_ok=True)
        name.write_text(_cluster_id())
    with ended_unless_well() as nodes:
        for i, (port, controller) in enumerate(ports, 1):
            folder = data / f"broker-{i}"
            folder.mkdir(exist_ok=True)
            properties = folder / "server.properties"
            properties.write_text(
                _PROPERTIES.format(
                    id=i, voters=voters, port=port, controller=controller, data=folder, replicas=replicas,
                    in_sync=max(1, replicas - 1),
                )
            )  # fmt: skip
            if not (folder / "log").exists():
                _format(name.read_text(), properties)
            nodes.append(start_broker(i, port, folder))
    return nodes


def _cluster_id() -> str:
    """16 bytes in base64; none that begins with a dash, which Kafka's own tool takes for an option."""
    while True:
        id_ = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not id_.startswith("-"):
            return id_


def start_broker(number: int, port: int, folder: Path) -> Node:
    """Start the broker whose data is in `folder`, as it was set up."""
    line = [*_java(), "kafka.Kafka", str(folder / "server.properties")]
    return start(f"kafka broker {number}", port, line, folder)


def _format(cluster: str, properties: Path) -> None:
    line = [*_java(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=FORMAT_S, check=False)
    if done.returncode:
        raise NotStarted(f"Kafka's storage could not be made: {(done.stderr or done.stdout).strip()[-300:]}")


def _java() -> list[str]:
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"
    return ["java", f"-Xmx{HEAP_MB}m", "-XX:+UseSerialGC", quiet, "-cp", f"{jars('kafka')}/*"]
