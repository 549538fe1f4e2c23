"""A worker in this process, on a real broker: what comes in, what goes out, and how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fanbell.infra.local.cluster import Cluster
from fanbell.projections.agents import project_inbox
from fanbell.projections.store import Store
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Command, Tick, Update
from fanbell.schemas.topics import ACTIVITIES, CHANGES, DEAD, NOTICES, ROUTED
from fanbell.streams.agents import fan_out, forward, held, route
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import Pace
from fanbell.streams.agents.worker import PAUSE_S, Membership, Worker
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fold import UnknownRules
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log import Entry, Log
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.snapshots_memory import MemorySnapshots
from tests.cluster import town
from tests.cluster.kafka import Logs
from tests.cluster.worker_process import SESSION_S, until, until_true

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

PARTITIONS = 4
END_S = 30.0  # by then all is heard, or never


def stages(log: Log, snapshots: MemorySnapshots, pace: Pace = Pace()) -> list[Stage]:  # noqa: B008 - it is frozen
    return [agent.stage(log, snapshots, pace) for agent in (route, fan_out, forward)]


@asynccontextmanager
async def working(config: KafkaConfig, what: Sequence[Stage], folder: Path) -> AsyncIterator[Worker]:
    """A worker that has its partitions; stopped in good order on leaving."""
    worker = Worker(config, what, Membership(session_timeout_s=SESSION_S, data=str(folder)))
    running = asyncio.create_task(worker.run())
    try:
        await until(lambda: worker.ready or running.done(), END_S, "the worker is ready")
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, END_S)


@pytest.fixture
async def logs(servers: Cluster) -> AsyncIterator[Logs]:
    async with Logs(servers, PARTITIONS) as logs:
        yield logs


async def test_a_worker_tells_what_one_process_tells(logs: Logs, tmp_path: Path) -> None:
    """
    Whoever is told of something by one process in memory is told of it by the agents, once, and nobody else is.
    """
    random = Random(1)
    follows, doings = town.follows(random), town.doings(random, 300)
    log = await logs.open()
    await town.put_rules(log)
    await town.follow(log, follows)

    async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path):
        for first in range(0, len(doings), 50):  # most of it while it runs: what Faust hands over counts
            await town.publish(log, doings[first : first + 50])
        wanted = town.expected(follows, doings)
        found = await town.until_heard(log, wanted, END_S)

    assert found == wanted
    assert sum(map(len, wanted.values())) > 500


async def test_what_is_published_is_handed_over(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Batches come by Faust's consumer, and not only by looking into the log now and then.
    """
    monkeypatch.setattr(held, "LOOK_S", 1e9)
    log = await logs.open()
    await town.put_rules(log)
    async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path):
        for number in range(5):
            await town.publish(
                log, [Activity(f"a{number}", "mention", "ana", f"post{number}", mentions=["bo"])]
            )
            wanted = {"bo": {(f"a{n}", "mention") for n in range(number + 1)}}

            assert await town.until_heard(log, wanted, END_S) == wanted


async def test_changes_of_other_producers_are_in_force(logs: Logs, tmp_path: Path) -> None:
    """
    A follow that a producer put into `changes` makes its user hear; what is no change lies in `dead`.
    """
    log = await logs.open()
    await town.put_rules(log)
    async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path):
        change = Change("c1", "follow", "bo", object="dan")
        stray = Entry(encode(Tick(town.START_MS)), town.START_MS)
        await log.append(CHANGES, 1, [stray, Entry(encode(change), town.START_MS)])
        # By their origins: a worker whose append failed, as on a busy machine, puts out all of them again.
        await until_true(lambda: forwarded(log, len(placed(change, PARTITIONS))), "the change is in routed")
        await town.publish(log, [Activity("a1", "post", "dan", "post1")])
        wanted = {"bo": {("a1", "post")}, "dan": {("1 of follow None", "group")}}
        found = await town.until_heard(log, wanted, END_S)
        letters = [decode(record.value) for record in await town.read_all(log, DEAD, 0)]

    assert found == wanted
    assert {(one.topic, one.offset, one.reason) for one in letters} == {(CHANGES, 0, "misplaced")}


