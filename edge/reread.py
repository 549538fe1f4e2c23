"""The log, read back for those who come back: each stretch of a partition once, for however many.

After a restart all come at once, with cursors a few thousand records old, of which each has been told a few. So a
stretch is read and decoded once, is looked through once for whom its records concern, and its frames are made once.
What is kept is a cache, bounded, and forgotten when nobody has asked for a while.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from fanbell.edge.backend import Backend
from fanbell.edge.ring import Entry
from fanbell.projections.apply import change_of
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update, Wish

STRETCH_RECORDS: Final = 512  # read at once, so that others get their turn
STRETCHES_MAX: Final = 64  # kept: 32,768 records, some 1 KB each with their frames
FORGET_S: Final = 30.0  # a restart's wave is over by then


class Stretch:
    """Consecutive records of one partition."""

    __slots__ = ("by_user", "first", "last", "next_offset", "whole")

    def __init__(self, records: Sequence[tuple[int, Told]]) -> None:
        self.first = self.last = records[0][1].seq
        self.next_offset = records[-1][0] + 1
        self.whole = True
        """Whether no seq between `first` and `last` is missing."""
        self.by_user: dict[str, list[Entry]] = {}
        seq = self.first - 1
        for offset, told in records:
            if told.seq <= seq:
                continue  # written twice
            self.whole = self.whole and told.seq == seq + 1
            self.last = seq = told.seq
            entry = Entry(offset, told)
            for user in concerned(told):
                self.by_user.setdefault(user, []).append(entry)


def concerned(told: Told) -> Sequence[str]:
    """Whose sessions hear of `told`."""
    if isinstance(told, Notice | Update | Retraction):
        return told.recipients
    if isinstance(told, Mark):
        return (told.user,)
    if isinstance(told, Wish):
        change = change_of(told)
        return (change.user,) if change.side != "other" else ()
    return ()


class Reread:
    """For one event loop."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: OrderedDict[tuple[int, int], asyncio.Task[Stretch | None]] = OrderedDict()
        self._forgetting: asyncio.TimerHandle | None = None
        self._asked = False

    async def stretch(self, partition: int, offset: int) -> Stretch | None:
        """Records of the partition that reach to `offset` and past it; None if the log has none from there on.

        Raises StoreFailed, LogFailed.
        """
        key = (partition, offset // STRETCH_RECORDS)
        found = await self._stretch(key)
        if found is not None and found.next_offset <= offset and self._kept.pop(key, None) is not None:
            found = await self._stretch(key)  # it was the log's end, which has moved on
        return found if found is not None and found.next_offset > offset else None

    async def _stretch(self, key: tuple[int, int]) -> Stretch | None:
        task = self._kept.get(key)
        if task is None:
            reading = self._read(key[0], key[1] * STRETCH_RECORDS)
            task = self._kept[key] = asyncio.get_running_loop().create_task(reading)
            task.add_done_callback(lambda done: self._done(key, done))
            if len(self._kept) > STRETCHES_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        self._asked = True
        return await asyncio.shield(task)  # others wait for it too

    async def _read(self, partition: int, offset: int) -> Stretch | None:
        records = await self._backend.notices(partition, offset, STRETCH_RECORDS)
        return Stretch(records) if records else None

    def _done(self, key: tuple[int, int], task: asyncio.Task[Stretch | None]) -> None:
        """Keep what was found, the log's end too: who needs what has come since reads that anew."""
        failed = task.cancelled() or task.exception() is not None
        if failed or task.result() is None:
            if self._kept.get(key) is task:
                del self._kept[key]
        elif self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(FORGET_S, self._forget)

    def _forget(self) -> None:
        self._forgetting = None
        if self._asked:
            self._asked = False
            self._forgetting = asyncio.get_running_loop().call_later(FORGET_S, self._forget)
        else:
            self._kept.clear()

    @property
    def kept(self) -> int:
        """Stretches at hand."""
        return len(self._kept)

    def close(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        for task in self._kept.values():
            task.cancel()
