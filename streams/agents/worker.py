"""A worker: the stages' agents in one Faust app, and the partitions that the group has given to this process.

It runs in the event loop that is there. Faust says which partitions are ours and hands over what it fetched; each is
held by a task of its own (`held.py`). Whatever cannot be gone on with ends `run` by its exception, and nothing of that
batch is committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from typing import Any, Final, cast

import structlog
from faust.types import TP
from msgspec import Struct

from fanbell.streams.agents import batches
from fanbell.streams.agents.batches import Application, Batch, Consumer
from fanbell.streams.agents.beat import Beat
from fanbell.streams.agents.held import Held
from fanbell.streams.agents.part import Stage
from fanbell.streams.kafka import KafkaConfig

logger = structlog.get_logger()

PAUSE_S: Final = (
    3.0  # for a batch under way at a rebalance: the others wait for us, within their session timeout
)
REBALANCE_S: Final = (
    10.0  # at least so long the group waits for a worker that pauses and commits: 6 s, then cut off
)
LEAVE_S: Final = 20.0  # for the last snapshots of a worker that is told to stop
GOLDEN: Final = (
    0.618  # multiples of the golden section, without their whole part, lie apart however many there are
)
FOLDS_MORE: Final = "who takes over folds a little more"


class Membership(Struct, frozen=True):
    """How the process takes part in its group."""

    group: str = "workers"
    """Its name in Kafka, after the prefix that topics have too"""
    session_timeout_s: float = 12.0
    """After so long without a heartbeat, a worker's partitions are given to others"""
    commit_every_s: float = 1.0
    data: str = "faust"
    """A folder that Faust makes and writes nothing of ours into"""


class Partitions:
    """Those of one stage that this worker holds."""

    def __init__(
        self,
        stage: Stage,
        topic: str,
        consumer: Callable[[], Consumer],
        broken: Callable[[BaseException], None],
    ):
        self.stage, self.topic = stage, topic
        self.held: dict[int, Held] = {}
        self._consumer, self._broken = consumer, broken
        self._beat = Beat(stage.gather_s)
        self._leaving = False
        """From then on nothing is begun, whatever the group gives out."""

    def take(self, fetched: Iterable[Batch]) -> None:
        """What was fetched of some partitions; of one that is not held any more, nothing."""
        for batch in fetched:
            held = self.held.get(batch.partition)
            if held is not None:
                held.take(batch.records)

    def look(self, partition: int) -> None:
        """A batch was fetched and not handed over."""
        if partition in self.held:
            self.held[partition].look()

    async def pause(self, seconds: float, for_good: bool = False) -> None:
        """Let every batch under way be finished; a partition that takes longer is dropped, its outcome open.

        `for_good`: what is assigned afterwards is for others, and nothing goes on.
        """
        self._leaving = self._leaving or for_good
        pausing = {asyncio.create_task(held.pause()): number for number, held in self.held.items()}
        if pausing:
            _, late = await asyncio.wait(pausing, timeout=seconds)
            for task in late:
                task.cancel()
                number = pausing[task]
                if number in self.held:  # unless another pause has dropped it
                    logger.warning("batch_cut_off", stage=self.stage.name, partition=number, waited_s=seconds)
                    await self.held.pop(number).drop()

    async def assign(self, numbers: Iterable[int]) -> None:
        """Hold these and no others. What was paused and stays goes on where it stood."""
        wanted = set(numbers)
        if not self._leaving:
            await self._keep_only(wanted)
        for number in () if self._leaving else sorted(wanted):  # asked again: dropping takes a moment
            if number in self.held and not self.held[number].ended:
                self.held[number].resume()
            else:
                self.held[number] = self._hold(number)

    async def leave(self) -> None:
        """Save what is paused, each partition by itself, and let it go."""
        try:
            await _all(self._save(number, held) for number, held in self.held.items())
        finally:
            await self.drop()

    async def drop(self) -> None:
        """End at once what is held; nothing is begun any more."""
        self._leaving = True
        await self._keep_only(set())

    async def _save(self, number: int, held: Held) -> None:
        try:
            await held.leave()
        except self.stage.failures as error:
            where = {"stage": self.stage.name, "partition": number}
            logger.warning("left_without_saving", **where, error=repr(error), then=FOLDS_MORE)

    async def _keep_only(self, wanted: Set[int]) -> None:
        for number in self.held.keys() - wanted:
            if (held := self.held.pop(number, None)) is not None:
                await held.drop()

    def _hold(self, number: int) -> Held:
        tp = TP(self.topic, number)
        return Held(
            self.stage,
            number,
            self._beat if self.stage.together else Beat(self.stage.gather_s, phase=number * GOLDEN % 1),
            done=lambda offset: self._consumer().done(tp, offset),
            full=lambda full: self._consumer().set_full(tp, full),
            broken=self._broken,
        )


