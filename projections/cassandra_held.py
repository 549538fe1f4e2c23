"""What the writer of the Cassandra store knows of inboxes without reading them: when to trim, when to look.

A row counts for trimming only if this writer put it there, so what is trimmed is never too much: once `keep` rows
stand above a place, all below it have left for good, and one range delete drops them. An inbox that is counted holds at
most 2 × `keep` rows.

Counts are lost when the writer is replaced, or has more people than it can count for, and who hears little may never be
counted up to `keep`. So as long as nobody has looked at an inbox, one row of `keep` put there is drawn by lot, and the
inbox looked at and trimmed. It then holds 2 × `keep` rows on average, and more than 6 × `keep` in less than 1 of 100
cases; readers never see more than `keep`.
"""

from typing import Final
from zlib import crc32

from fanbell.projections.cassandra_tables import bucket_of
from fanbell.streams.cassandra_packed import packed, packed_int

PEOPLE_MAX: Final = (
    150_000  # of one partition, about 270 bytes each; beyond, all are forgotten and counted anew
)
MARKS_MAX: Final = 64  # marks on all rows, of one user, between two times that they are settled into the rows


class Person:
    """One user, as far as this writer knows."""

    __slots__ = ("above", "bucket", "key", "lot", "marks", "most", "place")

    def __init__(self, user: str) -> None:
        self.bucket = bucket_of(user)
        self.key = packed_int(self.bucket) + packed(user.encode())
        """The first two values of every statement about the user."""
        self.lot = crc32(self.key)
        """By which a row is drawn."""
        self.place = -1
        """A seq; the rows from it on are counted in `above`."""
        self.above = 0
        """At least so many rows stand at `place` or above it."""
        self.most: int | None = None
        """No more rows than this are stored; None if nobody has looked."""
        self.marks = 0
        """Marks on all rows since they were settled."""

    def put(self, seq: int, keep: int) -> int | None:
        """Count a new row at `seq`; the place below which all rows have left the inbox, if that is to be trimmed."""
        if self.most is not None:
            self.most += 1
        if self.place < 0:
            self.place = seq
        elif self.above >= keep:
            place, self.place, self.above = self.place, seq, 1
            return place
        self.above += 1
        return None

    def gone(self, seq: int) -> None:
        """The row at `seq`, if there was one, is not there any more."""
        if 0 <= self.place <= seq:
            self.above -= 1


def lot_of(seq: int, keep: int) -> int:
    """The rows put by the record `seq` that are drawn are those of people whose lot leaves this, divided by `keep`."""
    return crc32(seq.to_bytes(8, "big")) % keep


class Exact:
    """The newest `keep` seqs of one inbox, followed through one batch of records."""

    __slots__ = ("keep", "seqs")

    def __init__(self, seqs: list[int], keep: int) -> None:
        self.seqs, self.keep = set(seqs), keep

    def put(self, seq: int) -> None:
        self.seqs.add(seq)
        if len(self.seqs) > self.keep:
            self.seqs.remove(min(self.seqs))

    def floor(self) -> int | None:
        """The seq below which nothing is in the inbox, whatever is stored; None if the inbox is not full."""
        return min(self.seqs) if len(self.seqs) >= self.keep else None
