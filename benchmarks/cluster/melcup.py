"""melcup17 on a cluster of real processes: how soon is it heard, and how much of it can be sustained?

One worker with all stages and the projection, one edge with a socket for each of many members, Kafka and Cassandra, all
on the same cores. First 200 activities a second are published to Kafka, each timed to the frames of its followers;
asked: p50 at most 40 ms, p99 at most 150 ms. Then the rest at once, until inboxes have it: the rate of that, with the
lag of each stage on the way, says what can be sustained and what limits it.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from websockets.asyncio.client import ClientConnection

from benchmarks import data
from benchmarks.cluster.servers import FANBELL, PARTITIONS, Process, environ_of, fanbell, servers
from benchmarks.harness import asked, hash_of, percentile, report, say, skip
from benchmarks.publish_to_frame import QUIET_S, Ears, opened
from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.records import Activity
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.producer import Producer
from fanbell.streams.publish import batches_of_activities
from fanbell.streams.rules import RulesKeeper

QUESTION: Final = "melcup17 on a cluster: publish to Kafka to frame at the socket, and what can be sustained"
RATE: Final = 200.0
WARM: Final = 12_000  # activities: a minute, in which two JVMs compile what they run
LIMIT_S: Final = 300.0
GROUPS: Final = {"route": ("fanbell.route", ACTIVITIES), "fan_out": ("fanbell.fan_out", ROUTED)}


@dataclass
class Edge:
    """Where the edge of the cluster is."""

    edge: str


async def publish(producer: Producer, ears: Ears, activities: list[Activity], rate: float) -> float:
    """Publish at `rate` a second; by how much the latest began too late, in ms."""
    begun, late = time.perf_counter(), 0.0
    tasks: set[asyncio.Task[Any]] = set()
    for number, activity in enumerate(activities):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late = max(late, (time.perf_counter() - due) * 1_000)
        ears.begun[activity.id] = time.perf_counter()
        tasks.add(task := asyncio.create_task(producer.publish(activity)))
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return late


async def lags(log: KafkaLog, store: Any) -> dict[str, int]:
    """Records that each stage is behind."""
    found = {}
    for stage, (group, topic) in GROUPS.items():
        done = [await log.committed(group, topic, p) or 0 for p in range(PARTITIONS)]
        found[stage] = sum([await log.end(topic, p) for p in range(PARTITIONS)]) - sum(done)
    positions = await store.positions()
    ends = [await log.end(NOTICES, p) for p in range(PARTITIONS)]
    found["project_inbox"] = sum(ends[p] - positions.get(p, -1) - 1 for p in range(PARTITIONS) if ends[p])
    return found


async def drained(log: KafkaLog, store: Any, process: Process) -> list[dict[str, int]]:
    """Wait until no stage is behind; what their lags were on the way, a second apart."""
    seen = []
    end = time.monotonic() + LIMIT_S
    while any((lag := await lags(log, store)).values()):
        process.check()
        seen.append(lag)
        if time.monotonic() > end:
            raise RuntimeError(f"not within {LIMIT_S:.0f} s: {lag}")
        await asyncio.sleep(0.25)
    return seen


async def measured(
    made: Cluster, folder: Path, environ: Mapping[str, str], tiny: bool
) -> tuple[Ears, dict[str, Any]]:
    from fanbell.infra.cassandra import cassandra_config
    from fanbell.infra.settings import load
    from fanbell.projections.store_cassandra import CassandraStore
    from fanbell.streams.cassandra import connect

    found = data.folder()
    assert found is not None
    town = data.Melcup(found)
    users = town.members[: 30 if tiny else 1_000]
    events = town.events()
    if tiny:
        events = [event for event in events if event.actor in users]
    for event in events:
        event.occurred_at = None  # it happens now
    timed = events[: 100 if tiny else WARM + round(RATE * 15)]
    burst = events[len(timed) :][: 200 if tiny else 20_000]
    config = KafkaConfig(bootstrap_servers=(made.bootstrap,), topic_prefix="melcup.")
    worker = Process([FANBELL, "worker"], environ, folder / "worker.log")
    figures: dict[str, Any] = {}
    ears = Ears()
    async with AsyncExitStack() as stack:
        stack.callback(worker.end)
        log = await KafkaLog.open(config, PARTITIONS)
        stack.push_async_callback(log.close)
        cassandra = await connect(cassandra_config(load({}, environ)))
        stack.push_async_callback(cassandra.close)
        store = CassandraStore(cassandra)
        await RulesKeeper(log).open()
        now_ms = time.time_ns() // 1_000_000
        follows = list(town.follows())
        for first in range(0, len(follows), 5_000):
            await log.append_all(batches_of_activities(follows[first : first + 5_000], PARTITIONS, now_ms))
        await drained(log, store, worker)
        edge, told = await started(folder, environ)
        stack.callback(edge.end)
        sockets: list[ClientConnection] = await opened(Edge(told["edge"]), users, stack)  # type: ignore[arg-type]
        listening = [
            asyncio.create_task(ears.listen(user, socket))
            for user, socket in zip(users, sockets, strict=True)
        ]
        warm = len(timed) // 4 if tiny else WARM
        async with Producer(made.bootstrap, topic_prefix="melcup.") as producer:
            await publish(producer, ears, timed[:warm], RATE)
            await asyncio.sleep(QUIET_S)
            ears.timed_ms.clear()
            gc.collect()
            gc.freeze()  # a look through all of melcup17 takes as long as what is measured
            cpu, cpu_edge, begun = worker.cpu_s(), edge.cpu_s(), time.perf_counter()
            figures["published_late_ms_max"] = round(await publish(producer, ears, timed[warm:], RATE), 1)
            seconds = time.perf_counter() - begun
            figures["worker_cpu_share"] = round((worker.cpu_s() - cpu) / seconds, 2)
            figures["edge_cpu_share"] = round((edge.cpu_s() - cpu_edge) / seconds, 2)
        while (quiet := time.perf_counter() - max(ears.latest, begun)) < QUIET_S:  # noqa: ASYNC110 - nothing tells of silence
            await asyncio.sleep(QUIET_S - quiet)
        latencies = list(ears.timed_ms)
        for share in (50, 90, 99):
            figures[f"latency_ms_p{share}"] = round(percentile(latencies, share), 2)
        figures |= {"latency_ms_max": round(max(latencies, default=0), 2), "frames_timed": len(latencies)}
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await drained(log, store, worker)
        say("all at once")
        before, cpu = sum([await log.end(NOTICES, p) for p in range(PARTITIONS)]), worker.cpu_s()
        begun = time.perf_counter()
        for first in range(0, len(burst), 1_000):
            now_ms = time.time_ns() // 1_000_000
            await log.append_all(batches_of_activities(burst[first : first + 1_000], PARTITIONS, now_ms))
        seen = await drained(log, store, worker)
        seconds = time.perf_counter() - begun
        figures["sustained_activities_per_s"] = round(len(burst) / seconds)
        figures["sustained_notices_per_s"] = round(
            (sum([await log.end(NOTICES, p) for p in range(PARTITIONS)]) - before) / seconds
        )
        figures["sustained_worker_cpu_share"] = round((worker.cpu_s() - cpu) / seconds, 2)
        figures["most_behind"] = {
            stage: max((lag[stage] for lag in seen), default=0) for stage in (*GROUPS, "project_inbox")
        }
        figures["sockets"], figures["sockets_lost"] = len(users), ears.lost
    return ears, figures


async def started(folder: Path, environ: Mapping[str, str]) -> tuple[Process, dict[str, Any]]:
    """An edge, and what it said when it listened."""
    log = folder / "edge.log"
    edge = Process([FANBELL, "edge", "--json", "--port", "0"], environ, log)
    end = time.monotonic() + 60
    while True:
        edge.check()
        for line in log.read_text().splitlines():
            if line.startswith("{") and "http" in (told := json.loads(line)):
                return edge, told
        if time.monotonic() > end:
            raise RuntimeError("the edge never listened")
        await asyncio.sleep(0.1)


def main(tiny: bool = False) -> None:
    if data.folder() is None:
        skip(QUESTION, "the real data is not there")
        return
    with servers() as made, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = environ_of(made, "melcup", data=str(folder / "worker"), log_format="json")
        fanbell(environ, "topics", "apply")
        fanbell(environ, "store", "apply")
        ears, figures = uvloop.run(measured(made, folder, environ, tiny))
    answer = hash_of(f"{user} {id_}\n".encode() for user, id_ in sorted(ears.first))
    report(
        QUESTION,
        figures,
        answer,
        synthetic=False,
        made_up="times: even distances; likes one by one among the rest",
    )


if __name__ == "__main__":
    main(**vars(asked()))
