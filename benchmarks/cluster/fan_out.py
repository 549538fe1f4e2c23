"""How many recipients a second hear, from `activities` to `notices` on a real Kafka, against what others do?

100 authors with 100 followers each, 8 partitions, one worker and two (Kafka Streams has two threads), and all on the
same cores. The clock runs from the first append until the last notice is readable; who heard of what is compared after
it has stopped. Asked: at least 3 times (aim 10 times) a plain Kafka Streams that is warm, at least 140 times a bare
Faust agent.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.cluster.servers import (
    FANBELL,
    PARTITIONS,
    Clock,
    Process,
    environ_of,
    fanbell,
    make_topics,
    servers,
)
from benchmarks.harness import asked, hash_of, report, say
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.local.java import resolved
from fanbell.schemas.codec import content_of, decode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Notice
from fanbell.schemas.topics import NOTICES, ROUTED
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.publish import batches_of_activities, batches_of_changes
from fanbell.streams.rules import RulesKeeper

AUTHORS: Final = 100
FOLLOWERS: Final = 100
LIMIT_S: Final = 300.0
PEERS: Final = Path(__file__).parent.parent / "peers"
FOLLOW_QUIETLY: Final = ('audience = [{ to = "object", reason = "follow" }]', "audience = []")


def followers_of(author: int) -> list[str]:
    return [f"user-{author * FOLLOWERS + i}" for i in range(FOLLOWERS)]


def post(number: int, run: str) -> Activity:
    return Activity(f"{run}{number}", "post", f"author-{number % AUTHORS}", f"{run}post-{number}")


def expected(count: int, run: str) -> Counter[tuple[str, str]]:
    """(activity, recipient), each once."""
    return Counter((f"{run}{n}", user) for n in range(count) for user in followers_of(n % AUTHORS))


async def until(holds: Callable[[], Any], processes: Sequence[Process], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not await holds():
        for process in processes:
            process.check()
        if time.monotonic() > end:
            raise RuntimeError(f"not within {LIMIT_S:.0f} s: {what}")
        await asyncio.sleep(0.005)


async def clocked(
    reader: AIOKafkaConsumer, topic: str, more: int, appending: Awaitable[Any], processes: Sequence[Process]
) -> tuple[float, float]:
    """Seconds and the processes' CPU from before `appending` until `topic` has so many more records."""
    places = [TopicPartition(topic, p) for p in range(PARTITIONS)]

    async def count() -> int:
        return sum((await reader.end_offsets(places)).values())

    wanted = await count() + more
    clock = Clock(processes)
    clock.start()
    appended = asyncio.ensure_future(appending)

    async def all_there() -> bool:
        return await count() >= wanted

    await until(all_there, processes, f"{more} more records in {topic}")
    seconds, cpu = clock.stop()
    await appended
    return seconds, cpu


# Fanbell


