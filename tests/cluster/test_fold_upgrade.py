"""A newer version of the fold comes into force on a real broker, under load, while workers are replaced."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from fanbell.infra.cli.exits import Exit
from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Activity, Notice, Rules
from fanbell.schemas.topics import NOTICES, ROUTED, RULES
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log import Log
from fanbell.streams.rules import RulesKeeper
from tests.cluster import town
from tests.cluster.kafka import Logs
from tests.cluster.worker_process import END_S, WorkerProcess, until, until_true, worker_process
from tests.streams.two_folds import FIRST, SECOND, two_known

pytestmark = [pytest.mark.cluster, pytest.mark.anyio, pytest.mark.long]

PARTITIONS: Final = 3  # so that each of three workers gets one
NEWER: Final = "tests.cluster.newer_code"
ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
async def logs(servers: Cluster) -> AsyncIterator[Logs]:
    async with Logs(servers, PARTITIONS) as logs:
        yield logs


@asynccontextmanager
async def load(log: Log, random: Random) -> AsyncIterator[list[Activity]]:
    """Some fifty activities a second until the block ends; those that were acknowledged."""
    published: list[Activity] = []

    async def publish() -> None:
        while True:
            some = town.doings(random, 10, first=len(published))
            await town.publish(log, some)
            published.extend(some)
            await asyncio.sleep(0.2)  # a load, not a wait

    publishing = asyncio.create_task(publish())
    yield published
    publishing.cancel()
    with suppress(asyncio.CancelledError):
        await publishing


async def fold_of_newer_code(config: KafkaConfig, verb: str) -> tuple[int, dict[str, Any]]:
    """`fanbell fold VERB` by newer code: its exit code, and what it said."""
    environ = os.environ | {
        "FANBELL_KAFKA_BOOTSTRAP_SERVERS": config.servers,
        "FANBELL_KAFKA_TOPIC_PREFIX": config.topic_prefix,
        "FANBELL_PARTITIONS": str(PARTITIONS),
    }
    line = [sys.executable, "-m", NEWER, "fanbell", "fold", verb, "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        line,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert done.returncode in (Exit.OK, Exit.REFUSED), done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def by_first(told: town.Told) -> town.Told:
    """What was told, whichever version of the fold said why."""
    return {
        who: {(what, FIRST if reason == SECOND else reason) for what, reason in heard}
        for who, heard in told.items()
    }


async def work_is_done_by(*workers: WorkerProcess) -> None:
    await until(lambda: all(one.state["ready"] and one.held for one in workers), END_S, "all have partitions")


async def more(published: list[Activity]) -> None:
    """Until another hundred activities were published."""
    wanted = len(published) + 100
    await until(lambda: len(published) >= wanted, END_S, "the load goes on")


async def test_workers_are_replaced_under_load(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A newer fold is refused while a worker of old code lives, then enters each partition at one record: nothing is lost
    or told twice, what was told before stays as it was in a replay, and a worker of old code stops instead of folding.
    """
    log, config = await logs.open(), logs.config()
    await RulesKeeper(log).open()
    random = Random(21)
    follows = town.follows(random)
    await town.follow(log, follows)

    with ExitStack() as stack:

        def start(name: str, anew: str = "") -> WorkerProcess:
            made = worker_process(logs.port, config.topic_prefix, tmp_path / name, anew)
            return stack.enter_context(made)

        async with load(log, random) as published:
            old = [start("old1"), start("old2")]
            await work_is_done_by(*old)
            await more(published)
            newer = [start("newer1", NEWER)]
            await work_is_done_by(*old, *newer)
            await more(published)

            code, found = await fold_of_newer_code(config, "plan")
            assert (code, found["in_force"], found["newest"], found["refused"]) == (Exit.REFUSED, 1, 2, True)
            assert sorted((one["oldest"], one["newest"]) for one in found["workers"]) == [
                (1, 1),
                (1, 1),
                (1, 2),
            ]
            code, found = await fold_of_newer_code(config, "apply")
            assert code == Exit.REFUSED
            assert "2 of 3 workers cannot run version 2" in found["said"]
            assert await log.end(RULES, 0) == 1

            newer.append(start("newer2", NEWER))
            for one in old:
                assert await asyncio.to_thread(one.end) == 0
            await work_is_done_by(*newer)
            await more(published)
            assert await fold_of_newer_code(config, "apply") == (Exit.OK, {"applied": True, "in_force": 2})
            await more(published)

            late = start("late")
            await until(lambda: late.process.poll() is not None, END_S, "old code stops")
            assert "this worker can run 1 at most: upgrade it" in (tmp_path / "late" / "log").read_text()
            await more(published)

        wanted = town.expected(follows, published)

        async def all_heard() -> bool:
            return by_first(await town.heard(log)) == wanted

        await until_true(all_heard, "what is told is what one process tells", END_S)
        assert [one.process.poll() for one in newer] == [None, None]

    two_known(monkeypatch.setattr)
    for partition in range(PARTITIONS):
        await check_switch(log, partition)


async def check_switch(log: Log, partition: int) -> None:
    """All before one record is by the first version, all after it by the second; a replay puts out the same bytes."""
    routed = await town.read_all(log, ROUTED, partition)
    (at,) = [r.offset for r in routed if isinstance(one := decode(r.value), Rules) and one.fold_version == 2]
    told = {}
    for record in await town.read_all(log, NOTICES, partition):
        one = decode(record.value)
        told.setdefault((one.n, one.index), (one, record.value))
    reasons = [(one.n > at, one.reason) for one, _ in told.values() if isinstance(one, Notice)]
    assert {FIRST, SECOND} & {reason for after, reason in reasons if not after} == {FIRST}
    assert {FIRST, SECOND} & {reason for after, reason in reasons if after} == {SECOND}

    again = FanOut(partition)
    assert [value for _, value in told.values()] == [
        output.value for record in routed for output in again.step(record) if output.topic == NOTICES
    ]
