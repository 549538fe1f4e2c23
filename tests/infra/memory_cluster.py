"""A cluster in one process and in memory: a log that can be followed, and workers that are stepped by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from fanbell.edge.tickets import MemoryTickets
from fanbell.infra.cluster import Clustered
from fanbell.infra.settings import Settings
from fanbell.projections.projector import Projector
from fanbell.projections.store import StoreFailed
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.records import Told
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots_memory import MemorySnapshots

PARTITIONS = 2


class FollowedLog(MemoryLog):
    """A log whose appends wake those who follow it. While `away` it fails; `unled` are partitions without a leader."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS, "cluster")
        self.away = False
        self.unled: set[tuple[str, int]] = set()
        self.appends = 0
        self._grown = asyncio.Condition()

    async def pause(self, moment: str, topic: str, partition: int) -> None:
        if self.away:
            raise LogFailed("the log is away")
        await asyncio.sleep(0)

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        first = await super().append(topic, partition, entries)
        async with self._grown:
            self.appends += 1
            self._grown.notify_all()
        return first

    async def end(self, topic: str, partition: int) -> int:
        if (topic, partition) in self.unled:
            raise LogFailed(f"{topic}[{partition}] has no leader")
        return await super().end(topic, partition)

    async def tail(self, topic: str, positions: Mapping[int, int]) -> "MemoryTail":
        return MemoryTail(self, topic, dict(positions))

    async def growth(self, appends: int) -> None:
        """Wait until there were more appends than that."""
        async with self._grown:
            await self._grown.wait_for(lambda: self.appends > appends)


class MemoryTail:
    """What follows a `FollowedLog`."""

    def __init__(self, log: FollowedLog, topic: str, at: dict[int, int]) -> None:
        self._log, self._topic, self._at = log, topic, at

    async def getmany(self) -> dict[int, list[Record]]:
        while True:
            appends, batches = self._log.appends, {}
            for partition, offset in list(self._at.items()):
                found = await self._log.read(self._topic, partition, offset, 100)
                if found and self._at.get(partition) == offset:  # removed, or moved, meanwhile
                    batches[partition] = found
                    self._at[partition] = found[-1].offset + 1
            if batches:
                return batches
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._log.growth(appends), 0.01
                )  # as a broker: some may have been added

    def add(self, partition: int, offset: int) -> None:
        self._at[partition] = offset

    def remove(self, partition: int) -> None:
        self._at.pop(partition, None)

    async def close(self) -> None:
        pass


class AwayStore(MemoryStore):
    """A store that can be away."""

    away = False

    async def positions(self) -> dict[int, int]:
        self._check()
        return await super().positions()

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        self._check()
        await super().apply(batches, positions)

    def _check(self) -> None:
        if self.away:
            raise StoreFailed("the store is away")


class Workers:
    """What the workers of a cluster do, a step at a time."""

    def __init__(self, log: FollowedLog, store: MemoryStore) -> None:
        self.log, self.store = log, store
        self.snapshots = MemorySnapshots()
        self.replicas: list[Replica[Any]] = []
        self.projectors: list[Projector] = []

    async def open(self) -> None:
        for p in range(PARTITIONS):
            self.replicas.append(
                Replica(
                    ACTIVITIES, p, self.log, self.snapshots,
                    lambda p=p: Route(p, PARTITIONS), lambda data, p=p: Route.load(p, PARTITIONS, data),  # type: ignore[misc]
                )
            )  # fmt: skip
            self.replicas.append(
                Replica(
                    ROUTED, p, self.log, self.snapshots,
                    lambda p=p: FanOut(p), lambda data, p=p: FanOut.load(p, data),  # type: ignore[misc]
                )
            )  # fmt: skip
            self.projectors.append(Projector(p, self.log, self.store))
        for opened in (*self.replicas, *self.projectors):
            await opened.open()

    async def fold(self) -> None:
        """Until nothing is left to fold; commits how far it came."""
        moved = True
        while moved:
            moved = False
            for replica in self.replicas:
                while records := await replica.missing():
                    await replica.advance(records)
                    moved = True
                await replica.commit()

    async def project(self) -> None:
        """Until inboxes have all there is."""
        for projector in self.projectors:
            while await projector.advance():
                pass


class MemoryCluster:
    """Log, store and workers; `backend` is one process of the API or the edge, `another` a further one."""

    def __init__(self) -> None:
        self.log, self.store = FollowedLog(), AwayStore()
        self.workers = Workers(self.log, self.store)
        self.backends: list[Clustered] = []

    async def another(self, **more: bool) -> Clustered:
        backend = Clustered(Settings(inbox_keep=1_000), self.log, self.store, MemoryTickets(), **more)
        await backend.start()
        self.backends.append(backend)
        return backend

    async def __aenter__(self) -> "MemoryCluster":
        self.backend = await self.another()
        await self.workers.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for backend in self.backends:
            await backend.stop()
