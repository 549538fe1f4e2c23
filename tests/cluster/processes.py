"""The processes of a cluster, each of its own, over topics and a keyspace that no other test has."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from unittest.mock import patch

from fanbell.infra import cli
from fanbell.infra.cli.exits import Exit
from fanbell.infra.local.cluster import Cluster
from tests import forked
from tests.cluster.servers import fresh_name
from tests.forked import Forked
from tests.infra.up_process import END_S, FANBELL

SESSION_TIMEOUT_S: Final = 6


class NeverStarted(AssertionError):
    """A process ended before it listened; what it logged."""


@dataclass
class Process:
    """One process, and what it said when it listened."""

    process: "Forked | subprocess.Popen[bytes]"
    told: dict[str, Any]

    def kill(self) -> None:
        """At once, with no chance to finish anything."""
        self.process.kill()
        self.process.wait(END_S)

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)


@dataclass
class Installation:
    """Settings that all processes share, and the processes that run."""

    folder: Path
    environ: dict[str, str]
    stack: ExitStack
    started: int = field(default=0)

    def fanbell(self, *args: str) -> str:
        """Run a command; what it says. It must succeed."""
        done = forked.run(args, self.environ, END_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *args: str, module: Sequence[str] = (forked.FANBELL,), anew: bool = False) -> Process:
        """Start a process that says in JSON where it is; ended, by force, when the block ends.

        `module`: what is run in place of `fanbell`, and told the same. `anew`: by the installed command, not forked.
        """
        self.started += 1
        name = f"{args[0]}-{self.started}"
        log = self.folder / f"{name}.log"
        more = [*args, "--json", "--data", str(self.folder / name)]
        process: Forked | subprocess.Popen[bytes]
        if anew:
            with log.open("wb") as err:
                process = subprocess.Popen(
                    [FANBELL, *more], env=self.environ, stdout=subprocess.PIPE, stderr=err
                )
        else:
            process = Forked([*module, *more], self.environ, log)
        self.stack.callback(forked.killed, process)
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise NeverStarted(log.read_text())
        return Process(process, json.loads(said))


@contextmanager
def installation(
    servers: Cluster,
    folder: Path,
    partitions: int = 4,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Installation]:
    """Topics and tables made by the commands that make them. `more`: variables beside, or in place of, the usual."""
    name = fresh_name("t")
    environ = forked.clean() | {
        "FANBELL_KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap,
        "FANBELL_KAFKA_TOPIC_PREFIX": f"{name}.",
        "FANBELL_KAFKA_REPLICATION_FACTOR": "1",
        "FANBELL_KAFKA_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
        "FANBELL_CASSANDRA_CONTACT_POINTS": servers.contact_points,
        "FANBELL_CASSANDRA_KEYSPACE": name,
        "FANBELL_PARTITIONS": str(partitions),
        "FANBELL_INBOX_KEEP": "10000",
        "FANBELL_RATE_LIMIT_PER_ADDRESS": "0",
        **more,
    }
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as apart:  # a command has an event loop of its own
            apart.submit(_apply, environ).result()
        yield Installation(folder, environ, stack)


def _apply(environ: Mapping[str, str]) -> None:
    """In this process, since half of the CPU of one of its own would go into imports."""
    with patch.dict(os.environ, environ, clear=True):
        for what in ("topics", "store"):
            assert cli.run([what, "apply"]) == Exit.OK, what
