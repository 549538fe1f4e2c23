"""Appending to partitions of Kafka: whole batches, one unacknowledged batch per partition and process.

What is appended to a partition while a batch is on its way goes together in the next one, so many callers cost
little more than one. What does not fit in one batch goes in several, each after the one before was acknowledged: a
failure leaves a beginning of it, never a hole.

A batch that failed, or whose fate is unknown at the bound, ends the producer that sent it: an idempotent producer
would go on trying for ever, and count wrongly afterwards. The next batch takes a new one. What was sent by the old
one may still arrive; readers know repeats by what is in the records.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed
from msgspec import Struct

from fanbell.streams.kafka import RETRY_S, KafkaConfig, producer
from fanbell.streams.kafka_calls import MISSING
from fanbell.streams.log import Entry, LogFailed

logger = structlog.get_logger()
CANCEL_EVERY_S: Final = 0.2
END_S: Final = 5.0  # for the connections of a producer to end; then they are left to the collector


class _Call(Struct, eq=False):
    """One caller's entries: how many are in a batch already, where the first came to stand, and who waits."""

    entries: Sequence[Entry]
    done: asyncio.Future[int]
    taken: int = 0
    first: int = -1


class _Held(Struct, eq=False):
    """A producer, how many batches of it are on their way, and whether it takes more."""

    producer: AIOKafkaProducer
    batches: int = 0
    retired: bool = False


class Appends:
    """Topics are named as the cluster names them."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._waiting: dict[tuple[str, int], deque[_Call]] = {}
        """By partition, in order; one that is here has a task that works on it."""
        self._working: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._held: _Held | None = None
        self._starting = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Connect. Raises LogFailed."""
        try:
            async with asyncio.timeout(self._config.bound_s):
                await self._producer()
        except (KafkaError, OSError) as error:
            raise LogFailed(f"Kafka at {self._config.servers} takes no producer: {error!r}") from error

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        """As the log's `append`, for at least one entry. Contiguous among what this process appends."""
        return (await self.append_all(topic, [(partition, entries)]))[0]

    async def append_all(self, topic: str, batches: Sequence[tuple[int, Sequence[Entry]]]) -> list[int]:
        """Append to partitions of one topic, side by side; the first offset of each. One wait for all of them: a stage
        appends to every partition at once, many times a second.

        Raises LogFailed, when all have ended, if one of them failed.
        """
        calls = [self._enter(topic, partition, entries) for partition, entries in batches]
        try:
            _, late = await asyncio.wait([call.done for call in calls], timeout=self._config.bound_s)
        except BaseException:
            for call in calls:
                call.done.cancel()
            raise
        why = f"not acknowledged within {self._config.bound_s:g} s"
        for (partition, _), call in zip(batches, calls, strict=True):
            if call.done in late:
                _fail(call, LogFailed(f"append to {topic}[{partition}] at {self._config.servers}: {why}"))
        return _results(calls)

    def _enter(self, topic: str, partition: int, entries: Sequence[Entry]) -> _Call:
        call = _Call(entries, asyncio.get_running_loop().create_future())
        waiting = self._waiting.get((topic, partition))
        if waiting is None:
            waiting = self._waiting[topic, partition] = deque()
            _spawn(self._work(topic, partition, waiting), self._working)
        waiting.append(call)
        return call

    async def close(self) -> None:
        """Give up what is on its way, and end the producer. Nothing is appended any more."""
        self._closed = True
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        for (topic, partition), waiting in self._waiting.items():  # of workers that had not begun
            _fail_all(waiting, topic, partition)
        self._waiting.clear()
        if self._held is not None:
            await _end(self._held.producer)
            self._held = None
        await asyncio.gather(*self._ending)

    async def _work(self, topic: str, partition: int, waiting: deque[_Call]) -> None:
        """Batch after batch, until nobody waits."""
        try:
            while waiting:
                await self._one_batch(topic, partition, waiting)
        finally:
            self._waiting.pop((topic, partition), None)
            _fail_all(waiting, topic, partition)

    async def _one_batch(self, topic: str, partition: int, waiting: deque[_Call]) -> None:
        carried: list[tuple[_Call, int]] = []
        try:
            async with asyncio.timeout(self._config.bound_s):
                held = await self._producer()
                builder = held.producer.create_batch()
                _fill(builder, waiting, carried)
                base = await self._send(held, builder, topic, partition) if carried else -1
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            why = str(error) if isinstance(error, LogFailed) else repr(error)
            failed = LogFailed(f"append to {topic}[{partition}] at {self._config.servers}: {why}")
            failed.__cause__ = error
            for call in {call for call, _ in carried} or set(waiting):
                _fail(call, failed)
        else:
            for call, position in carried:
                if call.first < 0:
                    call.first = base + position
                if call.taken == len(call.entries) and not call.done.done():
                    call.done.set_result(call.first)
        while waiting and waiting[0].done.done():
            waiting.popleft()

    async def _producer(self) -> _Held:
        async with self._starting:
            if self._closed:
                raise LogFailed("the log was closed")
            if self._held is None:
                made = producer(self._config)
                try:
                    await made.start()
                    await made.client.force_metadata_update()  # of all topics: naming one could create it
                except BaseException:
                    await _end(made)
                    raise
                self._held = _Held(made)
            return self._held

    async def _send(self, held: _Held, builder: Any, topic: str, partition: int) -> int:
        await self._known(held.producer.client, topic)
        held.batches += 1
        try:
            sent = await held.producer.send_batch(builder, topic, partition=partition)
            # aiokafka itself has to end the future of a batch, whoever gives up waiting; then nobody hears its failure.
            sent.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            base: int = (await asyncio.shield(sent)).offset
            if base < 0:
                raise LogFailed("acknowledged, but the broker no longer knows at which offset")
        except BaseException:
            held.retired = True
            if self._held is held:
                self._held = None
            raise
        else:
            return base
        finally:
            held.batches -= 1
            if held.retired and not held.batches:
                _spawn(_end(held.producer), self._ending)

    async def _known(self, client: Any, topic: str) -> None:
        """Wait, if must be, until the producer has heard of `topic`: one that has not would ask for it, by name."""
        until = time.monotonic() + self._config.bound_s / 2
        while client.cluster.partitions_for_topic(topic) is None:
            if time.monotonic() > until:
                raise LogFailed(f"there is no such topic: {MISSING}")
            await asyncio.sleep(RETRY_S)
            await client.force_metadata_update()


