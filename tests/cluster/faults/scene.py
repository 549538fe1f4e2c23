"""A cluster of real processes with people in it: what happens to it is up to the test; then all is checked."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fanbell import Producer
from fanbell.infra.local.cluster import Cluster
from fanbell.projections.store import Store, StoreFailed
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.schemas.codec import decode
from fanbell.schemas.topics import NOTICES
from fanbell.streams.cassandra import CassandraConfig, connect
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log import LogFailed
from fanbell.streams.log_kafka import KafkaLog
from tests.cluster import town
from tests.cluster.faults.checker import check
from tests.cluster.faults.gather import Kept, gather, model, published, read_logs
from tests.cluster.faults.listening import Listener
from tests.cluster.faults.people import ANSWER_S, PEOPLE, People
from tests.cluster.processes import Installation, Process, installation
from tests.forked import FANBELL
from tests.simulation.wrong import Wrong

SETTLE_S: Final = (
    180.0  # sessions that time out, rebalances, reading on, on a busy machine: by then, or never
)
QUIET_S: Final = 25.0  # if nothing moves for so long, nothing will
CHECKED_S: Final = 15.0  # frames are a moment behind rows
AGAIN_S: Final = 0.5  # between two looks
KEEP: Final = 10_000
REQUEST_MS: Final = 3_000  # to Cassandra
SHOWN_MAX: Final = 12
VARIANT: Final = "tests.cluster.faults.variant"
UNREAD: Final = (LogFailed, StoreFailed)
"""A server that is back is found again by clients within some seconds, by each in its own time."""


class Scene:
    """See the module. Processes end with the block that made it."""

    def __init__(self, made: Installation, log: KafkaLog, store: Store, producer: Producer) -> None:
        self.made, self.log, self.store, self.producer = made, log, store, producer
        self.workers: list[Process] = []
        self.edges: list[Process] = []
        self.api: str = ""
        self.people: list[People] = []
        self.listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted: tuple[tuple[int, int], town.Told] = ((0, 0), {})
        """How many activities and changes there were, and what one process tells of them."""

    # Processes

    async def start(self, *args: str, variant: str = "") -> Process:
        """Start `fanbell ARGS`; `variant` names a row of `variant.VARIANTS` that it has."""
        module = (VARIANT, variant) if variant else (FANBELL,)
        return await asyncio.to_thread(lambda: self.made.start(*args, module=module))

    async def add_worker(self, variant: str = "") -> Process:
        worker = await self.start("worker", variant=variant)
        self.workers.append(worker)
        return worker

    async def kill_worker(self, worker: Process) -> None:
        self.workers.remove(worker)
        await asyncio.to_thread(worker.kill)

    async def stop_worker(self, worker: Process) -> int:
        """Its exit code."""
        self.workers.remove(worker)
        return await asyncio.to_thread(worker.end)

    async def add_edge(self, variant: str = "") -> Process:
        edge = await self.start("edge", "--port", "0", variant=variant)
        self.edges.append(edge)
        self._tell_edges()
        return edge

    async def kill_edge(self, edge: Process) -> None:
        self.edges.remove(edge)
        self._tell_edges()
        await asyncio.to_thread(edge.kill)

    def _tell_edges(self) -> None:
        for listener in self.listeners:
            listener.edges = [edge.told["edge"] for edge in self.edges] or listener.edges

    async def begin(self, workers: int = 2, edges: int = 1, variant: str = "") -> None:
        """Start processes, side by side, and let everybody follow and listen. `variant`: of the workers."""
        starting = [self.add_worker(variant) for _ in range(workers)]
        starting += [self.add_edge() for _ in range(edges)]
        api, *_ = await asyncio.gather(self.start("api", "--port", "0"), *starting)
        self.api = api.told["http"]
        for worker in self.workers:
            await until(lambda worker=worker: ready(worker), "a worker is ready")  # type: ignore[misc]
        await self.person(0).follow()
        if edges:
            await self.listen([Listener(user, [edge.told["edge"] for edge in self.edges]) for user in PEOPLE])

    async def listen(self, listeners: Sequence[Listener]) -> None:
        """Once all of them are online."""
        self.listeners += listeners
        self._tasks += [asyncio.create_task(one.run()) for one in listeners]
        await until_now(lambda: all(one.sessions for one in listeners), "all are online")

    def person(self, seed: int) -> People:
        """People who have not begun yet."""
        self.people.append(People(seed, self.api, self.producer, f"{chr(97 + len(self.people))}-"))
        return self.people[-1]

    @asynccontextmanager
    async def load(self, seed: int = 1) -> AsyncIterator[People]:
        """People are at it until the block ends; what they try at its end is finished."""
        people = self.person(seed)
        running = asyncio.create_task(people.run())
        try:
            yield people
            people.stop()
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What came of it

    async def checked(self, quiet_s: float = QUIET_S, within_s: float = CHECKED_S) -> list[Wrong]:
        """What is wrong once all has come to rest, and still is after `within_s`."""
        await self.rest(quiet_s)
        found = await self._found()
        end = time.monotonic() + within_s  # the first look alone may take as long on a busy machine
        while found and time.monotonic() < end:
            await asyncio.sleep(AGAIN_S)
            found = await self._found()
        return found

    async def _found(self) -> list[Wrong]:
        try:
            outcome = await gather(self.log, self.store, self.api, self.people, self.listeners)
        except UNREAD as error:
            return [Wrong("stuck", f"cannot be read: {error}")]
        return check(outcome) + self._ended()

    def _ended(self) -> list[Wrong]:
        """Processes that nobody ended."""
        codes = [process.process.poll() for process in (*self.workers, *self.edges)]
        return [Wrong("stuck", f"a process ended by itself: {code}") for code in codes if code is not None]

    async def well(self) -> None:
        """Assert that nothing is wrong, once all has come to rest."""
        found = await self.checked()
        assert not found, "\n".join(f"{one.what}: {one.detail}" for one in found[:SHOWN_MAX])

    async def rest(self, quiet_s: float = QUIET_S) -> None:
        """Until everything is told and in inboxes, or nothing has moved for `quiet_s`: the checker then says what is
        missing."""
        end, moved_at, before = time.monotonic() + SETTLE_S, time.monotonic(), None
        while time.monotonic() < min(end, moved_at + quiet_s):
            try:
                kept = await read_logs(self.log)
                positions = await self.store.positions()
            except UNREAD:
                await asyncio.sleep(AGAIN_S)
                continue
            if projected(kept, positions) and self._told(kept):
                return
            now = {place: len(records) for place, records in kept.records.items()}, positions
            if now != before:
                before, moved_at = now, time.monotonic()
            await asyncio.sleep(AGAIN_S)

    def _told(self, kept: Kept) -> bool:
        """Whether `notices` tells what one process does."""
        activities, changes = published(kept)
        asked = len(activities), len(changes)
        if self._wanted[0] != asked:
            self._wanted = asked, model(activities, changes)
        found: town.Told = {}
        try:
            for partition in range(kept.partitions):
                found |= town.told(kept.records_now(NOTICES, partition))
        except AssertionError:  # told wrongly: the checker says how
            return False
        return found == self._wanted[1]

    async def ends(self) -> dict[int, int]:
        """By partition, the end of `notices`."""
        return {number: await self.log.end(NOTICES, number) for number in range(self.log.partitions)}


def projected(kept: Kept, positions: Mapping[int, int]) -> bool:
    """Whether inboxes have everything. The position names the last record that was no repeat."""
    for partition in range(kept.partitions):
        last, offset = (-1, -1), -1
        for record in kept.records_now(NOTICES, partition):
            item = decode(record.value)
            if (item.n, item.index) > last:
                last, offset = (item.n, item.index), record.offset
        if positions.get(partition, -1) < offset:
            return False
    return True


@asynccontextmanager
async def scene(
    servers: Cluster, folder: Path, more: Mapping[str, str] = MappingProxyType({}), partitions: int = 4
) -> AsyncIterator[Scene]:
    """An installation of its own on `servers`, without processes yet. `more`: settings of all, as variables."""
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        keeping = installation(servers, folder, partitions, more)
        made = await asyncio.to_thread(keeping.__enter__)
        stack.push_async_callback(asyncio.to_thread, keeping.__exit__, None, None, None)
        prefix, keyspace = (
            made.environ["FANBELL_KAFKA_TOPIC_PREFIX"],
            made.environ["FANBELL_CASSANDRA_KEYSPACE"],
        )
        brokers = tuple(servers.bootstrap.split(","))
        log = await KafkaLog.open(KafkaConfig(bootstrap_servers=brokers, topic_prefix=prefix))
        stack.push_async_callback(log.close)
        cassandra = await connect(
            CassandraConfig(
                contact_points=(servers.contact_points,), keyspace=keyspace, request_timeout_ms=REQUEST_MS
            )
        )
        stack.push_async_callback(cassandra.close)
        producer = await stack.enter_async_context(Producer(brokers, topic_prefix=prefix))
        made_scene = Scene(made, log, CassandraStore(cassandra, KEEP), producer)
        stack.push_async_callback(made_scene.close)
        yield made_scene


# Asking processes


async def ready(worker: Process) -> bool:
    """Whether a worker, which must be running, has all of its partitions open."""
    assert worker.process.poll() is None, f"it ended: {worker.process.poll()}"
    try:
        # Asked again and again: to read who signs certificates takes 60 ms each time, and none is shown.
        async with httpx.AsyncClient(timeout=5, verify=False) as client:
            return (await client.get(f"{worker.told['health']}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def held(worker: Process, stage: str) -> set[int]:
    """The partitions of `stage` that a worker has open."""
    async with httpx.AsyncClient(timeout=ANSWER_S, verify=False) as client:
        text = (await client.get(f"{worker.told['health']}/metrics")).text
    return {
        int(sample.labels["partition"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "fanbell_open" and sample.labels["stage"] == stage and sample.value
    }


async def until(holds: Callable[[], Awaitable[Any]], why: str, seconds: float = SETTLE_S) -> None:
    end = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < end, f"after {seconds} s not yet: {why}"
        await asyncio.sleep(0.1)


async def until_now(holds: Callable[[], Any], why: str, seconds: float = SETTLE_S) -> None:
    async def ask() -> Any:
        return holds()

    await until(ask, why, seconds)


def freeze(process: Process) -> None:
    process.process.send_signal(signal.SIGSTOP)


def thaw(process: Process) -> None:
    process.process.send_signal(signal.SIGCONT)
