"""A real Kafka and a real Cassandra for the tests marked `cluster`: one of each, whatever the number of workers.

Each test takes topics and a keyspace of its own names. FANBELL_TEST_CLUSTER names the folder of a cluster that runs
already (`fanbell cluster up --data DIR`), which saves its start while one works on a test.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from fanbell.infra.local import cluster as local
from fanbell.infra.local.java import Missing, check_tools

RUNNING = "FANBELL_TEST_CLUSTER"
JAVA = "JAVA_TOOL_OPTIONS"
SCHEMA_IN_MEMORY = "-Dcassandra.test.flush_local_schema_changes=false"
"""A changed schema is not flushed to disk: half of what making a keyspace costs. Not for a node that a test kills."""


def needed() -> None:
    """Skip, saying why, where there is no Java or Maven; where everything must run (CI) that is a failure."""
    try:
        check_tools()
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@contextmanager
def shared(folder: Path) -> Iterator[local.Cluster]:
    """The cluster in `folder`; the first who comes starts it, the last who leaves ends it."""
    if RUNNING in os.environ:
        running = local.read(Path(os.environ[RUNNING]))
        assert running is not None, f"no cluster was started in {os.environ[RUNNING]}"
        yield running
        return
    needed()
    data = folder / "cluster"
    with _users(folder) as users:
        if not users:
            with patch.dict(os.environ, {JAVA: f"{os.environ.get(JAVA, '')} {SCHEMA_IN_MEMORY}"}):
                local.up(data)
        users.append(os.getpid())
    try:
        found = local.read(data)
        assert found is not None
        yield found
    finally:
        with _users(folder) as users:
            users.remove(os.getpid())
            if not users:
                local.down(data, forget=True)


@contextmanager
def _users(folder: Path) -> Iterator[list[int]]:
    with (folder / "cluster-users").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = [int(line) for line in file.read().split()]
        yield users
        file.seek(0)
        file.truncate()
        file.write("".join(f"{user}\n" for user in users))


def fresh_name(what: str) -> str:
    """A name for topics or a keyspace that no other test has."""
    return f"{what}_{secrets.token_hex(4)}"
