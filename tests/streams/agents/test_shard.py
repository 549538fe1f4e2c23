"""`streams/agents/shard.py`: what a worker does for a replica by time."""

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from fanbell.schemas.codec import encode
from fanbell.schemas.records import Activity, Rules
from fanbell.schemas.topics import ACTIVITIES
from fanbell.streams.agents import fan_out, forward, held, route, shard
from fanbell.streams.agents.beat import Beat
from fanbell.streams.agents.held import Held
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import FAILURES, Pace, Shard
from fanbell.streams.core.kinds import default_source
from fanbell.streams.core.route import Route
from fanbell.streams.core.slices import Steps
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshot, SnapshotFailed, Snapshots
from fanbell.streams.snapshots_memory import MemorySnapshots
from tests.streams.agents.test_held import until

pytestmark = pytest.mark.anyio
OLD_MS = 1_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def opened(log: MemoryLog, pace: Pace, snapshots: Snapshots | None = None) -> Shard:
    """A shard of stage 1, at its snapshot."""
    kept = MemorySnapshots() if snapshots is None else snapshots
    replica = Replica(ACTIVITIES, 0, log, kept, lambda: Route(0, 1), lambda data: Route.load(0, 1, data))
    made = Shard(replica, log, pace)
    await made.open()
    return made


async def take(made: Shard, log: MemoryLog, count: int) -> None:
    """Append so many old posts, and have them taken and saved."""
    end = await log.end(ACTIVITIES, 0)
    posts = [Activity(f"a{end + i}", "post", "ana", f"p{end + i}") for i in range(count)]
    await log.append(ACTIVITIES, 0, [Entry(encode(post), OLD_MS) for post in posts])
    await made.advance(await made.missing())
    await made.rest(0.0)
    await asyncio.sleep(0)  # the snapshot is kept beside
    await made.rest(0.0)


@pytest.fixture
async def log() -> MemoryLog:
    made = MemoryLog(1)
    await made.append(ACTIVITIES, 0, [Entry(encode(Rules(1, 1, default_source(), 0)), OLD_MS)])
    return made


