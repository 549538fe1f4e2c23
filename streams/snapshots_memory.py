"""Snapshots in memory: for tests and the simulation. They are forgotten with the process.

`pause` is where a subclass lets other tasks run, fails or holds up.
"""

from typing import Final, Literal

from fanbell.streams.snapshots import Snapshot

KEPT: Final = 2  # per stage and partition, as in the folder

Moment = Literal["save", "saved", "candidates", "drop"]
"""Before and after the effect of a call."""


class MemorySnapshots:
    """The port is `streams.snapshots.Snapshots`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], list[Snapshot]] = {}

    async def pause(self, moment: Moment, stage: str, partition: int) -> None:
        """Called at each `moment`. Does nothing here; made to be overridden."""

    async def save(self, snapshot: Snapshot) -> None:
        name = (snapshot.stage, snapshot.partition)
        await self.pause("save", *name)
        self._kept[name] = [snapshot, *self._kept.get(name, [])][:KEPT]
        await self.pause("saved", *name)

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        await self.pause("candidates", stage, partition)
        return list(self._kept.get((stage, partition), [])[:at_most])

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        kept = self._kept.get((stage, partition), [])
        return sorted({snapshot.offset for snapshot in kept if snapshot.identity == identity}, reverse=True)

    async def drop(self, stage: str, partition: int) -> None:
        await self.pause("drop", stage, partition)
        self._kept.pop((stage, partition), None)
