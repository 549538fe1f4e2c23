"""Wrong settings end every command that reads them with 2, before anything is made."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from fanbell.infra.cli.exits import Exit
from tests.forked import clean
from tests.infra.conftest import Run
from tests.infra.up_process import END_S, FANBELL

COMMANDS: Final = ("up", "demo", "load", "settings", "doctor", "token")


def line_of(command: str, folder: Path) -> list[str]:
    """A command line that would be right."""
    (folder / "activities.jsonl").touch()
    more = {"load": [str(folder / "activities.jsonl")], "token": ["ana"]}
    return [command, *more.get(command, [])]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prot = 1", "no setting is named 'prot'"),
        ("port = 'x'", "port must be a whole number"),
        ("port = 70000", "port must lie between"),
        ("port = [", "not valid TOML"),
    ],
)
def test_a_bad_settings_file_ends_with_2(
    fanbell: Run, tmp_path: Path, command: str, toml: str, said: str
) -> None:
    """
    An unknown key, a value of the wrong type or out of bounds, or no TOML at all: 2, and what is wrong.
    """
    (tmp_path / "fanbell.toml").write_text(toml)

    ran = fanbell(*line_of(command, tmp_path), "--config", str(tmp_path / "fanbell.toml"))

    assert ran.code == Exit.USAGE
    assert said in ran.err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("variable", ["FANBELL_PROT", "FANBELL_PORT"])
def test_a_bad_variable_ends_with_2(
    fanbell: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, variable: str
) -> None:
    """
    An unknown variable or a bad value of one: 2, and its name.
    """
    monkeypatch.setenv(variable, "x")

    ran = fanbell(*line_of(command, tmp_path))

    assert ran.code == Exit.USAGE
    assert variable in ran.err


@pytest.mark.parametrize(
    ("line", "secret", "said"),
    [
        (["up"], "short", "at least 32 bytes"),
        (["up", "--host", "0.0.0.0"], "", "loopback only"),
        (["up", "--port", "70000"], "", "port must lie between"),
        (["up", "--token-jwks-url", "http://id.example/keys"], "", "must be https"),
        (["up", "--trusted-proxies", "proxy.example"], "", "neither an address nor a network"),
        (["up", "--tls-certfile", "there-is-none.pem"], "", "cannot be read"),
        (["up", "--tls-keyfile", "tls.key"], "", "tls_certfile"),
        (["demo"], "0123456789abcdef0123456789abcdef", "leave the token secret out"),
        (["demo", "--host", "0.0.0.0"], "", "loopback only"),
        (["token", "ana"], "short", "at least 32 bytes"),
    ],
    ids=[
        "secret",
        "host",
        "port",
        "keys",
        "proxies",
        "certificate",
        "key alone",
        "demo's secret",
        "demo's host",
        "token's secret",
    ],
)
def test_what_must_not_start_so_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str], secret: str, said: str
) -> None:
    """
    A secret that is too short, an address that needs one, a port out of bounds: 2, and no folder is made.
    """
    monkeypatch.setenv("FANBELL_TOKEN_SECRET", secret)

    ended = subprocess.run(
        [FANBELL, *line], cwd=tmp_path, capture_output=True, text=True, timeout=END_S, check=False
    )

    assert ended.returncode == Exit.USAGE
    assert said in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "variables", "said"),
    [
        ("api", {}, "cassandra_contact_points is not set"),
        ("edge", {"CASSANDRA_CONTACT_POINTS": "here:there"}, "must be host or host:port, not 'here:there'"),
        (
            "worker",
            {
                "CASSANDRA_CONTACT_POINTS": "127.0.0.1:1",
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_CAFILE": "/none",
            },
            "kafka_ssl_cafile = '/none' cannot be read",
        ),
        ("worker", {"KAFKA_BOOTSTRAP_SERVERS": ""}, "kafka_bootstrap_servers is empty"),
    ],
    ids=["no Cassandra", "no address", "no certificate", "no Kafka"],
)
def test_a_process_of_a_cluster_with_wrong_settings_ends_with_2(
    tmp_path: Path, command: str, variables: dict[str, str], said: str
) -> None:
    """
    What no waiting for Kafka or Cassandra cures is said at once, whether they are there or not.
    """
    environ = clean() | {"FANBELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    environ |= {f"FANBELL_{name}": value for name, value in variables.items()}

    ended = subprocess.run(
        [FANBELL, command, "--data", str(tmp_path), "--start-wait-s", "3600"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=END_S, check=False,
    )  # fmt: skip

    assert ended.returncode == Exit.USAGE
    assert said in ended.stderr
