"""The recent notices of one partition, in decoded form: where the edge stands, and what a resuming client is
given first.

A cache: whatever it dropped can be read again from the log, so it may be as small as memory asks for. Seqs of
a partition are dense, which makes a record's place in the ring a subtraction and a gap visible at once.
"""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

from fanbell.edge.frames import Frame
from fanbell.projections.store import Row
from fanbell.schemas.records import Notice, Retraction, Told, Update

RECORDS_MAX: Final = (
    2_048  # per partition; at a lively 200 notices/s, ten seconds: a reload or a short tunnel
)
NAMES_MAX: Final = (
    200_000  # recipients in all records together, per partition: about 20 MB, twice once some resumed
)


class Entry:
    """A record of `notices`, and what was made of it so far: frames by locale, the row that all recipients get, and
    whom it concerns, to be looked up in."""

    __slots__ = ("frames", "offset", "row", "told", "users")

    def __init__(self, offset: int, told: Told) -> None:
        self.offset = offset
        self.told = told
        self.frames: dict[str, Frame] = {}
        self.row: Row | None = None
        self.users: Collection[str] | None = None


class Gap(Exception):
    """Records are missing before the one at `before`, (offset, seq); the log has them, from `offset` on."""

    def __init__(self, offset: int, before: tuple[int, int]) -> None:
        super().__init__(f"records from offset {offset} on are missing")
        self.offset, self.before = offset, before


def names_of(told: Told) -> int:
    """How many recipients the record carries."""
    return len(told.recipients) if isinstance(told, Notice | Update | Retraction) else 0


class Ring:
    """Recent records of one partition, in order, without holes."""

    def __init__(self, records_max: int = RECORDS_MAX, names_max: int = NAMES_MAX) -> None:
        self._records_max = records_max
        self._names_max = names_max
        self._entries: deque[Entry] = deque()
        self._names = 0
        self.seq = 0
        """Seq of the last record taken; 0 if none ever was."""
        self.offset = -1
        """Its offset in `notices`."""

    def __len__(self) -> int:
        return len(self._entries)

    def stand_at(self, offset: int, seq: int) -> None:
        """Begin after the record (offset, seq), without having it."""
        self._entries.clear()
        self._names = 0
        self.offset, self.seq = offset, seq

    def take(self, records: Sequence[tuple[int, Told]]) -> list[Entry]:
        """Put records at the end and return those that are new. Raises Gap, with nothing taken, if some are missing."""
        fresh: list[Entry] = []
        seq = self.seq
        for offset, told in records:
            if told.seq <= seq:
                continue  # told twice: a re-read, or a writer that was silent about what it had written
            if told.seq != seq + 1:
                raise Gap(self.offset + 1, (offset, told.seq))
            seq = told.seq
            fresh.append(Entry(offset, told))
        for entry in fresh:
            self._entries.append(entry)
            self._names += names_of(entry.told)
        if fresh:
            self.offset, self.seq = fresh[-1].offset, seq
            self._shrink()
        return fresh

    def since(self, seq: int) -> list[Entry] | None:
        """The records above `seq`, in order; None if the ring no longer has all of them."""
        missing = self.seq - seq
        if missing <= 0:
            return []
        if missing > len(self._entries):
            return None
        return [self._entries[i] for i in range(len(self._entries) - missing, len(self._entries))]

    def _shrink(self) -> None:
        while len(self._entries) > self._records_max or (
            self._names > self._names_max and len(self._entries) > 1
        ):
            self._names -= names_of(self._entries.popleft().told)
