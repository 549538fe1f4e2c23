"""A log in memory: for tests and the simulation. It forgets everything with the process.

For one thread. Offsets, acknowledgement and trimming are as in the others; what is missing is durability.
`pause` is where a subclass lets other tasks run, fails or holds up: a fault after the effect leaves the
outcome open, as real logs do.
"""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Literal

from fanbell.streams.log import Entry, Record, check_entries, check_place

Moment = Literal["append", "appended", "read", "trim", "trimmed", "commit", "committed"]
"""Before and after the effect of a call."""

_OFFSET: Final = attrgetter("offset")


class _Partition:
    """`records` in order of their offsets; `start` and `end` as the port says."""

    __slots__ = ("end", "records", "start")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0

    def place_of(self, offset: int) -> int:
        """Index in `records` of the first record at or after `offset`."""
        return bisect_left(self.records, offset, key=_OFFSET)


class MemoryLog:
    """See the module; the port is `streams.log.Log`."""

    def __init__(self, partitions: int = 1, identity: str = "memory") -> None:
        if partitions < 1:
            raise ValueError(f"a log has at least one partition, not {partitions}")
        self._partitions = partitions
        self._identity = identity
        self._kept: dict[tuple[str, int], _Partition] = {}
        self._committed: dict[tuple[str, str, int], int] = {}

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return self._partitions

    async def pause(self, moment: Moment, topic: str, partition: int) -> None:
        """Called at each `moment`. Does nothing here; made to be overridden."""

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        place = self._place(topic, partition)
        check_entries(entries)
        await self.pause("append", topic, partition)
        base = place.end
        place.records += [
            Record(offset, entry.value, entry.timestamp_ms, entry.key)
            for offset, entry in enumerate(entries, base)
        ]
        place.end = base + len(entries)
        await self.pause("appended", topic, partition)
        return base

    async def append_all(self, batches: Sequence[tuple[str, int, Sequence[Entry]]]) -> list[int]:
        return [await self.append(topic, partition, entries) for topic, partition, entries in batches]

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        place = self._place(topic, partition)
        await self.pause("read", topic, partition)
        first = place.place_of(offset)
        return place.records[first : first + max(0, at_most)]

    async def start(self, topic: str, partition: int) -> int:
        return self._place(topic, partition).start

    async def end(self, topic: str, partition: int) -> int:
        return self._place(topic, partition).end

    async def trim(self, topic: str, partition: int, before: int) -> None:
        place = self._place(topic, partition)
        await self.pause("trim", topic, partition)
        del place.records[: place.place_of(before)]
        place.start = max(place.start, min(before, place.end))
        await self.pause("trimmed", topic, partition)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        check_place(topic, partition, self._partitions)
        await self.pause("commit", topic, partition)
        self._committed[group, topic, partition] = offset
        await self.pause("committed", topic, partition)

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        check_place(topic, partition, self._partitions)
        return self._committed.get((group, topic, partition))

    def leave_hole(self, topic: str, partition: int, count: int) -> None:
        """Use up `count` offsets for nothing, as an aborted transaction in Kafka does."""
        self._place(topic, partition).end += count

    def _place(self, topic: str, partition: int) -> _Partition:
        found = self._kept.get((topic, partition))
        if found is None:
            check_place(topic, partition, self._partitions)
            found = self._kept[topic, partition] = _Partition()
        return found
