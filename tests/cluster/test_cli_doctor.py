"""`fanbell doctor` on a real Kafka and Cassandra."""

import json
from pathlib import Path
from typing import Any

import pytest

from fanbell.infra.local.cluster import Cluster
from tests import forked
from tests.cluster.processes import Installation, installation
from tests.infra.up_process import END_S

pytestmark = pytest.mark.cluster


def checks(made: Installation, **settings: str) -> dict[str, dict[str, Any]]:
    """By name, what doctor found."""
    environ = made.environ | {f"FANBELL_{name}": value for name, value in settings.items()}
    done = forked.run(["doctor", "--json", "--port", "0", "--data", made.folder], environ, END_S)
    assert done.stdout, done.stderr
    return {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_doctor_tells_what_a_cluster_lacks(servers: Cluster, tmp_path: Path) -> None:
    """
    What was set up is well; topics and tables that are missing, other partitions, and servers that do not answer are
    each told where they are looked at, with what to do.
    """
    with installation(servers, tmp_path) as made:
        well = checks(made)
        assert {name for name, one in well.items() if one["verdict"] == "bad"} == set()
        assert {"Kafka", "topics", "Cassandra", "clock", "tables", "lag"} <= set(well)

        bare = checks(made, KAFKA_TOPIC_PREFIX="nobodys.", CASSANDRA_KEYSPACE="nobodys")
        assert {name for name, one in bare.items() if one["verdict"] == "bad"} == {"topics", "tables"}
        assert "topics apply" in bare["topics"]["hint"]
        assert "store apply" in bare["tables"]["hint"]

        other = checks(made, PARTITIONS="3", CASSANDRA_CONTACT_POINTS="127.0.0.1:1")
        assert {name for name, one in other.items() if one["verdict"] == "bad"} == {"topics", "Cassandra"}
        assert "4 partitions, not 3" in other["topics"]["seen"]

        away = checks(made, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", KAFKA_REQUEST_TIMEOUT_MS="1000")
        assert {name for name, one in away.items() if one["verdict"] == "bad"} == {"Kafka"}


def test_doctor_tells_who_is_behind(servers: Cluster, tmp_path: Path) -> None:
    """
    Where no worker runs, what is published waits, and doctor says at which stage.
    """
    with installation(servers, tmp_path) as made:
        api = made.start("api", "--port", "0")
        lines = "".join(
            json.dumps({"id": f"a{n}", "kind": "post", "actor": "ana", "object": f"post-{n}"}) + "\n"
            for n in range(20)
        )
        (tmp_path / "posts.jsonl").write_text(lines)
        made.fanbell("publish", str(tmp_path / "posts.jsonl"), "--url", api.told["http"])

        assert checks(made)["lag"]["verdict"] == "ok"
        found = checks(made, READY_LAG_MAX="1")["lag"]
        assert found["verdict"] == "bad"
        assert "route[" in found["seen"]
