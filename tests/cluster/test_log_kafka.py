"""What the log on Kafka promises beyond the contract: batches, bounds, transactions of others, following."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.offset import OffsetRequest

from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.topics import ACTIVITIES, INTAKE, NOTICES, ROUTED
from fanbell.streams.kafka import BATCH_BYTES, KafkaConfig, connection
from fanbell.streams.kafka_appends import Appends
from fanbell.streams.kafka_reads import KEPT_MAX
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.topics_kafka import TopicsUnusable
from tests.cluster.kafka import Logs

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

SOON_S = 30.0  # for what happens in milliseconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def logs(servers: Cluster) -> AsyncIterator[Logs]:
    async with Logs(servers) as logs:
        yield logs


@pytest.fixture
async def log(logs: Logs) -> KafkaLog:
    return await logs.open()


def entries(*values: str) -> list[Entry]:
    return [Entry(value.encode(), 1_000) for value in values]


def texts(records: list[Record]) -> list[str]:
    return [record.value.decode() for record in records]


async def transaction(config: KafkaConfig, *values: str, commit: bool) -> None:
    """What another producer puts in NOTICES/0 in one transaction."""
    producer = AIOKafkaProducer(**connection(config), transactional_id=config.topic("other"))
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(config.topic(NOTICES), value.encode(), partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def decided(log: KafkaLog) -> int:
    """The end of NOTICES/0 once the last transaction's marker stands there: it is written after the answer."""
    name = log._config.topic(NOTICES)
    async with asyncio.timeout(SOON_S):
        while True:
            offsets = [
                await log._calls.ask_leader(
                    name, 0, OffsetRequest(-1, isolation, [(name, [(0, -1)])]), lambda found: found.topics
                )
                for isolation in (0, 1)
            ]
            if offsets[0] == offsets[1]:
                return await log.end(NOTICES, 0)


async def test_what_fits_in_no_batch_goes_in_several(log: KafkaLog) -> None:
    """An append of many batches stands together and in order, also beside others to the same partition."""
    large = [Entry(bytes([n]) * (RECORD_BYTES_MAX - 1), n) for n in range(9)]
    assert sum(len(entry.value) for entry in large) > 3 * BATCH_BYTES

    first, *others = await asyncio.gather(
        log.append(NOTICES, 0, large), *(log.append(NOTICES, 0, entries(f"{n}")) for n in range(20))
    )

    records = await log.read(NOTICES, 0, 0, 100)
    assert [record.offset for record in records] == list(range(29))
    assert [record.value for record in records[first : first + 9]] == [entry.value for entry in large]
    assert [records[offset].value.decode() for offset in others] == [f"{n}" for n in range(20)]


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
async def test_records_are_compressed_as_wanted(logs: Logs, compression: str) -> None:
    """Whatever compression is set, records come back; beside each other too."""
    await logs.open()
    log = await logs.open(compression=compression)
    values = [f"{n:>200}" for n in range(1_000)]

    await log.append(NOTICES, 0, entries(*values))

    assert texts(await log.read(NOTICES, 0, 0, 1_000)) == values


