"""`fanbell store`: what it shows, and what it makes."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fanbell.infra.cassandra import cassandra_config
from fanbell.infra.cli import doctor_cluster
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.settings import BadSetting, Settings
from tests import forked
from tests.cluster.keyspaces import config_of
from tests.cluster.servers import fresh_name
from tests.infra.up_process import END_S


def fanbell(*args: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    variables = {f"FANBELL_CASSANDRA_{name.upper()}": value for name, value in settings.items()}
    return forked.run(["store", *args], forked.clean() | variables, END_S)


@pytest.mark.cluster
def test_plan_shows_what_apply_makes(servers: Cluster) -> None:
    """What is missing is shown and nothing made; then it is made, once; after that nothing is missing."""
    at = {"contact_points": servers.contact_points, "keyspace": fresh_name("cli")}

    def said(verb: str) -> Any:
        done = fanbell(verb, "--json", **at)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    missing = said("plan")["missing"]
    assert [one["number"] for one in missing] == [1, 2, 3]
    assert any(f"CREATE TABLE IF NOT EXISTS {at['keyspace']}.inbox" in s for s in missing[0]["statements"])
    assert said("plan")["missing"] == missing
    assert said("apply")["applied"] == missing
    assert said("plan")["missing"] == said("apply")["applied"] == []
    assert "nothing is missing" in fanbell("plan", **at).stdout


@pytest.mark.cluster
def test_other_copies_than_are_set_are_shown(servers: Cluster) -> None:
    """
    A keyspace whose copies are not those of the setting is shown by plan, apply and doctor, and left as it is: rows
    would have to be repaired too.
    """
    at = {"contact_points": servers.contact_points, "keyspace": fresh_name("cli")}

    def left(verb: str, replication: str) -> list[str]:
        done = fanbell(verb, "--json", replication=replication, **at)
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)["left"]
        return found

    assert left("plan", "1") == left("apply", "1") == left("plan", "datacenter1:1") == []
    for replication in ("2", "datacenter1:2", "datacenter1:1,dc2:1"):
        (said,) = left("plan", replication)
        assert "{'datacenter1': 1}" in said
        assert f"cassandra_replication is {replication}" in said
        assert f"ALTER KEYSPACE {at['keyspace']} WITH replication" in said
        assert left("apply", replication) == [said]
    assert said in fanbell("plan", replication=replication, **at).stdout.replace("\n", " ")
    config = config_of(servers, at["keyspace"])
    (_, _, tables) = asyncio.run(doctor_cluster._cassandra(replace(config, replication=replication)))
    assert (tables.verdict, said in tables.seen) == ("bad", True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "cassandra_contact_points"),
        ({"contact_points": "127.0.0.1:9", "keyspace": "a; b"}, "cassandra_keyspace"),
        ({"contact_points": "127.0.0.1:9", "replication": "dc1:many"}, "cassandra_replication"),
    ],
)
def test_what_cannot_be_used_is_said(given: dict[str, str], said: str) -> None:
    """A setting that cannot be used is named, and nobody is asked."""
    done = fanbell("plan", **given)

    assert done.returncode == 2
    assert said in done.stderr


def test_nobody_there_is_said() -> None:
    """Where no Cassandra answers, the message says where, and what to look at."""
    done = fanbell("plan", contact_points="127.0.0.1:9")

    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "cassandra_contact_points" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_setting_reaches_the_connection(tmp_path: Path) -> None:
    """What the settings say is what the connection is made with; the password is shown to nobody."""
    settings = Settings(
        cassandra_contact_points=("a:1", "b"), cassandra_keyspace="k", cassandra_replication="dc1:3,dc2:2",
        cassandra_local_dc="dc1", cassandra_username="u", cassandra_password="p-secret", cassandra_ssl_cafile="ca",
        cassandra_ssl_certfile="cert", cassandra_ssl_keyfile="key", cassandra_tls=True,
        cassandra_request_timeout_ms=700,
    )  # fmt: skip
    config = cassandra_config(settings)

    for name in config.__struct_fields__:
        assert getattr(config, name) == getattr(settings, f"cassandra_{name}")
    assert "p-secret" not in repr(settings) + repr(config)
    with pytest.raises(BadSetting):
        cassandra_config(Settings())