async def ours(made: Cluster, count: int, folder: Path, workers: int) -> dict[str, Any]:
    """Of `workers` processes; each of them folds some of the partitions."""
    name = f"ours{workers}"
    environ = environ_of(made, name, worker_stages="route,fan_out")
    fanbell(environ, "topics", "apply")
    fanbell(environ, "store", "apply")
    config = KafkaConfig(bootstrap_servers=(made.bootstrap,), topic_prefix=f"{name}.")
    log = await KafkaLog.open(config, PARTITIONS)
    keeper = RulesKeeper(log)
    rules = await keeper.open()
    await keeper.decide(rules.source.replace(*FOLLOW_QUIETLY, 1))
    now_ms = time.time_ns() // 1_000_000
    changes = [
        Change(f"f-{user}", "follow", user, object=f"author-{author}")
        for author in range(AUTHORS)
        for user in followers_of(author)
    ]
    await log.append_all(batches_of_changes(changes, PARTITIONS, now_ms))
    processes = [
        Process([FANBELL, "worker"], environ | {"FANBELL_DATA": str(folder / one)}, folder / f"{one}.log")
        for one in (f"{name}-{number}" for number in range(workers))
    ]
    figures = {}

    async def follows_are_in_force() -> bool:
        done = [await log.committed("fanbell.fan_out", ROUTED, p) or 0 for p in range(PARTITIONS)]
        return done == [await log.end(ROUTED, p) for p in range(PARTITIONS)]

    async def all_have_some() -> bool:
        return all(process.said("partitions_assigned") for process in processes)

    try:
        await until(all_have_some, processes, "each worker has partitions")
        await until(follows_are_in_force, processes, "follows are in force")
        for run, some in (("warm", max(100, count // 5)), ("timed", count)):
            seconds, cpu = await _ours_once(config, log, processes, some, run)
            figures = {
                "recipients_per_s": round(some * FOLLOWERS / seconds),
                "cpu_s_per_million": round(cpu / (some * FOLLOWERS) * 1e6, 3),
                "seconds": round(seconds, 3),
            }
    finally:
        for process in processes:
            process.end()
        await log.close()
    return figures


async def _ours_once(
    config: KafkaConfig, log: KafkaLog, processes: Sequence[Process], count: int, run: str
) -> tuple[float, float]:
    activities = [post(number, run) for number in range(count)]
    batches = batches_of_activities(activities, PARTITIONS, time.time_ns() // 1_000_000)
    starts = {p: await log.end(NOTICES, p) for p in range(PARTITIONS)}
    async with AIOKafkaConsumer(bootstrap_servers=list(config.bootstrap_servers)) as reader:
        appending = log.append_all(batches)
        seconds, cpu = await clocked(reader, config.topic(NOTICES), _packs(count), appending, processes)
    told: Counter[tuple[str, str]] = Counter()
    for partition, at in starts.items():
        while records := await log.read(NOTICES, partition, at, 10_000):
            at = records[-1].offset + 1
            for record in map(decode, (one.value for one in records)):
                if isinstance(record, Notice):
                    told.update((content_of(record.content).id, user) for user in record.recipients)
    if told != expected(count, run):
        raise RuntimeError("somebody did not hear, or twice")
    return seconds, cpu


# The peers: each gets a line of JSON for an activity, and writes lines of JSON


async def peer(
    made: Cluster, name: str, line: Sequence[str | Path], count: int, folder: Path, packed: bool
) -> dict[str, Any]:
    """`line` starts it; it reads `name`.in and writes `name`.out."""
    await make_topics(made.bootstrap, [f"{name}.in", f"{name}.out"])
    config = KafkaConfig(bootstrap_servers=(made.bootstrap,), topic_prefix=f"{name}.")
    process = Process(line, {**environ_of(made, name), "XDG_STATE_HOME": str(folder)}, folder / f"{name}.log")
    figures: dict[str, Any] = {}
    try:
        for run, some in (("warm", max(100, count // 5)), ("timed", count)):
            seconds, cpu = await _peer_once(config, process, f"{name}.in", f"{name}.out", some, run, packed)
            figures = {
                "recipients_per_s": round(some * FOLLOWERS / seconds),
                "cpu_s_per_million": round(cpu / (some * FOLLOWERS) * 1e6, 3),
                "seconds": round(seconds, 3),
            }
    finally:
        process.end()
    return figures


async def _peer_once(
    config: KafkaConfig, process: Process, into: str, out: str, count: int, run: str, packed: bool
) -> tuple[float, float]:
    from fanbell.streams.kafka import producer

    places = [TopicPartition(out, p) for p in range(PARTITIONS)]
    reader = AIOKafkaConsumer(bootstrap_servers=list(config.bootstrap_servers))
    await reader.start()
    writer = producer(config)
    await writer.start()
    try:
        reader.assign(places)
        before = await reader.end_offsets(places)
        batches = _json_batches(writer, count, run)
        wanted = count * FOLLOWERS if not packed else _packs(count)

        async def append() -> None:
            for partition, batch in batches:
                await (await writer.send_batch(batch, into, partition=partition))

        seconds, cpu = await clocked(reader, out, wanted, append(), [process])
        told = await _told(reader, before, wanted)
        if told != expected(count, run):
            raise RuntimeError(f"{out}: somebody did not hear, or twice")
        return seconds, cpu
    finally:
        await writer.stop()
        await reader.stop()


def _json_batches(writer: Any, count: int, run: str) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    open_: dict[int, Any] = {}
    for number in range(count):
        activity = post(number, run)
        place = partition_of(activity.object, PARTITIONS)
        value = json.dumps(
            {"id": activity.id, "kind": "post", "actor": activity.actor, "object": activity.object},
            separators=(",", ":"),
        ).encode()
        batch = open_.get(place)
        if batch is None or batch.append(key=activity.object.encode(), value=value, timestamp=None) is None:
            batch = open_[place] = writer.create_batch()
            found.append((place, batch))
            batch.append(key=activity.object.encode(), value=value, timestamp=None)
    for _, batch in found:
        batch.close()
    return found


def _packs(count: int) -> int:
    """How many (author, partition) pairs hear."""
    of = [len({partition_of(user, PARTITIONS) for user in followers_of(author)}) for author in range(AUTHORS)]
    return sum(of[number % AUTHORS] for number in range(count))


async def _told(reader: Any, before: Mapping[Any, int], wanted: int) -> Counter[tuple[str, str]]:
    for place, offset in before.items():
        reader.seek(place, offset)
    told: Counter[tuple[str, str]] = Counter()
    read = 0
    while read < wanted:
        for records in (await reader.getmany(timeout_ms=5_000)).values():
            read += len(records)
            for record in records:
                value = json.loads(record.value)
                told.update((value["id"], user) for user in value.get("recipients") or [value["recipient"]])
    return told


def java(made: Cluster, name: str, mode: str, folder: Path) -> list[str | Path]:
    lib = resolved("streams-peer", (PEERS / "streams.pom.xml").read_bytes())
    return [
        "java", "-Xmx1g", "-XX:+UseParallelGC", f"-Djava.io.tmpdir={folder}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{lib}/*", PEERS / "FanOut.java",
        made.bootstrap, name, f"{name}.in", f"{name}.out", mode, str(AUTHORS), str(FOLLOWERS), str(PARTITIONS),
    ]  # fmt: skip


async def measured(count: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with servers() as made, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("Kafka Streams, a record for each follower")
        plain = await peer(made, "plain", java(made, "plain", "plain", folder), count, folder, False)
        say("Kafka Streams, a record for each partition of followers")
        packed = await peer(made, "packed", java(made, "packed", "packed", folder), count, folder, True)
        say("bare Faust")
        line: list[str | Path] = [
            sys.executable,
            PEERS / "bare_faust.py",
            made.bootstrap,
            "faust",
            "faust.in",
            "faust.out",
        ]
        bare = await peer(
            made,
            "faust",
            [*line, str(AUTHORS), str(FOLLOWERS), str(folder / "faust")],
            max(100, count // 50),
            folder,
            False,
        )
        say("Fanbell, one worker")
        one = await ours(made, count, folder, 1)
        say("Fanbell, two workers")
        two = await ours(made, count, folder, 2)
    by_name = {"fanbell": one, "fanbell_two": two, "streams": plain, "streams_packed": packed, "faust": bare}
    for who, found in by_name.items():
        figures |= {f"{key}_{who}": value for key, value in found.items()}
    for who, rate in (("", one["recipients_per_s"]), ("_two", two["recipients_per_s"])):
        figures[f"times_streams{who}"] = round(rate / plain["recipients_per_s"], 2)
        figures[f"times_streams_packed{who}"] = round(rate / packed["recipients_per_s"], 2)
        figures[f"times_faust{who}"] = round(rate / bare["recipients_per_s"], 1)
    return figures


def main(tiny: bool = False) -> None:
    count = 500 if tiny else 40_000
    figures = asyncio.run(measured(count))
    answer = hash_of(f"{one}>{two}".encode() for one, two in sorted(expected(count, "timed")))
    report(
        "activities to notices on Kafka, against plain peers",
        figures,
        answer,
        synthetic=True,
        activities=count,
    )


if __name__ == "__main__":
    main(**vars(asked()))
