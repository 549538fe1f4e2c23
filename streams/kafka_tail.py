"""Following partitions of Kafka: what comes is handed over as soon as it is there. No consumer group.

The trouble of a partition is its own: one that has no leader, or whose leader fails, is asked for again after a pause,
and the others go on meanwhile. It is an error only where nothing can be followed.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError

from fanbell.streams.kafka import RETRY_S, KafkaConfig
from fanbell.streams.kafka_calls import Calls
from fanbell.streams.kafka_fetch import fetch, fetched, parts
from fanbell.streams.kafka_reads import Reads
from fanbell.streams.log import LogFailed, Record

WAIT_MS: Final = 200  # a broker holds a question so long; a partition that is added waits for its end at most
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # of one broker, in memory between two `getmany`
logger = structlog.get_logger()


class Tail:
    """One reader's view of one topic, named as the cluster names it; for one caller at a time.

    A `getmany` that is cancelled loses nothing.
    """

    def __init__(self, config: KafkaConfig, topic: str, positions: Mapping[int, int]) -> None:
        self._config, self._topic = config, topic
        self._calls = Calls(config)
        self._starts = Reads(self._calls)
        self._positions = dict(positions)
        self._asked: dict[asyncio.Task[Any], tuple[int, dict[int, int]]] = {}
        """The question under way: the broker, and from where on it was asked for each partition."""
        self._rests: dict[int, tuple[float, KafkaError]] = {}
        """Partitions in trouble: which, and until when, by the monotonic clock, they are not asked for again."""
        self._refreshing: asyncio.Task[None] | None = None
        self._outside: set[int] = set()
        """Partitions whose log does not have what is to come next."""

    async def open(self) -> None:
        """Connect. Raises LogFailed."""
        await self._calls.open()

    async def close(self) -> None:
        """End the connections."""
        tasks = [*self._asked, *([self._refreshing] if self._refreshing is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._asked.clear()
        await self._calls.close()

    @property
    def positions(self) -> Mapping[int, int]:
        """By partition, the offset from which on nothing was handed over yet."""
        return self._positions

    def add(self, partition: int, offset: int) -> None:
        """Follow `partition` too, from `offset` on; one that is followed already goes on from there."""
        self._positions[partition] = offset

    def remove(self, partition: int) -> None:
        """Follow `partition` no longer: from now on nothing of it is handed over."""
        self._positions.pop(partition, None)

    async def getmany(self, timeout_s: float | None = None) -> dict[int, list[Record]]:
        """What is there, by partition, in order; waits for the first record, at most so long, then empty.

        Raises LogFailed if there was no good answer for as long as a call may take.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        good = time.monotonic()
        while True:
            try:
                await self._move()
                self._ask()
                left_s = None if until is None else max(0.0, until - time.monotonic())
                found = await self._answers(left_s)
                good = time.monotonic()
            except KafkaError as error:
                if not error.retriable or time.monotonic() - good > self._config.bound_s:
                    raise LogFailed(
                        f"following {self._topic} at {self._config.servers}: {error!r}"
                    ) from error
                await asyncio.sleep(RETRY_S)
                if error.invalid_metadata:
                    await self._calls.refresh()
                continue
            if found or (until is not None and time.monotonic() >= until):
                return found

    def _ask(self) -> None:
        """Ask each broker that is not being asked for what it leads. Raises KafkaError if nothing can be asked."""
        now = time.monotonic()
        busy = {node for node, _ in self._asked.values()}
        wanted: defaultdict[int, dict[int, int]] = defaultdict(dict)
        failed: KafkaError | None = None
        for partition, offset in self._positions.items():
            rest = self._rests.get(partition)
            if rest is not None and rest[0] > now:
                failed = rest[1]
                continue
            try:
                node = self._calls.leader(self._topic, partition)
            except KafkaError as error:
                failed = error
                self._rest(partition, error)
                continue
            if node not in busy:
                wanted[node][partition] = offset
        if failed is not None and not wanted and not self._asked:
            raise failed
        for node, positions in wanted.items():
            request = fetch(self._topic, positions.items(), WAIT_MS, ANSWER_BYTES_MAX)
            task = asyncio.get_running_loop().create_task(self._calls.send(node, request))
            self._asked[task] = (node, positions)

    def _rest(self, partition: int, error: KafkaError) -> None:
        """Leave it alone for a moment; a broker answers by an error at once, and would be asked all the time."""
        self._rests[partition] = time.monotonic() + RETRY_S, error
        if error.invalid_metadata and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        """Learn who leads what, while the other partitions are followed."""
        try:
            await self._calls.refresh()
        except LogFailed as error:  # it is asked again, for as long as a partition is in trouble
            logger.warning("who leads a partition cannot be learned", topic=self._topic, error=str(error))

    async def _answers(self, timeout_s: float | None) -> dict[int, list[Record]]:
        """What the first answer holds. An error is raised only if nothing was well in it: it comes again."""
        if not self._asked:  # nothing is followed yet
            await asyncio.sleep(min(RETRY_S, RETRY_S if timeout_s is None else timeout_s))
            return {}
        done, _ = await asyncio.wait(self._asked, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        found: dict[int, list[Record]] = {}
        failed: KafkaError | None = None
        well = False
        for task in done:
            _, asked = self._asked.pop(task)
            try:
                answered = list(parts(task.result()))
            except KafkaError as error:
                failed = error
                continue
            for partition, error_code, rest in answered:
                if self._positions.get(partition) != asked[partition]:
                    continue
                try:
                    self._take(partition, error_code, rest, found)
                    self._rests.pop(partition, None)
                    well = True
                except KafkaError as error:
                    failed = error
                    self._rest(partition, error)
        if failed is not None and (not well or (not failed.retriable and not found)):
            raise failed
        return found

    def _take(self, partition: int, error_code: int, rest: Any, found: dict[int, list[Record]]) -> None:
        now = fetched(self._topic, partition, self._positions[partition], error_code, rest)
        if now is None:
            self._outside.add(partition)
            return
        records = list(now.records)
        self._positions[partition] = now.records.next_fetch_offset
        if records:
            found[partition] = records

    async def _move(self) -> None:
        """Go on at the start where what was to come next has been trimmed away."""
        for partition in list(self._outside):
            start = await self._starts.start(self._topic, partition)
            self._outside.discard(partition)
            offset = self._positions.get(partition)
            if offset is None:
                continue
            if offset >= start:
                raise LogFailed(f"{self._topic}[{partition}] ends before {offset}: it was cut or replaced")
            self._positions[partition] = start
