"""Workers that are killed, frozen and added while people go on: what `notices` tells is what one process tells."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.records import Activity
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Log
from tests.cluster import town
from tests.cluster.kafka import Logs
from tests.cluster.worker_process import SESSION_S, WorkerProcess, until, worker_process

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

PARTITIONS = 4
END_S = 60.0  # a session timeout, a rebalance, and reading on
BATCH = 20
EVERYTHING = {(stage, number) for stage in ("route", "fan_out", "forward") for number in range(PARTITIONS)}


async def go_on(log: Log, doings: Sequence[Activity]) -> None:
    """Publish for some seconds, a few at a time."""
    for first in range(0, len(doings), BATCH):
        await town.publish(log, doings[first : first + BATCH])
        await asyncio.sleep(0.1)  # a load, not a wait


async def all_held(workers: Sequence[WorkerProcess]) -> None:
    """Until each has some partitions open, and all are open somewhere."""

    def held() -> bool:
        shares = [worker.held for worker in workers]
        return all(shares) and set.union(*shares) == EVERYTHING and sum(map(len, shares)) == len(EVERYTHING)

    await until(held, END_S, "all partitions are open")


class Town:
    """Rules and follows are in; `workers` started by `start` end with the block."""

    def __init__(self, logs: Logs, folder: Path, seed: int, doings: int) -> None:
        random = Random(seed)
        self.logs, self.folder = logs, folder
        self.follows, self.doings = town.follows(random), town.doings(random, doings)
        self._started = ExitStack()
        self.wanted = town.expected(self.follows, self.doings)

    async def __aenter__(self) -> "Town":
        self.log = await self.logs.open()
        await town.put_rules(self.log)
        await town.follow(self.log, self.follows)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._started.close()

    def start(self, name: str) -> WorkerProcess:
        config = self.logs.config()
        return self._started.enter_context(
            worker_process(self.logs.port, config.topic_prefix, self.folder / name)
        )


async def test_workers_killed_and_added_under_load(servers: Cluster, tmp_path: Path) -> None:
    """
    With one of two workers killed and another added, nothing is lost, told twice, unwanted or out of order.
    """
    async with Logs(servers, PARTITIONS) as logs, Town(logs, tmp_path, 5, 1_600) as people:
        first, second = people.start("first"), people.start("second")
        await all_held([first, second])
        loading = asyncio.create_task(go_on(people.log, people.doings))
        await asyncio.sleep(1)  # into the load
        first.end(signal.SIGKILL)
        third = people.start("third")
        await all_held([second, third])
        await loading

        found = await town.until_heard(people.log, people.wanted, END_S)

        assert found == people.wanted
        assert [worker.end() for worker in (second, third)] == [0, 0]


async def test_a_frozen_worker_comes_back_too_late(servers: Cluster, tmp_path: Path) -> None:
    """
    What a worker was frozen at is done by another meanwhile; what it writes when it wakes up changes nothing.
    """
    async with Logs(servers, PARTITIONS) as logs, Town(logs, tmp_path, 6, 800) as people:
        log, half = people.log, len(people.doings) // 2
        frozen, other = people.start("frozen"), people.start("other")
        await all_held([frozen, other])
        its = {number for stage, number in frozen.held if stage == "fan_out"}
        loading = asyncio.create_task(go_on(log, people.doings[:half]))
        await asyncio.sleep(0.5)  # into the load
        frozen.send(signal.SIGSTOP)
        stood = {number: await log.end(NOTICES, number) for number in its}
        await loading
        soon = town.expected(people.follows, people.doings[:half])

        meanwhile = await town.until_heard(log, soon, SESSION_S + END_S)
        written = [number for number in its if await log.end(NOTICES, number) > stood[number]]
        assert its, "it held some partitions"
        assert sorted(written) == sorted(its), "the other wrote to all of them"
        assert meanwhile == soon

        frozen.send(signal.SIGCONT)
        await go_on(log, people.doings[half:])
        found = await town.until_heard(log, people.wanted, END_S)
        assert found == people.wanted
        await all_held([frozen, other])
        assert await town.heard(log) == people.wanted
        assert [worker.end() for worker in (frozen, other)] == [0, 0]
