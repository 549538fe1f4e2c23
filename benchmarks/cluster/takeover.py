"""How long does a partition, or a worker, take to come back?

A partition with 1 M follows is opened from a snapshot in Cassandra, on a machine that has no copy; asked: at most 5 s.
Then slashdot-zoo's follows are loaded by one worker with a session timeout of 6 s. It is told to stop and started
again, then killed and started again, timed until the first notice of what is published then. Asked: 10 s from the
start; from the kill, the session timeout and 10 s.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks import data
from benchmarks.cluster.servers import FANBELL, PARTITIONS, Process, environ_of, fanbell, servers
from benchmarks.harness import Stopwatch, asked, hash_of, report, say, skip
from benchmarks.workload import quiet_source
from fanbell.infra.cassandra import cassandra_config
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.settings import load
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity
from fanbell.schemas.topics import NOTICES, ROUTED
from fanbell.streams.agents import fan_out
from fanbell.streams.agents.shard import Pace
from fanbell.streams.cassandra import Cassandra, connect
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.publish import batches_of_activities, batches_of_changes
from fanbell.streams.rules import RulesKeeper
from fanbell.streams.snapshots import Snapshot
from fanbell.streams.snapshots_cassandra import CassandraSnapshots
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.snapshots_shared import SharedSnapshots

QUESTION: Final = "takeover: a partition with 1 M follows, a worker with slashdot-zoo"
SESSION_S: Final = 6
LIMIT_S: Final = 600.0
EACH_FOLLOWS: Final = 5


async def opened(log: KafkaLog, cassandra: Cassandra, folder: Path, follows: int) -> dict[str, Any]:
    """A partition is opened by a machine that has nothing of it."""
    shard = FanOut(0)
    records = await log.read(ROUTED, 0, 0, 1)  # the rules: a state must stand at a record of this log
    shard.step(records[0])
    for user in range(follows // EACH_FOLLOWS):
        for step in range(EACH_FOLLOWS):
            author = (user * 31 + step * 7_919) % (follows // 20)
            shard.graph.follow(b"user-%d" % user, b"author-%d" % author)
    state = shard.dump()
    shared = CassandraSnapshots(cassandra, "benchmark")
    await shared.save(Snapshot("fan_out", 0, 0, shard.fold_version, log.identity, state))
    say(f"a state of {len(state):,} bytes is saved")
    fresh = SharedSnapshots(FolderSnapshots(folder / "empty"), shared)
    part: Any = fan_out.stage(log, fresh, Pace()).make(0)
    with Stopwatch() as watch:
        await part.open()
    assert part.replica.fold.dump() == state, "what was opened is what was saved"
    await shared.drop("fan_out", 0)
    return {"follows": follows, "snapshot_bytes": len(state), "open_s": round(watch.seconds, 3)}


async def folded(log: KafkaLog, process: Process) -> None:
    """Until stage 2 is at the end."""
    end = time.monotonic() + LIMIT_S
    while [await log.committed("fanbell.fan_out", ROUTED, p) or 0 for p in range(PARTITIONS)] != [
        await log.end(ROUTED, p) for p in range(PARTITIONS)
    ]:
        process.check()
        if time.monotonic() > end:
            raise RuntimeError(f"the follows were not folded within {LIMIT_S:.0f} s")
        await asyncio.sleep(0.25)


async def first_notice(log: KafkaLog, id_: str) -> None:
    """Somebody is mentioned; until the notice of it is readable."""
    place = partition_of("reader", PARTITIONS)
    before = await log.end(NOTICES, place)
    activity = Activity(id_, "mention", "writer", f"entity-{id_}", mentions=["reader"])
    await log.append_all(batches_of_activities([activity], PARTITIONS, time.time_ns() // 1_000_000))
    end = time.monotonic() + LIMIT_S
    while await log.end(NOTICES, place) == before:
        if time.monotonic() > end:
            raise RuntimeError(f"nobody heard of {id_} within {LIMIT_S:.0f} s")
        await asyncio.sleep(0.01)


async def came_back(log: KafkaLog, start: Callable[[], Process], edges: int | None) -> dict[str, Any]:
    found = data.folder()
    assert found is not None
    process = start()
    try:
        changes = data.slashdot(found)
        count = 0
        while some := list(islice(changes, min(5_000, edges - count) if edges else 5_000)):
            await log.append_all(batches_of_changes(some, PARTITIONS, time.time_ns() // 1_000_000))
            count += len(some)
        await folded(log, process)
        await first_notice(log, "warm")
        say(f"{count:,} edges are in force")

        told = time.perf_counter()
        process.end()
        begun = time.perf_counter()
        process = start()
        await first_notice(log, "restarted")
        restarted, stopped = time.perf_counter() - begun, begun - told
        say(f"stopped in {stopped:.1f} s, back in {restarted:.1f} s")

        begun = time.perf_counter()
        process.kill()
        process = start()
        await first_notice(log, "killed")
        killed = time.perf_counter() - begun
    finally:
        process.end()
    return {
        "edges": count,
        "stop_s": round(stopped, 2),
        "restart_to_notice_s": round(restarted, 2),
        "kill_to_notice_s": round(killed, 2),
        "session_timeout_s": SESSION_S,
    }


async def measured(made: Cluster, folder: Path, environ: Mapping[str, str], tiny: bool) -> dict[str, Any]:
    config = KafkaConfig(
        bootstrap_servers=(made.bootstrap,), topic_prefix=environ["FANBELL_KAFKA_TOPIC_PREFIX"]
    )
    async with AsyncExitStack() as stack:
        log = await KafkaLog.open(config, PARTITIONS)
        stack.push_async_callback(log.close)
        cassandra = await connect(cassandra_config(load({}, environ)))
        stack.push_async_callback(cassandra.close)
        keeper = RulesKeeper(log)
        await keeper.open()
        await keeper.decide(quiet_source())
        figures = await opened(log, cassandra, folder, 10_000 if tiny else 1_000_000)

        def start() -> Process:
            return Process([FANBELL, "worker"], environ, folder / "worker.log")

        return figures | await came_back(log, start, 2_000 if tiny else None)


def main(tiny: bool = False) -> None:
    if data.folder() is None:
        skip(QUESTION, "the real data is not there")
        return
    with servers() as made, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = environ_of(
            made, "takeover", data=str(folder / "worker"),
            worker_stages="route,fan_out", kafka_session_timeout_s=str(SESSION_S),
        )  # fmt: skip
        fanbell(environ, "topics", "apply")
        fanbell(environ, "store", "apply")
        figures = asyncio.run(measured(made, folder, environ, tiny))
    answer = hash_of(f"{name}={figures[name]}".encode() for name in ("follows", "snapshot_bytes", "edges"))
    report(QUESTION, figures, answer, synthetic=False, made_up="the partition with 1 M follows")


if __name__ == "__main__":
    main(**vars(asked()))