class Worker:
    """See the module. Raises FaustChanged."""

    def __init__(self, kafka: KafkaConfig, stages: Sequence[Stage], membership: Membership) -> None:
        batches.register()
        self._app = _app(kafka, membership)
        self._failed: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self.rebalances = 0
        self.partitions = [
            Partitions(stage, kafka.topic(stage.topic), lambda: self._consumer, self._broken)
            for stage in stages
        ]
        self._by_topic = {partitions.topic: partitions for partitions in self.partitions}
        for partitions in self.partitions:
            topic = self._app.topic(
                partitions.topic, key_serializer="raw", value_serializer="raw", acks=False
            )
            partitions.stage.attach(self._app, topic, partitions)
        signals: Any = self._app  # typed for handlers that also take what Faust may send one day
        signals.on_partitions_revoked.connect(self._on_revoked)
        signals.on_partitions_assigned.connect(self._on_assigned)

    async def run(self) -> None:
        """Work until `stop`. Raises what ended the process otherwise."""
        self._failed = asyncio.get_running_loop().create_future()
        ends: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._stopping.wait()),
            asyncio.create_task(self._app._crashed.wait()),
            self._failed,
        ]
        try:
            await self._app.start()
            self._consumer.dropped = self._dropped
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._leave()
        finally:
            await self._end(ends)
        if self._failed.done() and not self._failed.cancelled():
            self._failed.result()
        if self._app._crashed.is_set():
            raise self._app.crash_reason or RuntimeError("Faust crashed without a reason")

    def stop(self) -> None:
        """Let `run` finish what is under way, save and return. To be called on a signal."""
        self._stopping.set()

    @property
    def ready(self) -> bool:
        """Whether the group has given out partitions and all of ours are open."""
        held = [one for partitions in self.partitions for one in partitions.held.values()]
        return self.rebalances > 0 and not self._app.rebalancing and all(one.open for one in held)

    def numbers(self) -> dict[tuple[str, int], dict[str, float]]:
        """By stage and partition, what to show of it: its offset, how far behind it is, …"""
        shown = {}
        for partitions in self.partitions:
            for number, held in sorted(partitions.held.items()):
                fetched = self._end_of(TP(partitions.topic, number))
                shown[partitions.stage.name, number] = held.numbers(fetched)
        return shown

    @property
    def _consumer(self) -> Consumer:
        return cast(Consumer, self._app.consumer)

    def _end_of(self, tp: TP) -> int | None:
        """The offset after the last record, as far as a fetch has told; None until one has."""
        consumer = self._consumer
        return consumer.highwater(tp) if tp in consumer.assignment() else None

    async def _on_revoked(self, app: Any, revoked: set[TP], **_: Any) -> None:
        await _all(partitions.pause(PAUSE_S) for partitions in self.partitions)
        await self._consumer.commit()

    async def _on_assigned(self, app: Any, assigned: set[TP], **_: Any) -> None:
        self.rebalances += 1
        logger.info("partitions_assigned", assigned=sorted(f"{tp.topic}[{tp.partition}]" for tp in assigned))
        for partitions in self.partitions:
            await partitions.assign(tp.partition for tp in assigned if tp.topic == partitions.topic)

    def _dropped(self, tp: TP) -> None:
        if tp.topic in self._by_topic:
            self._by_topic[tp.topic].look(tp.partition)

    def _broken(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _leave(self) -> None:
        """Finish, save, commit: so that who takes over begins where this ends."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await _all(partitions.pause(PAUSE_S, for_good=True) for partitions in self.partitions)
                await self._consumer.commit()
                await _all(partitions.leave() for partitions in self.partitions)
        except TimeoutError:
            logger.warning("left_without_saving", waited_s=LEAVE_S, then=FOLDS_MORE)

    async def _end(self, ends: Sequence[asyncio.Future[Any]]) -> None:
        for end in ends:
            if end is not self._failed:
                end.cancel()
        for partitions in self.partitions:
            await partitions.drop()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._app.stop()
        except TimeoutError:
            logger.warning("group_not_left", waited_s=LEAVE_S, then="its session times out")


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Each to its end, side by side; then raise what the first one that failed did."""
    for one in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one


def _app(kafka: KafkaConfig, membership: Membership) -> Application:
    app = Application(
        kafka.topic(membership.group),
        broker=[f"{batches.SCHEME}://{server}" for server in kafka.bootstrap_servers],
        datadir=membership.data,
        processing_guarantee="at_least_once",
        broker_session_timeout=membership.session_timeout_s,
        broker_heartbeat_interval=membership.session_timeout_s / 4,
        broker_rebalance_timeout=max(REBALANCE_S, membership.session_timeout_s),
        broker_commit_interval=membership.commit_every_s,
        broker_max_poll_records=None,
        key_serializer="raw",
        value_serializer="raw",
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
    )
    app.kafka = kafka
    return app
