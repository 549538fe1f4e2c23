"""A backend whose log, projection and listeners go on one by one, when the test says so; its reads take their time.

`notices` are appended; the projection puts them into the store; listeners are told. In one process the store is first,
and listeners hear of what it has. In a cluster listeners hear what the log has, and what the store has not yet is
joined with it (`projections.live`).
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from fanbell.edge.backend import Listener
from fanbell.projections.live import Live
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.records import Told
from fanbell.streams.core.kinds import default_source, parse_rules

READS = ("rows", "read", "bodies", "seqs_of", "profiles", "positions")


class Slow:
    """A store whose answers come when chance says: as it is when they are asked for, or when they come."""

    def __init__(self, store: Any, chance: Random) -> None:
        self._store = store
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        read = getattr(self._store, name)
        if name not in READS:
            return read

        async def slowly(*given: Any) -> Any:
            await self._wait()
            found = await read(*given)
            await self._wait()
            return found

        return slowly

    async def _wait(self) -> None:
        if self._chance.random() < 0.5:
            await asyncio.sleep(self._chance.choice((0, 0, 0.001, 0.02)))


class Scripted:
    """One partition. `append`, then `project` and `tell`, in as many steps as wanted."""

    partitions = 1
    on_demand = False

    def __init__(self, epoch: str, keep: int, chance: Random, cluster: bool) -> None:
        self.epoch = epoch
        self.rules = parse_rules(default_source(), 1)
        self.log: list[tuple[int, Told]] = []
        self.seq = 0
        self.chance = chance
        self.truth = MemoryStore(keep)
        """What inboxes are once everything in the log is projected."""
        self._memory = MemoryStore(keep)
        self._live = Live(self._memory, 1, keep, None) if cluster else None
        self.store: Any = Slow(self._live or self._memory, chance)
        self._projected = self._projected_seq = self._told = 0
        self._listeners: list[Listener] = []
        self.repeats = self.gaps = self.reads = 0

    async def append(self, told: Told) -> None:
        offset = len(self.log)
        self.log.append((offset, told))
        self.seq = told.seq
        await self.truth.apply({0: [told]}, {0: offset})

    def repeat(self, how_many: int) -> None:
        """A writer that does not know that it was replaced writes the last records once more."""
        again = self.log[-how_many:]
        self.repeats += len(again)
        self.log += [(len(self.log) + place, told) for place, (_, told) in enumerate(again)]

    async def project(self, how_many: int) -> None:
        for offset, told in self.log[self._projected : self._projected + how_many]:
            fresh = [told] if told.seq > self._projected_seq else []
            self._projected_seq = max(self._projected_seq, told.seq)
            await self._memory.apply({0: fresh}, {0: offset})
        self._projected = min(len(self.log), self._projected + how_many)
        if self._live is not None:
            await self._live.projected(await self._memory.positions())

    def tell(self, how_many: int, *, lost: bool = False) -> None:
        """Tell listeners of as many records as they may hear of; or let those be lost on the way to the last one."""
        end = len(self.log) if self._live is not None else self._projected
        records = self.log[self._told : min(end, self._told + how_many)]
        self._told += len(records)
        if self._live is not None:
            records = self._live.hear(0, records)
        self.gaps += len(records) if lost else 0
        for listener in self._listeners[: -1 if lost else None]:
            if records:
                listener(0, records)

    async def catch_up(self) -> None:
        await self.project(len(self.log))
        self.tell(len(self.log))

    async def follow(self, partition: int) -> None:
        """Everything is heard of anyway."""

    def unfollow(self, partition: int) -> None:
        """Nothing to do."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        self.reads += 1
        await asyncio.sleep(self.chance.choice((0, 0.001)))
        end = self._told if self._live is not None else self._projected
        return self.log[offset : min(end, offset + at_most)]

    async def change(self, changes: Sequence[Any]) -> dict[int, int]:
        raise NotImplementedError("marks come out of the script")
