"""Servers of a benchmark's own, and processes whose CPU is counted."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from fanbell.infra.local import cluster as local

FANBELL: Final = Path(sys.executable).parent / "fanbell"
PARTITIONS: Final = 8
END_S: Final = 30


@contextmanager
def servers() -> Iterator[local.Cluster]:
    """A broker and a Cassandra node, with nothing in them, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="fanbell-bench-") as folder:
        data = Path(folder) / "cluster"
        try:
            yield local.up(data)
        finally:
            local.down(data, forget=True)


def environ_of(made: local.Cluster, prefix: str, **more: str) -> dict[str, str]:
    """The settings of one installation, by name in lower case."""
    found = {key: value for key, value in os.environ.items() if not key.startswith("FANBELL_")}
    settings = {
        "kafka_bootstrap_servers": made.bootstrap,
        "kafka_topic_prefix": f"{prefix}.",
        "kafka_replication_factor": "1",
        "cassandra_contact_points": made.contact_points,
        "cassandra_keyspace": prefix,
        "partitions": str(PARTITIONS),
        "rate_limit_per_address": "0",
    }
    return found | {f"FANBELL_{name.upper()}": value for name, value in (settings | more).items()}


def fanbell(environ: Mapping[str, str], *args: str) -> None:
    """Run a command; it must succeed."""
    subprocess.run([FANBELL, *args], env=dict(environ), check=True, stdout=subprocess.DEVNULL)


class Process:
    """A process under measurement."""

    def __init__(self, line: Sequence[str | Path], environ: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(list(line), env=dict(environ), stdout=out, stderr=out)
        self._watched = psutil.Process(self._process.pid)
        self._log = log

    def said(self, word: str) -> bool:
        """Whether its log has `word`."""
        return word in self._log.read_text()

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        return int(self._watched.memory_info().rss)

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)

    def kill(self) -> None:
        """At once, with no chance to finish anything."""
        self._process.kill()
        self._process.wait(END_S)

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"{self._process.args!r} ended with {code}")


async def make_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Topics of a peer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    finally:
        await admin.close()


class Clock:
    """Seconds on the wall and of some processes' CPU, from `start` on."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    def start(self) -> None:
        self._cpu, self._wall = self._cpu_s(), time.perf_counter()

    def stop(self) -> tuple[float, float]:
        """(wall, CPU)."""
        return time.perf_counter() - self._wall, self._cpu_s() - self._cpu

    def _cpu_s(self) -> float:
        return sum(process.cpu_s() for process in self._processes)
