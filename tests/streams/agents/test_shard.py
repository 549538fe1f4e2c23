"""`streams/agents/shard.py`: what a worker does for a replica by time."""

import asyncio

import pytest

from fanbell.schemas.codec import encode
from fanbell.schemas.records import Activity, Rules
from fanbell.schemas.topics import ACTIVITIES
from fanbell.streams.agents import shard
from fanbell.streams.agents.shard import Pace, Shard
from fanbell.streams.core.kinds import default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots_memory import MemorySnapshots

pytestmark = pytest.mark.anyio
OLD_MS = 1_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def opened(log: MemoryLog, pace: Pace) -> Shard:
    """A shard of stage 1 at the end of the log."""
    replica = Replica(
        ACTIVITIES, 0, log, MemorySnapshots(), lambda: Route(0, 1), lambda data: Route.load(0, 1, data)
    )
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

    assert made.replica.previous == older
    assert await log.start(ACTIVITIES, 0) == older + 1


async def test_everything_is_kept_unless_told_otherwise(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a time to keep it nothing leaves the log."""
    monkeypatch.setattr(shard, "TRIM_EVERY_S", 0.0)
    made = await opened(log, Pace(snapshot_records=1))

    for _ in range(3):
        await take(made, log, 3)

    assert made.replica.previous > 0
    assert await log.start(ACTIVITIES, 0) == 0
