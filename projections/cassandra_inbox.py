"""An inbox out of what Cassandra stores of it: rows, corrections of what they show, flags, and marks on all rows.

Takes stored cells with their stamps (the seq of the record that wrote each); returns rows. What was written later
outranks what was written before, whatever the order in which it arrived: a correction outranks what the row showed
if the row was not put there after it, and a mark on all rows is one more writer of each row's flags.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from fanbell.projections.cassandra_tables import FLAGS, ROW, TAKEN_BACK, decode_shown
from fanbell.projections.store import Reading, Row

Written = tuple[int, int, bool]
"""Of a flag: when it was written (seq), which bit, and whether it was set."""


class MarkAll(Struct, frozen=True):
    """That all rows up to a seq, of those that were there, had a flag set or cleared."""

    bit: int
    up_to: int
    sets: bool
    seq: int


class StoredRow(Struct, frozen=True):
    """A row as stored: the newer of what it was put with and its correction, and its own flags."""

    seq: int
    put_seq: int
    shown_seq: int
    shown: bytes
    flags: tuple[Written, ...]


class StoredInbox(Struct, frozen=True):
    """Rows newest first."""

    rows: list[StoredRow]
    marks: list[MarkAll]
    taken_back: int
    """Seq of the last record that took a row back from the full inbox; 0 if none did."""

    def marks_on(self, row: StoredRow) -> Iterator[tuple[int, bool, int]]:
        """The marks on all rows that decide over a flag of `row`: bit, value, seq of the mark."""
        for bit in FLAGS:
            latest = self._latest(row, bit)
            own = max((seq for seq, of, _ in row.flags if of == bit), default=row.put_seq)
            if latest is not None and latest.seq > own:
                yield bit, latest.sets, latest.seq

    def _latest(self, row: StoredRow, bit: int) -> MarkAll | None:
        found = [mark for mark in self.marks if mark.bit == bit and mark.up_to >= row.seq]
        return max(found, key=_seq_of, default=None)

    def reading(self) -> Reading:
        """The inbox as readers get it."""
        rows = [self._row(row) for row in self.rows]
        return Reading(rows, max([self.taken_back, *(row.changed_seq for row in rows)]))

    def _row(self, row: StoredRow) -> Row:
        shown = decode_shown(row.shown)
        flags, changed = 0, max(row.put_seq, row.shown_seq)
        written: Iterable[Written] = row.flags
        if self.marks:
            written = [*row.flags, *((seq, bit, sets) for bit, sets, seq in self.marks_on(row))]
        for seq, bit, sets in sorted(written):
            if bool(flags & bit) != sets:
                flags ^= bit
                changed = max(changed, seq)
        return Row(row.seq, changed, flags, shown.kind, shown.scope, shown.expires_at, shown.body)


def _seq_of(mark: MarkAll) -> int:
    return mark.seq


_BITS: Final = tuple(FLAGS)


def inbox_of(cells: Iterable[tuple[Any, ...]], keep: int) -> StoredInbox:
    """The newest `keep` rows, and all that stands above them, of `cells`: what READ_INBOX gave."""
    rows: list[StoredRow] = []
    marks: list[MarkAll] = []
    taken_back = 0
    for what, seq, shown, put_seq, corrected, corrected_seq, *flags, sets, sets_seq in cells:
        if what == TAKEN_BACK:
            taken_back = put_seq or 0
            continue
        if what != ROW:
            if sets is not None:
                marks.append(MarkAll(what, seq, sets, sets_seq))
            continue
        if shown is None:  # a mark or a correction of a row that is not there
            continue
        if len(rows) == keep:
            break
        shown_seq = put_seq
        if corrected is not None and corrected_seq > put_seq:
            shown, shown_seq = corrected, corrected_seq
        written = tuple(
            (flags[2 * i + 1], bit, flags[2 * i]) for i, bit in enumerate(_BITS) if flags[2 * i] is not None
        )
        rows.append(StoredRow(seq, put_seq, shown_seq, shown, written))
    return StoredInbox(rows, marks, taken_back)