def _spawn(work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)


def _fill(builder: Any, waiting: deque[_Call], carried: list[tuple[_Call, int]]) -> None:
    """Put as much in the batch as it holds, in order; note for each caller where in it its part begins."""
    position = 0
    for call in waiting:
        if call.done.done():
            continue  # gave up
        begun = call.taken
        for entry in call.entries[begun:] if begun else call.entries:
            if builder.append(timestamp=entry.timestamp_ms, key=entry.key, value=entry.value) is None:
                break
            call.taken += 1
        if call.taken > begun:
            carried.append((call, position))
            position += call.taken - begun
        if call.taken < len(call.entries):
            break
    builder.close()  # an open one lingers


def _results(calls: Sequence[_Call]) -> list[int]:
    """Where each came to stand, or the first failure; the others' are looked at too, or they would be reported."""
    failures = [error for call in calls if (error := call.done.exception()) is not None]
    if failures:
        raise failures[0]
    return [call.done.result() for call in calls]


def _fail(call: _Call, error: LogFailed) -> None:
    if not call.done.done():
        call.done.set_exception(error)


def _fail_all(waiting: deque[_Call], topic: str, partition: int) -> None:
    for call in waiting:
        _fail(call, LogFailed(f"append to {topic}[{partition}]: the log was closed"))


async def _end(made: AIOKafkaProducer) -> None:
    """End a producer without waiting for what it tries to send: its own `stop` would, for ever."""
    task = made._sender.sender_task
    try:
        async with asyncio.timeout(END_S):
            for connection in made.client._conns.values():
                if connection._writer is not None:
                    connection._writer.transport.abort()  # a frozen broker takes nothing that is still here
            await made.client.close()  # what waits for an answer fails now
            while task is not None and not task.done():
                task.cancel()  # again and again: what it waits for may take one cancellation for its own
                await asyncio.wait([task], timeout=CANCEL_EVERY_S)
            _fail_batches(made._message_accumulator)
            await made.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        logger.warning("producer_not_ended", error=repr(error))
    finally:
        made._closed = True  # as far as it can be: nothing more will be done about it


def _fail_batches(accumulator: Any) -> None:
    """Tell those who wait. A batch that waits to be sent again is no longer pending, but its callback takes it so."""
    accumulator._pending_batches.update(batch for some in accumulator._batches.values() for batch in some)
    waiting = list(accumulator._pending_batches)
    accumulator.fail_all(ProducerClosed())
    for batch in waiting:
        if batch._drain_waiter.done():
            batch._drain_waiter.exception()  # nobody waits for this one: whole batches are appended
