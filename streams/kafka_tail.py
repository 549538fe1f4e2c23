"""Following partitions of Kafka: what comes is handed over as soon as it is there. No consumer group."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from fanbell.streams.kafka import RETRY_S, KafkaConfig
from fanbell.streams.kafka_calls import Calls
from fanbell.streams.kafka_fetch import fetch, fetched, parts
from fanbell.streams.kafka_reads import Reads
from fanbell.streams.log import LogFailed, Record

WAIT_MS: Final = 200  # a broker holds a question so long; a partition that is added waits for its end at most
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # of one broker, in memory between two `getmany`


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
        self._outside: set[int] = set()
        """Partitions whose log does not have what is to come next."""

    async def open(self) -> None:
        """Connect. Raises LogFailed."""
        await self._calls.open()

    async def close(self) -> None:
        """End the connections."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
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

        Raises LogFailed if a broker gave no good answer for as long as a call may take.
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
        """Ask each broker that is not being asked for what it leads."""
        busy = {node for node, _ in self._asked.values()}
        wanted: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for partition, offset in self._positions.items():
            node = self._calls.leader(self._topic, partition)
            if node not in busy:
                wanted[node][partition] = offset
        for node, positions in wanted.items():
            request = fetch(self._topic, positions.items(), WAIT_MS, ANSWER_BYTES_MAX)
            task = asyncio.get_running_loop().create_task(self._calls.send(node, request))
            self._asked[task] = (node, positions)

    async def _answers(self, timeout_s: float | None) -> dict[int, list[Record]]:
        """What the first answer holds. An error is raised only if nothing was handed over with it: it comes again."""
        if not self._asked:  # nothing is followed yet
            await asyncio.sleep(min(RETRY_S, RETRY_S if timeout_s is None else timeout_s))
            return {}
        done, _ = await asyncio.wait(self._asked, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        found: dict[int, list[Record]] = {}
        failed: KafkaError | None = None
        for task in done:
            _, asked = self._asked.pop(task)
            try:
                for partition, error_code, rest in parts(task.result()):
                    if self._positions.get(partition) == asked[partition]:
                        self._take(partition, error_code, rest, found)
            except KafkaError as error:
                failed = error
        if failed is not None and not found:
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