async def test_what_waits_goes_in_one_batch(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand callers who append to one partition at once cost a handful of batches, each its own offset."""
    sent = 0
    send_batch = AIOKafkaProducer.send_batch

    async def counted(self: AIOKafkaProducer, *args: object, **more: object) -> object:
        nonlocal sent
        sent += 1
        return await send_batch(self, *args, **more)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", counted)

    offsets = await asyncio.gather(*(log.append(NOTICES, 0, entries(f"{n}")) for n in range(1_000)))

    assert offsets == list(range(1_000))
    assert sent <= 3


async def test_a_caller_who_gives_up_holds_up_nobody(log: KafkaLog) -> None:
    """A cancelled append raises that; what it would have put is all there or not at all, and others are whole."""
    calls = [
        asyncio.ensure_future(log.append(NOTICES, 0, entries(*(f"{n}.{i}" for i in range(50)))))
        for n in range(10)
    ]
    await asyncio.sleep(0)
    calls[4].cancel()

    done = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(done[4], asyncio.CancelledError)
    found = texts(await log.read(NOTICES, 0, 0, 1_000))
    assert len(found) in (450, 500)
    for n, offset in enumerate(done):
        if isinstance(offset, int):
            assert found[offset : offset + 50] == [f"{n}.{i}" for i in range(50)]


async def test_a_closed_log_appends_nothing(log: KafkaLog) -> None:
    """What comes after the end, or was on its way, is told so."""
    under_way = asyncio.ensure_future(log.append(NOTICES, 0, entries("a")))
    await asyncio.sleep(0)
    await log.close()

    for append in (under_way, log.append(NOTICES, 0, entries("b"))):
        with pytest.raises(LogFailed, match="was closed"):
            await append


async def test_topics_are_appended_to_in_the_order_given(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions of one topic go together; the next topic begins once all of them are acknowledged."""
    under_way: list[str] = []
    seen: list[tuple[str, ...]] = []
    one_batch = Appends._one_batch

    async def watched(self: Appends, topic: str, partition: int, waiting: Any) -> None:
        name = topic.rpartition(".")[2]
        under_way.append(name)
        seen.append(tuple(under_way))
        await one_batch(self, topic, partition, waiting)
        under_way.remove(name)

    monkeypatch.setattr(Appends, "_one_batch", watched)
    batches = [(NOTICES, 0, entries("a")), (NOTICES, 1, entries("b")), (ROUTED, 0, entries("c"))]

    assert await log.append_all(batches) == [0, 0, 0]
    assert seen == [(NOTICES,), (NOTICES, NOTICES), (ROUTED,)]


async def test_what_cannot_be_appended_ends_append_all(log: KafkaLog) -> None:
    """One wrong partition, and nothing is appended anywhere."""
    with pytest.raises(ValueError, match="has no partition"):
        await log.append_all([(ROUTED, 0, entries("a")), (NOTICES, 7, entries("b"))])

    assert await log.end(ROUTED, 0) == 0


async def test_what_comes_after_a_failure_is_not_appended(logs: Logs) -> None:
    """A topic whose append failed is the last that `append_all` touches."""
    await logs.open()
    log = await logs.open(request_timeout_ms=3_000)
    await logs.delete("log", NOTICES)

    with pytest.raises(LogFailed):
        await log.append_all(
            [(ACTIVITIES, 0, entries("a")), (NOTICES, 0, entries("b")), (ROUTED, 0, entries("c"))]
        )

    assert (await log.end(ACTIVITIES, 0), await log.end(ROUTED, 0)) == (1, 0)


async def test_aborted_records_are_never_read(log: KafkaLog, logs: Logs) -> None:
    """What another producer's transaction aborted is skipped, wherever reading begins; what it committed is there."""
    await log.append(NOTICES, 0, entries("a"))
    await transaction(logs.config(), *"bcd", commit=False)
    await log.append(NOTICES, 0, entries("e"))
    await transaction(logs.config(), *"fg", commit=True)
    await transaction(logs.config(), *"hij", commit=False)

    end = await decided(log)
    whole = await log.read(NOTICES, 0, 0, 100)
    assert texts(whole) == ["a", "e", "f", "g"]
    assert whole[-1].offset < end - 3
    for offset in range(end):
        assert await log.read(NOTICES, 0, offset, 100) == [one for one in whole if one.offset >= offset]
    assert texts(await log.read(NOTICES, 0, 1, 1)) == ["e"]
    assert await log.append(NOTICES, 0, entries("k")) == end
    assert texts(await log.read(NOTICES, 0, whole[-1].offset + 1, 100)) == ["k"]


async def test_an_open_transaction_ends_what_can_be_read(log: KafkaLog, logs: Logs) -> None:
    """Until it is decided nothing from a transaction on is read, and the end stays before it; then all of it is."""
    config = logs.config()
    producer = AIOKafkaProducer(**connection(config), transactional_id=config.topic("other"))
    await producer.start()
    try:
        await log.append(NOTICES, 0, entries("a"))
        await producer.begin_transaction()
        await producer.send_and_wait(config.topic(NOTICES), b"b", partition=0)
        assert await log.append(NOTICES, 0, entries("c")) == 2

        assert await log.end(NOTICES, 0) == 1
        assert texts(await log.read(NOTICES, 0, 0, 100)) == ["a"]
        assert await log.read(NOTICES, 0, 1, 100) == []

        await producer.commit_transaction()
    finally:
        await producer.stop()
    await decided(log)
    assert texts(await log.read(NOTICES, 0, 0, 100)) == ["a", "b", "c"]


async def test_reading_on_fetches_nothing_twice(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small reads one after the other take from one answer of the broker."""
    from fanbell.streams.kafka_calls import Calls

    await log.append(NOTICES, 0, [Entry(b"%d" % n, 1) for n in range(1_000)])
    asked = 0
    ask_leader = Calls.ask_leader

    async def counted(self: Calls, *args: object) -> object:
        nonlocal asked
        asked += 1
        return await ask_leader(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Calls, "ask_leader", counted)
    found: list[Record] = []
    while len(found) < 1_000:
        found += await log.read(NOTICES, 0, len(found), 7)

    assert [record.value for record in found] == [b"%d" % n for n in range(1_000)]
    assert asked == 1


async def test_readers_that_may_go_on_are_bounded(log: KafkaLog) -> None:
    """However many partitions are read, only so many answers are kept."""
    reads = log._reads
    for topic in range(3 * KEPT_MAX):
        reads._keep(f"t{topic}", 0, None)  # type: ignore[arg-type]

    assert len(reads._ahead) == KEPT_MAX


async def test_a_topic_that_clusters_do_not_have_is_refused(log: KafkaLog) -> None:
    """What only the embedded mode has is no place here."""
    with pytest.raises(ValueError, match="not kept in a cluster"):
        await log.append(INTAKE, 0, entries("a"))


async def test_another_number_of_partitions_is_refused(log: KafkaLog, logs: Logs) -> None:
    """A process that is set to another number than the cluster has does not start, and says what to do."""
    with pytest.raises(TopicsUnusable, match="set partitions to 2"):
        await KafkaLog.open(logs.config(), partitions=8)


async def test_a_log_without_topics_is_refused(logs: Logs) -> None:
    """Nothing is made on opening; the error names the command that makes it."""
    with pytest.raises(TopicsUnusable, match="fanbell topics apply"):
        await KafkaLog.open(logs.config("nothing"))


async def test_no_broker_is_an_error_within_the_bound() -> None:
    """Where nobody listens, opening fails and says where."""
    with pytest.raises(LogFailed, match=r"127\.0\.0\.1:1 cannot be reached"):
        await KafkaLog.open(KafkaConfig(bootstrap_servers=("127.0.0.1:1",), request_timeout_ms=1_000))


async def test_following_gives_what_is_there_and_what_comes(log: KafkaLog) -> None:
    """A tail hands over what stands from its offsets on, then each record as it comes, by partition."""
    await log.append(NOTICES, 0, entries(*"abc"))
    await log.append(NOTICES, 1, entries("x"))
    tail = await log.tail(NOTICES, {0: 1, 1: 1})
    try:
        assert {p: texts(records) for p, records in (await tail.getmany()).items()} == {0: ["b", "c"]}
        for n in range(20):
            waiting = asyncio.ensure_future(tail.getmany())
            await log.append(NOTICES, n % 2, entries(f"{n}"))
            assert {n % 2: [f"{n}"]} == {p: texts(records) for p, records in (await waiting).items()}
        assert await tail.getmany(timeout_s=0.01) == {}
    finally:
        await tail.close()


async def test_a_tail_that_is_given_up_loses_nothing(log: KafkaLog) -> None:
    """A cancelled `getmany` leaves what it would have handed over to the next one."""
    tail = await log.tail(NOTICES, {0: 0})
    found: list[str] = []
    try:
        for n in range(30):
            waiting = asyncio.ensure_future(tail.getmany())
            await asyncio.sleep(0)
            await log.append(NOTICES, 0, entries(f"{n}"))
            waiting.cancel()
            for given in await asyncio.gather(waiting, return_exceptions=True):
                if isinstance(given, dict):
                    found += texts(given.get(0, []))
        while len(found) < 30:
            found += texts((await tail.getmany()).get(0, []))
    finally:
        await tail.close()
    assert found == [f"{n}" for n in range(30)]


async def test_partitions_come_and_go(log: KafkaLog) -> None:
    """A partition that is added is followed from its offset on; of one that is removed nothing comes any more."""
    for partition in (0, 1):
        await log.append(NOTICES, partition, entries("a", "b"))
    tail = await log.tail(NOTICES, {})
    try:
        assert await tail.getmany(timeout_s=0.01) == {}
        tail.add(0, 1)
        assert {p: texts(records) for p, records in (await tail.getmany()).items()} == {0: ["b"]}
        tail.add(1, 0)
        assert {p: texts(records) for p, records in (await tail.getmany()).items()} == {1: ["a", "b"]}
        tail.remove(0)
        await log.append(NOTICES, 0, entries("c"))
        await log.append(NOTICES, 1, entries("c"))
        assert {p: texts(records) for p, records in (await tail.getmany()).items()} == {1: ["c"]}
        assert dict(tail.positions) == {1: 3}
    finally:
        await tail.close()


async def test_following_goes_past_aborted_records_and_what_was_trimmed(log: KafkaLog, logs: Logs) -> None:
    """A tail skips what was aborted; from below the start it begins at the start; past the end it is an error."""
    await log.append(ACTIVITIES, 0, entries(*"abc"))
    await log.trim(ACTIVITIES, 0, 2)
    await log.append(NOTICES, 0, entries("a"))
    await transaction(logs.config(), *"bcd", commit=False)
    await log.append(NOTICES, 0, entries("e"))

    for topic, offset, expected in ((NOTICES, 0, ["a", "e"]), (NOTICES, 2, ["e"]), (ACTIVITIES, 0, ["c"])):
        tail = await log.tail(topic, {0: offset})
        try:
            found: list[str] = []
            while len(found) < len(expected):
                found += texts((await tail.getmany()).get(0, []))
            assert found == expected
        finally:
            await tail.close()

    tail = await log.tail(ACTIVITIES, {0: 99})
    try:
        with pytest.raises(LogFailed, match="ends before 99"):
            await tail.getmany()
    finally:
        await tail.close()