async def forwarded(log: Log, wanted: int) -> bool:
    """Whether `routed` has so many different commands."""
    found = [one for p in range(log.partitions) for one in await town.read_all(log, ROUTED, p)]
    commands = [one for record in found if isinstance(one := decode(record.value), Command)]
    return len({(one.source, one.n, one.index) for one in commands}) >= wanted


async def count(log: Log, topic: str, cls: type) -> int:
    """How many records of `topic` are of `cls`."""
    records = [await town.read_all(log, topic, partition) for partition in range(log.partitions)]
    return sum(type(decode(record.value)) is cls for some in records for record in some)


async def until_count(log: Log, topic: str, cls: type, wanted: int) -> None:
    async def enough() -> bool:
        return await count(log, topic, cls) >= wanted

    await until_true(enough, f"{wanted} of {cls.__name__} in {topic}")


async def projected(store: Store, ends: dict[int, int]) -> bool:
    """Whether the store has all of `notices` up to `ends`."""
    positions = await store.positions()
    return all(positions.get(partition, -1) + 1 >= end for partition, end in ends.items())


async def test_time_passes_where_something_waits_for_it(logs: Logs, tmp_path: Path) -> None:
    """
    An idle partition whose fold waits for time gets ticks until nothing waits: a group's held back update goes out.
    """
    log = await logs.open()
    await town.put_rules(log)
    likes = [Activity(f"l{n}", "like", f"fan{n}", "post", owner="ana") for n in range(3)]
    async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path):
        now_ms = int(time.time() * 1000)
        partition = partition_of("post", PARTITIONS)
        await log.append(ACTIVITIES, partition, [Entry(encode(like), now_ms) for like in likes])
        await until_count(log, NOTICES, Update, 2)
        ticks = await count(log, ROUTED, Tick)

    updates = [
        decode(record.value) for record in await town.read_all(log, NOTICES, partition_of("ana", PARTITIONS))
    ]
    assert [update.count for update in updates if type(update) is Update] == [1, 3]
    assert ticks == 1


async def test_inboxes_are_brought_up(logs: Logs, tmp_path: Path) -> None:
    """
    With the projection among its stages, what a worker tells stands in the store, up to the end of `notices`.
    """
    random = Random(2)
    doings = town.doings(random, 100)
    log, store = await logs.open(), MemoryStore()
    await town.put_rules(log)
    inbox = Stage(
        "project_inbox",
        NOTICES,
        lambda partition: project_inbox.Inboxes(partition, log, store),
        project_inbox.attach,
        project_inbox.FAILURES,
    )
    async with working(logs.config(), [*stages(log, MemorySnapshots()), inbox], tmp_path):
        await town.publish(log, doings)
        wanted = town.expected([], doings)
        await town.until_heard(log, wanted, END_S)
        ends = {p: await log.end(NOTICES, p) for p in range(PARTITIONS)}
        await until_true(lambda: projected(store, ends), "all is projected")

    for user, told in wanted.items():
        assert len(await store.rows(user)) == len(told), "a row for each, and one for each group"


async def test_a_worker_that_is_stopped_leaves_all_in_order(logs: Logs, tmp_path: Path) -> None:
    """
    Told to stop, a worker saves and commits what it did: who takes over folds nothing again.
    """
    doings = town.doings(Random(3), 100)
    log, snapshots = await logs.open(), MemorySnapshots()
    await town.put_rules(log)
    never = Pace(snapshot_s=1e9)
    async with working(logs.config(), stages(log, snapshots, never), tmp_path):
        await town.publish(log, doings)
        await town.until_heard(log, town.expected([], doings), END_S)

    group = logs.config().topic(Membership().group)
    for topic, stage in ((ACTIVITIES, "route"), (ROUTED, "fan_out")):
        for partition in range(PARTITIONS):
            end = await log.end(topic, partition)
            assert (await snapshots.candidates(stage, partition))[0].offset == end - 1
            assert await log.committed(group, topic, partition) == end


