"""What one process of a cluster publishes: straight into the log, acknowledged before anybody is told."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from fanbell.edge.backend import Accepted, Conflict, Places, Unavailable
from fanbell.infra.heard_presence import FollowedLog
from fanbell.schemas.codec import HEADER_BYTES, encode
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.topics import ROUTED
from fanbell.streams.core.hashes import RecentIds, hash64
from fanbell.streams.log import LogFailed
from fanbell.streams.publish import Batches, batches_of_activities, batches_of_changes

RECENT_IDS: Final = 200_000  # of what this process published: answered as duplicate, or as a conflict


class Published:
    """Which ids are used is best effort, of what this process has seen; the fold is exact."""

    def __init__(self, log: FollowedLog) -> None:
        self._log = log
        self._recent = RecentIds(RECENT_IDS)
        self._pending: dict[str, tuple[int, asyncio.Future[None]]] = {}
        self.acknowledged: dict[int, int] = {}
        """By partition of `routed`, offset of the last record that this process put there."""

    def has(self, id_: str) -> bool:
        """Whether an activity of that id was published here of late, or is about to be."""
        return id_ in self._pending or self._used(id_, _now_ms()) is not None

    async def publish(self, activities: Sequence[Activity]) -> list[Accepted]:
        """As `Backend.publish`. Raises Conflict, Unavailable."""
        now_ms = _now_ms()
        fresh: dict[str, tuple[int, Activity]] = {}
        results: list[Accepted] = []
        conflicts: list[tuple[int, str]] = []
        waits: list[asyncio.Future[None]] = []
        for i, activity in enumerate(activities):
            body = hash64(encode(activity)[HEADER_BYTES:])
            used = self._used(activity.id, now_ms)
            if activity.id in fresh:
                used = fresh[activity.id][0]
            elif activity.id in self._pending:
                used, done = self._pending[activity.id]
                waits.append(done)
            if used is None:
                fresh[activity.id] = (body, activity)
            elif used != body:
                conflicts.append((i, activity.id))
            results.append("accepted" if used is None else "duplicate")
        if conflicts:
            raise Conflict(conflicts)
        await self._put(fresh, now_ms)
        for done in waits:  # "duplicate" also promises that it is durable: the first one may not be yet
            await asyncio.shield(done)
        return results

    async def change(self, changes: Sequence[Change]) -> Places:
        """As `Backend.change`. Raises Unavailable."""
        return await self._append(batches_of_changes(changes, self._log.partitions, _now_ms()))

    def _used(self, id_: str, now_ms: int) -> int | None:
        """The hash of the body with which this process published the id of late."""
        return self._recent.get(hash64(id_.encode()), now_ms)

    async def _put(self, fresh: Mapping[str, tuple[int, Activity]], now_ms: int) -> None:
        if not fresh:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for id_, (body, _) in fresh.items():
            self._pending[id_] = (body, done)
        try:
            activities = (activity for _, activity in fresh.values())
            await self._append(batches_of_activities(activities, self._log.partitions, now_ms))
        except BaseException as error:
            done.set_exception(error if isinstance(error, Unavailable) else Unavailable("it was given up"))
            done.exception()  # nobody may be waiting for it
            raise
        else:
            done.set_result(None)
            for id_, (body, _) in fresh.items():
                self._recent.put(hash64(id_.encode()), body, now_ms)
        finally:
            for id_ in fresh:
                del self._pending[id_]

    async def _append(self, batches: Batches) -> Places:
        """Where the changes among them stand, by partition of `routed`."""
        try:
            firsts = await self._log.append_all(batches)
        except LogFailed as error:
            raise Unavailable(str(error)) from error
        places = {
            partition: first + len(entries) - 1
            for (topic, partition, entries), first in zip(batches, firsts, strict=True)
            if topic == ROUTED
        }
        for partition, last in places.items():
            self.acknowledged[partition] = max(last, self.acknowledged.get(partition, -1))
        return places


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