async def test_old_records_are_forgotten_up_to_the_older_snapshot(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is old goes once two snapshots stand after it, and no sooner."""
    monkeypatch.setattr(shard, "TRIM_EVERY_S", 0.0)
    made = await opened(log, Pace(snapshot_records=1, log_keep_ms=3_600_000))

    await take(made, log, 3)
    assert await log.start(ACTIVITIES, 0) == 0
    older = made.replica.saved
    await take(made, log, 3)
    await made.rest(0.0)

    assert await log.start(ACTIVITIES, 0) == older + 1


class Copies(MemorySnapshots):
    """Finds here what others do not find, and cannot ask those while `away`."""

    away = False

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        if self.away:
            raise SnapshotFailed("nobody answers")
        return []


async def test_what_others_find_no_snapshot_of_is_kept(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is needed from where the snapshots that all share stand, whatever a shard was opened from or saved."""
    monkeypatch.setattr(shard, "TRIM_EVERY_S", 0.0)
    snapshots = Copies()
    made = await opened(log, Pace(snapshot_records=1, log_keep_ms=3_600_000), snapshots)
    for _ in range(3):
        await take(made, log, 3)
    again = await opened(log, Pace(snapshot_records=1, log_keep_ms=3_600_000), snapshots)
    await take(again, log, 3)
    snapshots.away = True
    with capture_logs() as told:
        await again.rest(0.0)

    assert await log.start(ACTIVITIES, 0) == 0
    assert [line["event"] for line in told] == ["log_not_trimmed"]


async def test_everything_is_kept_unless_told_otherwise(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a time to keep it nothing leaves the log."""
    monkeypatch.setattr(shard, "TRIM_EVERY_S", 0.0)
    made = await opened(log, Pace(snapshot_records=1))

    for _ in range(3):
        await take(made, log, 3)

    assert await made.replica.needed() > 0
    assert await log.start(ACTIVITIES, 0) == 0


async def test_what_kafka_forgot_is_committed_anew(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where a group's offset has expired, the next worker commits where it stands though nothing has come: else the whole
    partition would count as not done, and publishers be told that there is too much.
    """
    monkeypatch.setattr(shard, "COMMIT_S", 0.0)
    snapshots = MemorySnapshots()
    made = await opened(log, Pace(snapshot_records=1), snapshots)
    await take(made, log, 3)
    assert await log.committed(made.replica.group, ACTIVITIES, 0) == 4
    log._committed.clear()

    again = await opened(log, Pace(), snapshots)
    await again.rest(0.0)

    assert await log.committed(again.replica.group, ACTIVITIES, 0) == 4


async def test_a_commit_is_repeated_before_it_is_forgotten(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose partition is idle commits again now and then: brokers forget what is not renewed."""
    monkeypatch.setattr(shard, "COMMIT_S", 0.0)
    made = await opened(log, Pace())
    await take(made, log, 3)
    log._committed.clear()

    await made.rest(0.0)
    assert await log.committed(made.replica.group, ACTIVITIES, 0) is None
    monkeypatch.setattr(shard, "COMMIT_AGAIN_S", 0.0)
    await made.rest(0.0)

    assert await log.committed(made.replica.group, ACTIVITIES, 0) == 4


async def test_nothing_is_taken_back_by_a_commit(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a worker reads on from its snapshot to where the one before it ended, that one's commit stands."""
    monkeypatch.setattr(shard, "COMMIT_S", 0.0)
    monkeypatch.setattr(shard, "COMMIT_AGAIN_S", 0.0)
    snapshots = MemorySnapshots()
    made = await opened(log, Pace(snapshot_records=1), snapshots)
    await take(made, log, 3)
    await made.rest(0.0)
    made._pace = Pace()
    await take(made, log, 3)
    assert await log.committed(made.replica.group, ACTIVITIES, 0) == 7

    again = await opened(log, Pace(), snapshots)
    assert again.offset == 3
    await again.rest(0.0)
    await again.advance((await again.missing())[:1])
    await again.rest(0.0)
    assert await log.committed(again.replica.group, ACTIVITIES, 0) == 7

    await take(again, log, 1)
    assert await log.committed(again.replica.group, ACTIVITIES, 0) == 8


class Failing(MemorySnapshots):
    """Saves nothing."""

    tries = 0

    async def save(self, snapshot: Snapshot) -> None:
        self.tries += 1
        raise SnapshotFailed("no room")


async def test_a_snapshot_that_fails_does_not_make_the_one_before_it_younger(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While saving fails, the age that is shown grows, and saving is tried again no sooner than it would be due."""
    now = time.monotonic()
    monkeypatch.setattr(shard.time, "monotonic", lambda: now)
    snapshots = Failing()
    made = await opened(log, Pace(snapshot_s=60.0), snapshots)
    with capture_logs():
        for waited_s in (61.0, 30.0, 31.0):
            now += waited_s
            await take(made, log, 1)

    assert snapshots.tries == 2
    assert made.numbers()["snapshot_age_s"] == pytest.approx(122.0)

    monkeypatch.setattr(Failing, "save", MemorySnapshots.save)
    now += 61.0
    await take(made, log, 1)
    assert made.numbers()["snapshot_age_s"] == 0.0


async def test_a_snapshot_that_failed_is_not_tried_at_once_again(log: MemoryLog) -> None:
    """Due by records, a snapshot that fails is made anew only after as many records again."""
    snapshots = Failing()
    made = await opened(log, Pace(snapshot_records=10, snapshot_s=1e9), snapshots)
    with capture_logs():
        for _ in range(25):
            await take(made, log, 1)

    assert snapshots.tries == 2


async def test_a_rebalance_does_not_wait_for_a_snapshot(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot under way when the partition is to pause is broken off, and made when it goes on, or leaves."""
    snapshots, steps = MemorySnapshots(), 0
    made = await opened(log, Pace(snapshot_records=1), snapshots)
    await made.advance(await made.missing())
    dumping, endless = made.replica.snapshot_steps, True

    def slow() -> Steps[Snapshot | None]:
        nonlocal steps
        while endless:
            steps += 1
            yield
        return (yield from dumping())

    monkeypatch.setattr(made.replica, "snapshot_steps", slow)
    one = Held(
        Stage("test", ACTIVITIES, lambda _: made, lambda *_: None, FAILURES),
        0,
        Beat(0.0),
        *[lambda _: None] * 3,
    )
    await until(lambda: steps > 2)
    async with asyncio.timeout(10):
        await one.pause()
    before = steps
    await asyncio.sleep(0.01)
    assert steps == before
    assert await snapshots.candidates("route", 0) == []

    one.resume()
    await until(lambda: steps > before)
    async with asyncio.timeout(10):
        await one.pause()
    before = steps
    leaving = asyncio.create_task(one.leave())
    await until(lambda: steps > before)
    await one.pause()  # as another rebalance asks for, while it leaves
    endless = False
    await leaving
    await one.drop()

    assert [kept.offset for kept in await snapshots.candidates("route", 0)] == [made.offset]


class Away(MemorySnapshots):
    """Cannot be asked the first three times."""

    asked = 0

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        self.asked += 1
        if self.asked <= 3:
            raise SnapshotFailed("nobody answers")
        return await super().candidates(stage, partition, at_most)


@pytest.mark.parametrize("agent", [route, fan_out, forward])
async def test_snapshots_that_are_away_are_waited_for(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition taken over while Cassandra is away waits for its snapshots, and ends no worker."""
    monkeypatch.setattr(held, "BACKOFF_S", 0.001)
    snapshots, broken = Away(), list[BaseException]()
    stage = agent.stage(MemoryLog(1), snapshots, Pace())
    one = Held(stage, 0, Beat(0.0), lambda _: None, lambda _: None, broken.append)
    with capture_logs() as told:
        async with asyncio.timeout(10):
            await until(lambda: one.open or one.ended)
    await one.drop()

    assert broken == []
    assert snapshots.asked > 3
    assert [line["event"] for line in told if line["log_level"] == "warning"] == ["partition_failing"]
