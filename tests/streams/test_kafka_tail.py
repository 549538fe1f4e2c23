"""`streams/kafka_tail.py`: what one partition's trouble means for the others, without a broker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import LeaderNotAvailableError, NotEnoughReplicasError, NotLeaderForPartitionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from msgspec import Struct

from fanbell.streams import kafka_tail as module
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.kafka_tail import Tail
from fanbell.streams.log import LogFailed

pytestmark = pytest.mark.anyio
NODE = 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Answer(Struct):
    topics: list[tuple[str, list[tuple[Any, ...]]]]


class FakeCalls:
    """One broker that leads all partitions but `unled`, and answers at once: an error for those of `failing`."""

    def __init__(self) -> None:
        self.values: dict[int, list[bytes]] = {0: [], 1: []}
        self.unled: set[int] = set()
        self.failing: dict[int, int] = {}
        self.heals = False
        self.refreshes = self.questions = 0

    def leader(self, topic: str, partition: int) -> int:
        if partition in self.unled:
            raise LeaderNotAvailableError(f"{topic}[{partition}]")
        return NODE

    async def refresh(self) -> None:
        self.refreshes += 1
        await asyncio.sleep(0)
        if self.heals:
            self.unled, self.failing = set(), {}

    async def send(self, node: int, request: Any) -> Answer:
        assert node == NODE
        self.questions += 1
        ((topic, asked),) = request._topics
        answers = [self._part(partition, offset) for partition, offset, _ in asked]
        await asyncio.sleep(0 if any(one[-1] or one[1] for one in answers) else 0.005)
        return Answer([(topic, answers)])

    def _part(self, partition: int, offset: int) -> tuple[Any, ...]:
        values = self.values[partition]
        if partition in self.failing:
            return (partition, self.failing[partition], -1, -1, [], b"")
        return (partition, 0, len(values), len(values), [], batch(offset, values[offset:]))

    async def close(self) -> None:
        pass


def batch(offset: int, values: list[bytes]) -> bytes:
    """As a broker sends them."""
    if not values:
        return b""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number, value in enumerate(values):
        builder.append(number, 1, None, value, [])
    built: bytearray = builder.build()
    built[:8] = offset.to_bytes(8, "big")
    return bytes(built)


@pytest.fixture
async def tail(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tail]:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    config = KafkaConfig(bootstrap_servers=("nowhere:1",), request_timeout_ms=200)
    tail = Tail(config, "notices", {0: 0, 1: 0})
    yield tail
    await tail.close()


@pytest.fixture
def calls(tail: Tail, monkeypatch: pytest.MonkeyPatch) -> FakeCalls:
    calls = FakeCalls()
    monkeypatch.setattr(tail, "_calls", calls)
    return calls


def trouble(calls: FakeCalls, how: str) -> None:
    """Partition 0, which is asked for before the other one, has it."""
    if how == "without a leader":
        calls.unled = {0}
    elif how == "with a broker that does not lead it":
        calls.failing = {0: NotLeaderForPartitionError.errno}
    else:
        calls.failing = {0: NotEnoughReplicasError.errno}


async def values_of(tail: Tail, partition: int) -> list[bytes]:
    """The next that come of it."""
    async with asyncio.timeout(5):
        while not (found := (await tail.getmany()).get(partition)):
            pass
    return [record.value for record in found]


HOW = ["without a leader", "with a broker that does not lead it", "with a broker that fails"]


@pytest.mark.parametrize("how", HOW)
async def test_a_partition_in_trouble_silences_no_other(tail: Tail, calls: FakeCalls, how: str) -> None:
    """However long the trouble lasts, what the others gain is handed over; when it ends nothing is missing."""
    trouble(calls, how)
    calls.values[0].append(b"waits")
    for number in range(3):
        calls.values[1].append(b"%d" % number)
        assert await values_of(tail, 1) == [b"%d" % number]
    assert await tail.getmany(timeout_s=2 * tail._config.bound_s) == {}
    assert calls.questions < 200  # nor is a broker that answers by an error at once asked again at once

    calls.unled, calls.failing = set(), {}

    assert await values_of(tail, 0) == [b"waits"]


@pytest.mark.parametrize("how", HOW[:2])
async def test_who_leads_is_asked_again_while_others_are_followed(
    tail: Tail, calls: FakeCalls, how: str
) -> None:
    """A partition that has got a leader is found, though nothing of the others fails."""
    trouble(calls, how)
    calls.values[0].append(b"waits")
    calls.heals = True

    assert await values_of(tail, 0) == [b"waits"]


@pytest.mark.parametrize("how", HOW)
async def test_where_nothing_can_be_followed_it_is_said(tail: Tail, calls: FakeCalls, how: str) -> None:
    """With all partitions in trouble for longer than a call may take, following fails."""
    tail.remove(1)
    trouble(calls, how)

    with pytest.raises(LogFailed, match="following notices at nowhere:1"):
        await tail.getmany()
