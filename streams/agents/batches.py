"""Faust's consumer, handing over whole batches: one message, and so one event, for all that was fetched of a topic.

The stock one spends 64 µs on each record before an agent sees it; this is the one place where Faust is overridden.
Membership, assignment, rebalances and commits stay Faust's. Differences:

- `_drain_messages` wraps a topic's records into one message, a list of `Batch`, and reads only partitions that have
  room. The message names the first of the partitions; nothing in Faust asks for the others.
- Commits are told by `Consumer.done`, not gathered from acks: an agent's acks say that it saw a batch, not that its
  outputs are acknowledged. Topics are therefore declared with `acks=False`.
- The aiokafka consumer is made by the caller, so that it reads committed records only and knows how to log in.
- An offset that cannot be committed is no reason to end: the next one says more, and where to start is all it says.

What is overridden or relied on was read in one release of Faust: `checked.py` refuses one whose source differs there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import faust
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.app.base import BootStrategy as FaustBoot
from faust.transport import drivers
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from msgspec import Struct
from msgspec.structs import replace

from fanbell.streams.agents.checked import check
from fanbell.streams.kafka import KafkaConfig, connection
from fanbell.streams.kafka_members import CLIENT_ID
from fanbell.streams.log import Record

logger = structlog.get_logger()

SCHEME: Final = "fanbell"
POLL_S: Final = (
    0.1  # how long a fetch waits; a partition that got room meanwhile is read no later than after that
)
FETCH_BYTES: Final = 1 << 20  # of one partition at once: some ten thousand records
FETCH_WAIT_MS: Final = (
    500  # a broker holds back an answer for so long; a partition that got room is asked for after it
)
COMMIT_S: Final = (
    3.0  # a commit that takes longer has failed: a rebalance must not wait for a broker that is away
)


class Batch(Struct, frozen=True):
    """All that was fetched of one partition, in order."""

    topic: str
    partition: int
    records: list[Record]


class Application(faust.App):
    """A Faust app whose consumer hands over batches. `kafka` is to be set before it starts."""

    kafka: KafkaConfig

    class BootStrategy(FaustBoot):
        enable_kafka_producer = False  # outputs go through the log port, and nothing is sent through Faust


class Thread(driver.AIOKafkaConsumerThread):
    """Where the aiokafka consumer runs: fetches and heartbeats go on while the main thread folds."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = (
            self.app.assignor
        )  # keeps partitions where they are, and stages of one number together
        app = cast(Application, self.app)
        return AIOKafkaConsumer(
            **connection(replace(app.kafka, client_id=CLIENT_ID)),
            isolation_level="read_committed",
            group_id=conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=None,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        ours = {driver.ensure_aiokafka_TP(tp): offset for tp, offset in offsets.items() if tp in assigned}
        try:
            await asyncio.wait_for(consumer.commit(ours), COMMIT_S)
        except (KafkaError, TimeoutError) as error:
            logger.warning("offsets_not_committed", partitions=len(ours), error=repr(error))
            return False
        return True


class Consumer(driver.Consumer):
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: dict[TP, int] = {}
        self._full: set[TP] = set()
        self._room = asyncio.Event()
        self.dropped: Callable[[TP], None] = lambda _: None
        """Called with the partition of a batch that was fetched but not handed over: the log has it still."""

    def done(self, tp: TP, offset: int) -> None:
        """Everything of `tp` below `offset` is done, outputs included; the next commit says so."""
        self._done[tp] = offset

    def set_full(self, tp: TP, full: bool) -> None:
        """Whether `tp` is to be left alone until there is room again."""
        if full:
            self._full.add(tp)
        else:
            self._full.discard(tp)
            self._room.set()

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher._stopped.is_set()):
                if self.flow_active:
                    await self._hand_over(await self._fetch())
                else:
                    await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # any awaitable `wait` will do
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _fetch(self) -> Mapping[TP, list[Any]]:
        wanted = self._get_active_partitions() - self._full
        if wanted:
            records: Mapping[TP, list[Any]] = await self._getmany(wanted, POLL_S)
            return records
        self._room.clear()
        await self.wait_first(self._room.wait(), self.suspend_flow.wait(), timeout=POLL_S)
        return {}

    async def _hand_over(self, fetched: Mapping[TP, list[Any]]) -> None:
        generation = self.app.consumer_generation_id
        by_topic: defaultdict[str, list[TP]] = defaultdict(list)
        for tp in fetched:
            by_topic[tp.topic].append(tp)
        for tps in by_topic.values():
            result = None
            if self.flow_active and self.app.consumer_generation_id == generation:
                result = await self.wait_first(
                    self.callback(self._message(tps, fetched)), self.suspend_flow.wait()
                )
            if result is None or self.suspend_flow.is_set():
                for tp in tps:
                    self.dropped(ensure_TP(tp))
        await asyncio.sleep(0)  # a fetch that never has to wait must not keep the others from running

    def _message(self, tps: Sequence[TP], fetched: Mapping[TP, list[Any]]) -> Any:
        first = tps[0]
        message = self._to_message(ensure_TP(first), fetched[first][-1])
        batches: Any = [Batch(tp.topic, tp.partition, list(map(_record, fetched[tp]))) for tp in tps]
        message.key, message.value = None, batches
        return message

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._done.pop(tp, None)

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust's detector looks at acks, which are off. Lag is measured and shown by the worker."""


def _record(one: Any) -> Record:
    return Record(one.offset, one.value or b"", one.timestamp, one.key)


class Transport(driver.Transport):
    Consumer: ClassVar[type[Consumer]] = Consumer


def register() -> None:
    """Let Faust know the scheme `fanbell://`. Raises FaustChanged."""
    check()
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
