"""A small town on a real cluster: what its people do, put where producers would put it, and what others must hear."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Final

from fanbell.schemas.codec import content_of, decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Notice, Rules, Update
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fold import NONE_YET
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.log import Entry, Log, Record
from tests.streams.pipeline import Pipeline, done

PEOPLE: Final = [f"person{number}" for number in range(40)]
START_MS: Final = time.time_ns() // 1_000_000
"""When all is done: about now, for ticks tell the time of this machine, and a group closes after a day."""

Told = dict[str, set[tuple[str, str]]]
"""recipient → {(activity or what a group came to, reason)}"""


def follows(random: Random) -> list[Change]:
    pairs = [(who, whom) for who in PEOPLE for whom in random.sample(PEOPLE, 6) if who != whom]
    return [Change(f"f{number}", "follow", who, object=whom) for number, (who, whom) in enumerate(pairs)]


def doings(random: Random, count: int, first: int = 0) -> list[Activity]:
    """Posts and mentions, each told for itself, and messages, which come to a group for each recipient."""
    made = []
    for number in range(first, first + count):
        actor, others = random.choice(PEOPLE), random.sample(PEOPLE, 3)
        match random.randrange(3):
            case 0:
                made.append(Activity(f"a{number}", "post", actor, f"post{number}", mentions=others[:1]))
            case 1:
                made.append(
                    Activity(
                        f"a{number}", "message", actor, f"message{number}", target="room", recipients=others
                    )
                )
            case _:
                made.append(Activity(f"a{number}", "mention", actor, f"post{number}", mentions=others))
    return made


async def put_rules(log: Log) -> None:
    """All of `routed` first, acknowledged, then `activities`: shards know the rules before commands name them."""
    rules = Entry(encode(Rules(1, FOLD_VERSION, default_source(), START_MS)), START_MS)
    for topic in (ROUTED, ACTIVITIES):
        for partition in range(log.partitions):
            await log.append(topic, partition, [rules])


async def follow(log: Log, changes: Sequence[Change]) -> None:
    """By the short way: into `routed`, in both persons' partitions."""
    by_partition = defaultdict(list)
    for change in changes:
        for partition, copy in placed(change, log.partitions):
            by_partition[partition].append(Entry(encode(copy), START_MS))
    await log.append_all(
        [(ROUTED, partition, entries) for partition, entries in sorted(by_partition.items())]
    )


async def publish(log: Log, activities: Sequence[Activity]) -> None:
    by_partition = defaultdict(list)
    for activity in activities:
        partition = partition_of(activity.target or activity.object, log.partitions)
        by_partition[partition].append(Entry(encode(activity), START_MS))
    await log.append_all([(ACTIVITIES, partition, some) for partition, some in sorted(by_partition.items())])


def expected(changes: Sequence[Change], activities: Sequence[Activity]) -> Told:
    """What one process, in memory, tells of the same."""
    pipeline = Pipeline(default_source())
    for item in (*changes, *activities):
        pipeline.append(encode(item), START_MS)
    pipeline.settle()
    pipeline.tick(START_MS + 3_600_000)  # what groups hold back goes out
    return told(list(done(pipeline.log.read(NOTICES, 0, 0, 1 << 30))))


def told(records: Sequence[Record]) -> Told:
    """Who was told of what by one partition's notices. Asserts that, repeats dropped, they follow on each other.

    Of a group, what it came to: how it got there depends on the order among entities, which nobody promises.
    """
    heard: Told = defaultdict(set)
    groups: dict[tuple[str, str, str | None], int] = {}
    last = NONE_YET
    for record in records:
        item = decode(record.value)
        if (item.n, item.index) <= last:
            continue
        assert (item.prev_n, item.prev_index) == last, f"a jump at {record.offset}"
        last = (item.n, item.index)
        if isinstance(item, Notice):
            content = content_of(item.content)
            for recipient in item.recipients:
                assert (content.id, item.reason) not in heard[recipient], "told twice"
                heard[recipient].add((content.id, item.reason))
        elif isinstance(item, Update):
            content = content_of(item.content)
            for recipient in item.recipients:
                groups[recipient, content.kind, content.target] = item.count
    for (recipient, kind, target), count in groups.items():
        heard[recipient].add((f"{count} of {kind} {target}", "group"))
    return heard


async def read_all(log: Log, topic: str, partition: int) -> list[Record]:
    records: list[Record] = []
    while found := await log.read(topic, partition, records[-1].offset + 1 if records else 0, 10_000):
        records += found
    return records


async def heard(log: Log) -> Told:
    """What `notices` tells, all partitions together."""
    everybody: Told = {}
    for partition in range(log.partitions):
        everybody |= told(await read_all(log, NOTICES, partition))
    return everybody


async def until_heard(log: Log, wanted: Told, seconds: float) -> Told:
    """What `notices` tells once it is `wanted`, or when the time is up."""
    until = time.monotonic() + seconds
    while True:
        found = await heard(log)
        if found == wanted or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)
