"""Faults at random, from a seed, for some minutes, on servers of its own; then a report: `make chaos MINUTES=N`.

What happens when depends on the machine too; the seed says which faults, in which order, to which processes.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import structlog
from msgspec import Struct, field

from fanbell.infra.local import cluster as local
from fanbell.infra.local.java import Missing
from fanbell.infra.local.process import Node, NotStarted
from tests.cluster.faults.scene import Scene, freeze, ready, scene, thaw, until
from tests.cluster.processes import SESSION_TIMEOUT_S, NeverStarted, Process
from tests.simulation.wrong import Wrong

MINUTES_MAX: Final = 600
ROUND_S: Final = 60.0  # of faults, then all comes to rest and is checked
ZOMBIE_S: Final = SESSION_TIMEOUT_S + 4
AWAY_S: Final = 30.0  # Cassandra, frozen
BREATH_S: Final = 3.0  # at most, between two faults
WORKERS: Final = (1, 4)  # at least, at most
STARTS_MAX: Final = 5
SHOWN_MAX: Final = 20


class Report(Struct):
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    acknowledged: int = 0
    unknown: int = 0
    told: int = 0
    """Notifications that came by sockets"""
    seconds: float = 0.0
    wrong: list[Wrong] = field(default_factory=list)

    def said(self) -> str:
        lines = [
            f"seed {self.seed}: {self.seconds:.0f} s, {self.rounds} rounds, {sum(self.faults.values())} faults"
        ]
        lines += [f"  {fault:<28} {count:>5}" for fault, count in sorted(self.faults.items())]
        lines.append(
            f"activities: {self.acknowledged} acknowledged, {self.unknown} of unknown outcome; "
            f"{self.told} notifications told at sockets"
        )
        lines += [f"  {one.what}: {one.detail}" for one in self.wrong[:SHOWN_MAX]]
        lines.append(f"verdict: {len(self.wrong)} wrong" if self.wrong else "verdict: nothing is wrong")
        return "\n".join(lines)


class Chaos:
    """`FAULTS` done to one scene, one after the other."""

    def __init__(self, servers: local.Cluster, made: Scene, random: Random) -> None:
        self.servers, self.made, self.random = servers, made, random

    async def worker_killed(self) -> None:
        await self.made.kill_worker(self.random.choice(self.made.workers))
        await self._enough()

    async def worker_stopped(self) -> None:
        await self.made.stop_worker(self.random.choice(self.made.workers))
        await self._enough()

    async def worker_added(self) -> None:
        if len(self.made.workers) < WORKERS[1]:
            await self._started(self.made.add_worker)

    async def worker_frozen(self) -> None:
        worker = self.random.choice(self.made.workers)
        freeze(worker)
        try:
            await asyncio.sleep(ZOMBIE_S)
        finally:
            thaw(worker)

    async def edge_killed(self) -> None:
        await self._started(self.made.add_edge)
        await self.made.kill_edge(self.random.choice(self.made.edges))

    async def broker_killed(self) -> None:
        await self._restarted(self.random.choice(self.servers.brokers))

    async def cassandra_killed(self) -> None:
        await self._restarted(self.servers.cassandra)

    async def cassandra_frozen(self) -> None:
        os.kill(self.servers.cassandra.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(AWAY_S)
        finally:
            os.kill(self.servers.cassandra.pid, signal.SIGCONT)

    async def _enough(self) -> None:
        while len(self.made.workers) < WORKERS[0]:
            await self._started(self.made.add_worker)

    async def _started(self, start: Callable[[], Awaitable[Process]]) -> None:
        """A process that cannot start, because servers are only just back, is started again, as a supervisor would."""
        for left in reversed(range(STARTS_MAX)):
            try:
                await start()
            except NeverStarted:
                if not left:
                    raise
            else:
                return

    async def _restarted(self, node: Node) -> None:
        await asyncio.to_thread(node.end, by=signal.SIGKILL)
        await asyncio.sleep(self.random.uniform(0, BREATH_S))
        node.pid = (await asyncio.to_thread(local.restart, node)).pid


Fault = Callable[[Chaos], Awaitable[None]]
FAULTS: Final[dict[str, Fault]] = {
    "worker killed": Chaos.worker_killed,
    "worker stopped": Chaos.worker_stopped,
    "worker added": Chaos.worker_added,
    "worker frozen": Chaos.worker_frozen,
    "edge killed": Chaos.edge_killed,
    "broker killed": Chaos.broker_killed,
    "cassandra killed": Chaos.cassandra_killed,
    "cassandra frozen": Chaos.cassandra_frozen,
}
KINDS: Final = tuple(FAULTS)


async def chaos(
    servers: local.Cluster,
    folder: Path,
    seed: int,
    seconds: float,
    kinds: Sequence[str] = KINDS,
    replicas: int = 1,
) -> Report:
    """So many seconds of faults under load, in rounds that are checked at their end, which takes time of its own.

    The first round that finds anything wrong is the last.
    """
    random, report, began, left_s = Random(seed), Report(seed), time.monotonic(), seconds
    more = {
        "FANBELL_KAFKA_REPLICATION_FACTOR": str(replicas),
        "FANBELL_CASSANDRA_REQUEST_TIMEOUT_MS": "3000",
    }
    while not report.wrong and left_s > 0:
        report.rounds += (
            1  # each an installation of its own, so that the last is checked as fast as the first
        )
        async with scene(servers, folder / f"round-{report.rounds}", more) as made:
            await made.begin(workers=2, edges=2)
            happening = Chaos(servers, made, random)
            async with made.load(random.randrange(1 << 30)):
                end = time.monotonic() + min(ROUND_S, left_s)
                left_s -= ROUND_S
                while time.monotonic() < end:
                    kind = random.choice(kinds)
                    await FAULTS[kind](happening)
                    report.faults[kind] += 1
                    await asyncio.sleep(random.uniform(0, BREATH_S))
            for worker in made.workers:
                await until(lambda worker=worker: ready(worker), "a worker is ready")  # type: ignore[misc]
            report.wrong = await made.checked()
            report.acknowledged += sum(len(people.acknowledged) for people in made.people)
            report.unknown += sum(len(people.unknown) for people in made.people)
            frames = [frame for one in made.listeners for frame in one.frames]
            report.told += sum(frame["type"] == "notification" for frame in frames)
    report.seconds = time.monotonic() - began
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.faults.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help=f"of faults, at most {MINUTES_MAX}")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--brokers", type=int, default=1, choices=local.BROKERS)
    asked = parser.parse_args()
    if not 0 < asked.minutes <= MINUTES_MAX:
        parser.error(f"--minutes must be above 0 and at most {MINUTES_MAX}, not {asked.minutes}")
    for loud in ("aiokafka", "cassandra"):  # servers that go away are the point
        logging.getLogger(loud).setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="fanbell-chaos-") as folder:
        data = Path(folder) / "cluster"
        try:
            servers = local.up(data, asked.brokers, sync="group")
        except (Missing, NotStarted) as error:
            sys.stderr.write(f"chaos: {error}\n")
            return 2
        try:
            report = asyncio.run(
                chaos(servers, Path(folder), asked.seed, asked.minutes * 60, replicas=asked.brokers)
            )
        finally:
            for node in servers.nodes:
                if node.alive:
                    os.kill(node.pid, signal.SIGCONT)
                node.end(by=signal.SIGKILL)
    print(report.said())
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
