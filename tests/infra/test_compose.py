"""infra/compose: valid, and true to the settings and files that it names. No engine is needed.

compose/compose_spec.json is the JSON schema of the Compose Specification as Docker Compose 1.29.2 carries it
(Apache-2.0, unchanged). `name` at the top came after it.
"""

import copy
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from docs.generate import commands
from fanbell.edge.auth import UnsafeBind, check_bind
from fanbell.infra.settings import BadSetting, Settings, load
from fanbell.streams.agents.worker import LEAVE_S, REBALANCE_S

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "infra" / "compose"
SCHEMA: Final = json.loads((Path(__file__).parent / "compose" / "compose_spec.json").read_text())
SCHEMA["properties"]["name"] = {"type": "string"}
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = [name for name, service in SERVICES.items() if service["image"] == "fanbell"]
VERBS: Final = dict(commands())
OPERATING: Final = ROOT / "docs" / "operating.md"
SECRET: Final = "x" * 32


def environment(service: str) -> dict[str, str]:
    """Variables as a container gets them, with the secret that compose asks for."""
    given = SERVICES[service]["environment"]
    return {
        name: re.sub(r"^\$\{FANBELL_TOKEN_SECRET:\?.+\}$", SECRET, value) for name, value in given.items()
    }


def settings(service: str) -> Settings:
    return load({}, environment(service))


def faults(composed: Any) -> list[str]:
    return [error.message for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(composed)]


def test_the_file_is_valid() -> None:
    """
    compose.yaml follows the Compose Specification.
    """
    assert faults(COMPOSE) == []


def test_a_misspelt_key_would_be_noticed() -> None:
    """
    The schema refuses keys that it does not know, and values of another type.
    """
    misspelt, mistyped = copy.deepcopy(COMPOSE), copy.deepcopy(COMPOSE)
    misspelt["services"]["kafka"]["imge"] = "apache/kafka"
    mistyped["services"]["api"]["healthcheck"]["retries"] = []

    assert faults(misspelt)
    assert faults(mistyped)


def test_there_is_all_that_a_cluster_needs() -> None:
    """
    Kafka, Cassandra, a setup that runs once, and the three sorts of processes.
    """
    assert set(SERVICES) == {"kafka", "cassandra", "setup", "worker", "api", "edge"}
    assert set(OURS) == {"setup", "worker", "api", "edge"}


def test_images_are_of_one_version() -> None:
    """
    Every image that is fetched names its version.
    """
    fetched = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    fetched += re.findall(r"^FROM (\S+)", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)

    assert len(fetched) == 4
    assert [image for image in fetched if not re.search(r":\d+\.\d", image)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_who_is_waited_for_can_be(name: str) -> None:
    """
    A service that must be healthy has a healthcheck, and one that must have ended does end.
    """
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "on-failure"  # not for ever, as one that serves


def test_a_worker_is_not_killed_while_it_leaves() -> None:
    """
    What a worker may take to join, save and leave is within what a container, and the docs, give it.
    """
    joining_s = max(REBALANCE_S, settings("worker").kafka_session_timeout_s)  # a signal waits for that to end
    most_s = int(joining_s + 2 * LEAVE_S)

    assert most_s <= int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert f"SIGKILL after {SERVICES['worker']['stop_grace_period'][:-1]} s" in OPERATING.read_text()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    """
    What the containers are told is read by the settings, whose value it then is.
    """
    found = settings(name)

    assert found.token_secret == SECRET
    for host in (*found.kafka_bootstrap_servers, *found.cassandra_contact_points):
        assert host.partition(":")[0] in SERVICES
    with pytest.raises(BadSetting):
        load({}, environment(name) | {"FANBELL_KAFKA_BOOTSTRAP_SERVER": "kafka:9092"})


def test_nobody_is_let_in_without_a_secret() -> None:
    """
    The API listens to everybody in its network, so compose demands a secret.
    """
    found = settings("api")

    check_bind(found.host, found.secrets)
    with pytest.raises(UnsafeBind):
        check_bind(found.host, ())


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    """
    What a container runs is a command of ours, and makes sense.
    """
    service = SERVICES[name]
    line = service["command"][0] if "entrypoint" in service else shlex.join(["fanbell", *service["command"]])
    for part in line.split(" && "):
        words = shlex.split(part)
        verb = max((verb for verb in VERBS if " ".join(words[1:]).startswith(verb)), key=len)
        VERBS[verb].make_context(verb, words[1 + len(verb.split()) :])


def test_ports_are_those_that_are_listened_on() -> None:
    """
    Published ports, on loopback alone, and healthchecks name the ports of the settings.
    """
    found = settings("api")

    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{found.port}:{found.port}"]
    assert SERVICES["edge"]["ports"] == [f"127.0.0.1:{found.edge_port}:{found.edge_port}"]
    for name, port in (("worker", found.health_port), ("api", found.port), ("edge", found.port)):
        (told,) = re.findall(r"127\.0\.0\.1:(\d+)/", SERVICES[name]["healthcheck"]["test"][-1])
        assert int(told) == port


def test_what_is_kept_is_kept_in_volumes() -> None:
    """
    Every volume that a service mounts is declared.
    """
    mounted = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())
    }

    assert mounted == set(COMPOSE["volumes"]) == {"kafka", "cassandra"}


def copied() -> set[str]:
    """What the Dockerfile takes from this project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    return {word for line in lines for word in line.split()[:-1]}


def test_the_image_takes_what_there_is_and_all_that_is_needed() -> None:
    """
    The Dockerfile copies only what exists: the package's links and all folders that they lead to, and the lock.
    """
    links = {
        os.readlink(link).removeprefix("../") for link in (ROOT / "fanbell").iterdir() if link.is_symlink()
    }
    needed = {"fanbell", "pyproject.toml", "setup.py", "README.md", "LICENSE", "requirements.lock"}

    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert copied() == links | needed


def test_the_image_gets_to_see_nothing_else() -> None:
    """
    What is not copied is not even sent to the builder.
    """
    first, *rest = (FOLDER / "Dockerfile.dockerignore").read_text().split()

    assert first == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == copied()


def test_the_image_runs_fanbell_and_not_as_root() -> None:
    """
    The container's process is fanbell itself, which hears signals, under a user of its own.
    """
    last = (FOLDER / "Dockerfile").read_text().rpartition("FROM ")[2]

    assert re.search(r"^USER fanbell$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["fanbell"\]$', last, re.MULTILINE)
    assert settings("worker").data.as_posix() in last
