"""What every log promises (`streams/log.py`), asked of each adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.topics import ACTIVITIES, DEAD, INTAKE, NOTICES, ROUTED
from fanbell.streams.log import VALUE_BYTES_MAX, Entry, Log, Record
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import open_database

pytestmark = pytest.mark.anyio

Make = Callable[[str], Awaitable[Log]]
"""From a name to a log of two partitions made under it."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.cluster)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as opened:
        if request.param == "kafka":
            from tests.cluster.kafka import Logs  # the other adapters need no client of Kafka

            logs = await opened.enter_async_context(Logs(request.getfixturevalue("servers"), partitions=2))

        async def made(name: str) -> Log:
            if request.param == "memory":
                return MemoryLog(2, identity=name)
            if request.param == "kafka":
                return await logs.open(name)
            connection = open_database(tmp_path / f"{name}.db")
            opened.enter_context(closing(connection))
            return SqliteLog(connection, 2)

        yield made


@pytest.fixture
async def log(make: Make) -> Log:
    return await make("log")


def entries(*values: str, timestamp_ms: int = 1_000) -> list[Entry]:
    return [Entry(value.encode(), timestamp_ms) for value in values]


async def values(log: Log, offset: int = 0, at_most: int = 1_000_000) -> list[str]:
    """What NOTICES/0 holds from `offset` on."""
    return [record.value.decode() for record in await log.read(NOTICES, 0, offset, at_most)]


async def test_what_is_appended_is_read_in_order(log: Log) -> None:
    """Records come back whole, in the order of appending, at offsets counted from 0."""
    appended = [Entry(b"a", 5, b"ana"), Entry(b"", 3), Entry(b"c", 2**40, b"")]

    assert await log.append(NOTICES, 0, appended) == 0

    assert await log.read(NOTICES, 0, 0, 10) == [
        Record(0, b"a", 5, b"ana"),
        Record(1, b"", 3, None),
        Record(2, b"c", 2**40, b""),
    ]


async def test_an_append_returns_its_first_offset(log: Log) -> None:
    """Each append begins where the one before ended."""
    assert await log.append(NOTICES, 0, entries("a", "b")) == 0
    assert await log.append(NOTICES, 0, entries("c")) == 2
    assert await log.append(NOTICES, 0, entries("d")) == 3
    assert await values(log) == ["a", "b", "c", "d"]


async def test_nothing_appended_returns_the_end(log: Log) -> None:
    """An empty append changes nothing and says where the end is."""
    assert await log.append(NOTICES, 0, []) == 0
    await log.append(NOTICES, 0, entries("a", "b"))

    assert await log.append(NOTICES, 0, []) == 2
    assert await log.end(NOTICES, 0) == 2


async def test_several_partitions_at_once(log: Log) -> None:
    """
    What is appended to several partitions at once stands in each as if it had been appended there alone.
    """
    await log.append(NOTICES, 1, entries("a"))

    firsts = await log.append_all(
        [(NOTICES, 1, entries("b", "c")), (ROUTED, 0, entries("d")), (NOTICES, 0, [])]
    )

    assert firsts == [1, 0, 0]
    assert [record.value for record in await log.read(NOTICES, 1, 0, 10)] == [b"a", b"b", b"c"]
    assert [record.value for record in await log.read(ROUTED, 0, 0, 10)] == [b"d"]
    assert await log.append_all([]) == []


async def test_a_new_partition_is_empty(log: Log) -> None:
    """What nobody wrote to starts and ends at 0."""
    assert (await log.start(NOTICES, 1), await log.end(NOTICES, 1)) == (0, 0)
    assert await log.read(NOTICES, 1, 0, 10) == []


async def test_partitions_and_topics_are_apart(log: Log) -> None:
    """What is appended to one partition of one topic is nowhere else."""
    await log.append(NOTICES, 0, entries("a"))

    assert await log.end(NOTICES, 1) == 0
    assert await log.end(ACTIVITIES, 0) == 0


async def test_reading_begins_in_the_middle(log: Log) -> None:
    """Any offset can be read from, also one inside what was appended at once."""
    await log.append(NOTICES, 0, entries(*"abcde"))
    await log.append(NOTICES, 0, entries(*"fgh"))

    assert await values(log, offset=3) == list("defgh")
    assert await values(log, offset=5) == list("fgh")
    assert await values(log, offset=7) == ["h"]


async def test_reading_stops_at_so_many(log: Log) -> None:
    """No more records than asked for, across what was appended at once or within it."""
    await log.append(NOTICES, 0, entries(*"abc"))
    await log.append(NOTICES, 0, entries(*"def"))

    assert await values(log, 1, at_most=1) == ["b"]
    assert await values(log, 1, at_most=4) == list("bcde")
    assert await values(log, 0, at_most=0) == []


async def test_reading_at_and_past_the_end_is_empty(log: Log) -> None:
    """There is nothing at the end yet, nor after it."""
    await log.append(NOTICES, 0, entries("a"))

    assert await values(log, offset=1) == []
    assert await values(log, offset=1_000) == []


async def test_many_records_at_once(log: Log) -> None:
    """20,000 records in one append come back, each its own."""
    appended = [
        Entry(b"%d" % i * (i % 30), 1_000 + i % 7, b"k%d" % i if i % 3 else None) for i in range(20_000)
    ]

    await log.append(NOTICES, 0, entries("before"))
    assert await log.append(NOTICES, 0, appended) == 1

    found = await log.read(NOTICES, 0, 1, 20_000)
    assert [Entry(record.value, record.timestamp_ms, record.key) for record in found] == appended
    assert [record.offset for record in found] == list(range(1, 20_001))