async def test_what_cannot_be_gone_on_with_ends_the_worker(logs: Logs, tmp_path: Path) -> None:
    """
    A shard without the rules ends its worker by saying so, and what it did not do is not committed.
    """
    log = await logs.open()
    await town.publish(log, [Activity("a1", "mention", "ana", "post1", mentions=["bo"])])
    worker = Worker(
        logs.config(),
        stages(log, MemorySnapshots()),
        Membership(session_timeout_s=SESSION_S, data=str(tmp_path)),
    )

    with pytest.raises(UnknownRules, match="no rules have entered this partition"):
        await asyncio.wait_for(worker.run(), END_S)

    partition = partition_of("post1", PARTITIONS)
    assert not await log.committed(logs.config().topic(Membership().group), ACTIVITIES, partition)


class GatedLog:
    """The log of one worker, whose appends to `notices` wait at a gate."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append_all(self, batches: Sequence[tuple[str, int, Sequence[Entry]]]) -> list[int]:
        if any(topic == NOTICES for topic, _, _ in batches):
            self.waiting += 1
            try:
                await self.gate.wait()
            finally:
                self.waiting -= 1
        return await self._log.append_all(batches)


@pytest.mark.parametrize("gone_s", [0.5, PAUSE_S + 2])
async def test_partitions_are_taken_away_while_a_batch_runs(
    logs: Logs, tmp_path: Path, gone_s: float
) -> None:
    """
    A batch under way at a rebalance is finished first, or cut off after a bound: nothing is lost or told twice.
    """
    random = Random(4)
    follows, doings = town.follows(random), town.doings(random, 200)
    log = await logs.open()
    gated: Any = GatedLog(log)
    await town.put_rules(log)
    await town.follow(log, follows)
    wanted = town.expected(follows, doings)
    async with working(logs.config(), stages(gated, MemorySnapshots()), tmp_path / "first") as first:
        gated.gate.clear()
        await town.publish(log, doings)
        await until(lambda: gated.waiting > 0, END_S, "a batch is under way")
        opening = asyncio.get_running_loop().call_later(gone_s, gated.gate.set)
        rebalances = first.rebalances
        async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path / "second") as second:
            found = await town.until_heard(log, wanted, END_S)
            shares = [set(worker.numbers()) for worker in (first, second)]
        opening.cancel()

    assert found == wanted
    assert first.rebalances > rebalances
    assert all(shares), "both have some"
    assert not shares[0] & shares[1]


async def test_what_a_zombie_writes_changes_nothing(logs: Logs, tmp_path: Path) -> None:
    """
    Who folds on without owning a partition any more writes the same again, and readers drop it.
    """
    doings = town.doings(Random(8), 100)
    log = await logs.open()
    await town.put_rules(log)
    zombies = [
        stage.make(partition) for stage in stages(log, MemorySnapshots()) for partition in range(PARTITIONS)
    ]
    for zombie in zombies:
        await zombie.open()
    wanted = town.expected([], doings)
    async with working(logs.config(), stages(log, MemorySnapshots()), tmp_path):
        await town.publish(log, doings)
        assert await town.until_heard(log, wanted, END_S) == wanted
        before = {
            (topic, p): await log.end(topic, p) for topic in (ROUTED, NOTICES) for p in range(PARTITIONS)
        }
        for zombie in zombies:
            while records := await zombie.missing():
                await zombie.advance(records)
        after = {place: await log.end(*place) for place in before}
        await town.publish(log, town.doings(Random(9), 20, first=100))
        final = town.expected([], [*doings, *town.doings(Random(9), 20, first=100)])

        assert await town.until_heard(log, final, END_S) == final

    assert all(after[place] > before[place] for place in before), "they did write"
