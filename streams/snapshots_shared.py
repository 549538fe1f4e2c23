"""Snapshots in two places: those that all machines share, and copies of this machine's own in front of them.

A snapshot is saved where the shared ones are, or it is not saved; the copy is for opening sooner.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import structlog

from fanbell.streams.snapshots import Snapshot, SnapshotFailed, Snapshots
from fanbell.streams.snapshots_cassandra import CassandraSnapshots

T = TypeVar("T")
log: Final = structlog.get_logger(__name__)


class SharedSnapshots:
    """The port `Snapshots` of both. The local ones may block: they are asked in a thread, one call at a time."""

    def __init__(self, local: Snapshots, shared: CassandraSnapshots) -> None:
        self._local, self._shared = local, shared
        self._one_at_a_time = asyncio.Lock()

    async def save(self, snapshot: Snapshot) -> None:
        """As the port says; raises SnapshotFailed if it could not be shared, and then makes no copy."""
        await self._shared.save(snapshot)
        try:
            await self._aside(self._local.save(snapshot))
        except SnapshotFailed as error:
            log.warning("no local copy of a snapshot", reason=str(error))

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        """As the port says; what is here to the last byte is not fetched.

        Where the shared ones cannot be asked, those that are here will do: they are older at worst, and the log has
        what came since, or `offsets` says that it is not known. Raises SnapshotFailed if there are none.
        """
        here = await self._aside(self._local.candidates(stage, partition))
        try:
            found = await self._shared_ones(stage, partition, here, at_most)
        except SnapshotFailed as error:
            if not here:
                raise
            log.warning("only local snapshots", stage=stage, partition=partition, reason=str(error))
            found = []
        return _merged([*found, *here])[:at_most]

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        """As the port says: of the shared ones, for a copy goes with its machine."""
        return await self._shared.offsets(stage, partition, identity)

    async def drop(self, stage: str, partition: int) -> None:
        await self._aside(self._local.drop(stage, partition))
        await self._shared.drop(stage, partition)

    async def _shared_ones(
        self, stage: str, partition: int, here: Sequence[Snapshot], at_most: int | None
    ) -> list[Snapshot]:
        found: list[Snapshot] = []
        for manifest in await self._shared.manifests(stage, partition):
            if len(found) == at_most:
                break
            for copy in here:
                if await asyncio.to_thread(manifest.is_of, copy):
                    found.append(copy)
                    break
            else:
                snapshot = await self._shared.load(stage, partition, manifest)
                if snapshot is not None:
                    found.append(snapshot)
        return found

    async def _aside(self, work: Coroutine[Any, Any, T]) -> T:
        """`work`, which may block, in a thread and an event loop of its own."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(asyncio.run, work)


def _merged(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Each once; of one log together, the highest offset first; logs in the order of their first snapshots."""
    logs = list(dict.fromkeys(snapshot.identity for snapshot in snapshots))
    once = {
        (snapshot.identity, snapshot.offset, snapshot.fold_version): snapshot
        for snapshot in reversed(snapshots)
    }
    return sorted(once.values(), key=lambda snapshot: (logs.index(snapshot.identity), -snapshot.offset))