async def test_large_records(log: Log) -> None:
    """Records of the largest size we write come back whole, several in one append, and from between them."""
    appended = [Entry(bytes([i]) * RECORD_BYTES_MAX, i) for i in range(5)]

    await log.append(NOTICES, 0, appended)

    found = await log.read(NOTICES, 0, 3, 10)
    assert [(record.offset, record.timestamp_ms) for record in found] == [(3, 3), (4, 4)]
    assert [record.value for record in found] == [entry.value for entry in appended[3:]]


async def test_too_large_a_record_is_refused(log: Log) -> None:
    """A value above the bound is refused, and nothing of that append is put."""
    with pytest.raises(ValueError, match="more than a log takes"):
        await log.append(NOTICES, 0, [Entry(b"small", 1), Entry(bytes(VALUE_BYTES_MAX + 1), 1)])

    assert await log.end(NOTICES, 0) == 0


@pytest.mark.parametrize(("topic", "partition"), [(NOTICES, 2), (NOTICES, -1), (INTAKE, 1), (DEAD, 1)])
async def test_partitions_that_are_not_there_are_refused(log: Log, topic: str, partition: int) -> None:
    """A partition that the topic does not have is an error, not an empty answer."""
    for asked in (
        log.append(topic, partition, entries("a")),
        log.read(topic, partition, 0, 1),
        log.start(topic, partition),
        log.end(topic, partition),
        log.trim(topic, partition, 1),
        log.commit("g", topic, partition, 1),
        log.committed("g", topic, partition),
    ):
        with pytest.raises(ValueError, match="has no partition"):
            await asked


async def test_trimmed_records_are_gone_and_the_others_stay_in_place(log: Log) -> None:
    """Trimming moves the start, not the records; reading below the start begins at the start."""
    await log.append(NOTICES, 0, entries(*"abc"))
    await log.append(NOTICES, 0, entries(*"def"))

    await log.trim(NOTICES, 0, 3)

    assert (await log.start(NOTICES, 0), await log.end(NOTICES, 0)) == (3, 6)
    assert await log.read(NOTICES, 0, 0, 1) == [Record(3, b"d", 1_000)]


async def test_trimming_within_one_append(log: Log) -> None:
    """The start is exact also where it falls inside what was appended at once."""
    await log.append(NOTICES, 0, entries(*"abcdef"))

    await log.trim(NOTICES, 0, 4)

    assert await log.start(NOTICES, 0) == 4
    assert await values(log, 0, at_most=1) == ["e"]
    assert await values(log, 2) == ["e", "f"]


async def test_trimming_twice_or_lower_changes_nothing(log: Log) -> None:
    """What was forgotten stays forgotten, and no more is."""
    await log.append(NOTICES, 0, entries(*"abcdef"))

    for before in (4, 4, 2, 0, -1):
        await log.trim(NOTICES, 0, before)

    assert await log.start(NOTICES, 0) == 4
    assert await values(log) == ["e", "f"]


@pytest.mark.parametrize("before", [3, 1_000])
async def test_offsets_go_on_after_all_was_trimmed(log: Log, before: int) -> None:
    """An offset is never used twice: with everything forgotten, the next record takes the next offset."""
    await log.append(NOTICES, 0, entries(*"abc"))

    await log.trim(NOTICES, 0, before)

    assert (await log.start(NOTICES, 0), await log.end(NOTICES, 0)) == (3, 3)
    assert await log.append(NOTICES, 0, entries("d")) == 3
    assert await log.read(NOTICES, 0, 0, 10) == [Record(3, b"d", 1_000)]


async def test_trimming_one_partition_leaves_the_others(log: Log) -> None:
    """Trimming is of one partition of one topic."""
    for partition in (0, 1):
        await log.append(NOTICES, partition, entries(*"abc"))

    await log.trim(NOTICES, 1, 3)

    assert await values(log) == list("abc")


async def test_the_latest_commit_stands(log: Log) -> None:
    """A group's offset is what it committed last, also if that is lower."""
    assert await log.committed("inbox", NOTICES, 0) is None

    for offset in (5, 9, 7):
        await log.commit("inbox", NOTICES, 0, offset)
        assert await log.committed("inbox", NOTICES, 0) == offset


async def test_commits_are_by_group_topic_and_partition(log: Log) -> None:
    """One group's commit in one partition says nothing of another group, topic or partition."""
    await log.commit("inbox", NOTICES, 0, 5)

    assert await log.committed("edge", NOTICES, 0) is None
    assert await log.committed("inbox", NOTICES, 1) is None
    assert await log.committed("inbox", ACTIVITIES, 0) is None


async def test_appends_that_overlap_are_each_contiguous(log: Log) -> None:
    """Overlapping appends take turns: each one's records stand together at the offset it returned."""
    appends = [entries(*(f"{name}{i}" for i in range(50))) for name in "abcdefgh"]

    offsets = await asyncio.gather(*(log.append(NOTICES, 0, appended) for appended in appends))

    assert sorted(offsets) == list(range(0, 400, 50))
    for offset, appended in zip(offsets, appends, strict=True):
        assert await values(log, offset, 50) == [entry.value.decode() for entry in appended]


async def test_another_log_has_another_identity(make: Make) -> None:
    """A log is told from any other by its identity, and keeps it."""
    log, other = await make("log"), await make("other")

    assert log.identity
    assert log.identity != other.identity
    assert (await make("log")).identity == log.identity
    assert log.partitions == 2
