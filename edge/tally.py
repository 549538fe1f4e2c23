"""The rows of one user who is online, as light as counting allows, kept current by the records that come by.

It spares the store two reads for every notification: what the counters are now, and which rows a mark
changed. The meanings are the projection's own (`projections.apply`, `projections.rows`), so it cannot say
what the inbox does not.

It starts from rows that the store gave. The store may be ahead of the records that follow, so a row whose
`changed_seq` is not below a record's seq has had that record, and is left as it is. A full inbox that loses a
row may show an older one again, which only the store knows: then the tally is `short`, and must be read anew.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec.structs import replace

from fanbell.projections.apply import RESTORED_FLAGS, marked, row_of
from fanbell.projections.rows import Counts, counts, expires_next
from fanbell.projections.store import ARCHIVED, READ, SEEN, Row
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update


class Tally:
    """Rows by seq. `keep`: how many an inbox has; `keep_age_ms`: how long one is shown, None for ever."""

    __slots__ = (
        "_archived", "_counted", "_expires_ms", "_expiring", "_keep", "_keep_age_ms", "_kinds", "_rows", "_scopes",
        "_seqs", "_unread", "_unseen", "_was_full", "as_of", "pushed_out",
    )  # fmt: skip

    def __init__(self, rows: Iterable[Row], keep: int, keep_age_ms: int | None, as_of: int = 0) -> None:
        """`as_of`: the rows show every record up to there, or further, as they say themselves."""
        self._rows = {row.seq: row for row in rows}
        self._seqs = sorted(self._rows)
        self.as_of = max([as_of, *(row.changed_seq for row in self._rows.values())])
        """The rows that were given show every record up to here."""
        self._was_full = len(self._seqs) >= keep > 0
        self._keep = keep
        self._keep_age_ms = keep_age_ms
        self.pushed_out = False
        """Whether a new row has pushed an old one out; whoever asks sets it back."""
        self._counted: Counts | None = None
        self._expires_ms: int | None = None
        self._unread = self._unseen = self._expiring = self._archived = 0
        self._kinds: dict[str, int] = {}
        self._scopes: dict[str, int] = {}
        for row in self._rows.values():
            self._count(row, 1)

    @property
    def short(self) -> bool:
        """Whether rows may be missing that the inbox shows."""
        return self._was_full and len(self._seqs) < self._keep

    @property
    def hides_rows(self) -> bool:
        """Whether any of the rows are archived: pages leave those out."""
        return self._archived > 0

    @property
    def is_full(self) -> bool:
        """Whether a new row pushes one out."""
        return len(self._seqs) >= self._keep

    def take(self, told: Told, row: Row | None = None) -> list[Row]:
        """Make `told` count, and return the rows that changed where they stand: those whose state must be told.

        `row` is what `new_row` says of `told`, where it is at hand: it is the same for all recipients.

        Also those that had it already: a session that started meanwhile may have been told something in between.
        """
        if told.seq <= self.as_of:
            return self._had(told)
        if isinstance(told, Notice):
            self._put(row or new_row(told, self._keep_age_ms))
        elif isinstance(told, Update):
            return self._update(told, row)
        elif isinstance(told, Retraction):
            retracted = self._rows.get(told.row_seq)
            if retracted is not None and retracted.changed_seq < told.seq:
                self._remove(told.row_seq)
        elif isinstance(told, Mark):
            return self._mark(told)
        return []

    def rows(self) -> list[Row]:
        """All of them, newest first."""
        return [self._rows[seq] for seq in reversed(self._seqs)]

    def holds(self, seq: int) -> bool:
        """Whether the row at `seq` is among them."""
        return seq in self._rows

    def changed_since(self, seq: int) -> list[Row]:
        """Rows that changed in any way after `seq`, newest first."""
        return [row for row in self.rows() if row.changed_seq > seq]

    def is_whole_since(self, seq: int) -> bool:
        """Whether no row above `seq` can have left because the inbox is full."""
        return not self.short and (len(self._seqs) < self._keep or self._seqs[0] <= seq)

    def counts(self, now_ms: int) -> Counts:
        """The counters of the inbox at `now_ms`."""
        if self._counted is None or (self._expires_ms is not None and self._expires_ms <= now_ms):
            if self._expiring:  # time counts: by the projection's own function
                self._counted = counts(self._rows.values(), now_ms)
                self._expires_ms = expires_next(self._rows.values(), now_ms)
            else:
                self._counted = Counts(self._unread, self._unseen, self._kinds.copy(), self._scopes.copy())
                self._expires_ms = None
        return self._counted

    def expires_after(self, after_ms: int) -> int | None:
        """When the first row expires after `after_ms`, Unix ms; None if none does."""
        return expires_next(self._rows.values(), after_ms) if self._expiring else None

    def expired(self, after_ms: int, now_ms: int) -> list[Row]:
        """Rows that expired after `after_ms`, up to `now_ms`, newest first."""
        if not self._expiring:
            return []
        return [
            row for row in self.rows() if row.expires_at is not None and after_ms < row.expires_at <= now_ms
        ]

    def oldest(self, at: int) -> int | None:
        """The seq that no row of the inbox is below, as of `at`; None if there may be others than these."""
        if self.short:
            return None
        return self._seqs[0] if self._seqs else at

    def may_have_lost(self, left: int) -> bool:
        """Whether the inbox may have been full before `left` rows left it, and have pushed out rows for some that
        clients know nothing of."""
        return (left > 0 or self.hides_rows) and len(self._seqs) + left >= self._keep

    def _had(self, told: Told) -> list[Row]:
        """Rows that `told` changed where they stand; the rows were read later, and show what came of it."""
        if isinstance(told, Mark):
            return self._named(told)
        if isinstance(told, Update) and not told.announces and told.row_seq in self._rows:
            return [self._rows[told.row_seq]]
        return []

    def _update(self, told: Update, row: Row | None) -> list[Row]:
        if told.announces:
            before = self._rows.get(told.prev_row_seq)
            if before is not None and before.changed_seq < told.seq:
                self._remove(told.prev_row_seq)
            self._put(row or new_row(told, self._keep_age_ms))
            return []
        had = self._rows.get(told.row_seq)
        if told.prev_row_seq == -1:
            return self._put(row_of(told, told.row_seq, RESTORED_FLAGS, self._keep_age_ms))
        return [] if had is None else self._put(row_of(told, told.row_seq, had.flags, self._keep_age_ms))

    def _named(self, told: Mark) -> list[Row]:
        if told.up_to is None:
            return [self._rows[seq] for seq in told.row_seqs if seq in self._rows]
        return [row for row in self._rows.values() if row.seq <= min(told.up_to, told.seq)]

    def _mark(self, told: Mark) -> list[Row]:
        changed = []
        for row in self._named(told):
            flags = marked(row.flags, told.verb)
            if row.changed_seq >= told.seq:
                changed.append(row)
            elif flags != row.flags:
                changed.append(self._keep_row(replace(row, changed_seq=told.seq, flags=flags)))
        return changed

    def _put(self, row: Row) -> list[Row]:
        seqs = self._seqs
        if not seqs or row.seq > seqs[-1]:  # as nearly always
            self._rows[row.seq] = row
            seqs.append(row.seq)
            self._count(row, 1)
        else:
            had = self._rows.get(row.seq)
            if had is not None and had.changed_seq >= row.changed_seq:
                return [had]
            self._keep_row(row)
        if len(seqs) > self._keep:
            self._was_full = self.pushed_out = True
            oldest = seqs.pop(0)
            self._count(self._rows.pop(oldest), -1)
            if oldest == row.seq:
                return []
        return [row]

    def _keep_row(self, row: Row) -> Row:
        before, seqs = self._rows.get(row.seq), self._seqs
        if before is not None:
            self._count(before, -1)
        else:
            insort(seqs, row.seq)
        self._rows[row.seq] = row
        self._count(row, 1)
        return row

    def _remove(self, seq: int) -> None:
        self._count(self._rows.pop(seq), -1)
        del self._seqs[bisect_left(self._seqs, seq)]

    def _count(self, row: Row, by: int) -> None:
        """Let `row` count `by` more: what `rows.counts` says, one row at a time, time aside."""
        self._counted = None
        flags = row.flags
        if row.expires_at is not None:
            self._expiring += by
        if flags & ARCHIVED:
            self._archived += by
            return
        if not flags & SEEN:
            self._unseen += by
        if not flags & READ:
            self._unread += by
            _add(self._kinds, row.kind, by)
            if row.scope is not None:
                _add(self._scopes, row.scope, by)


def new_row(told: Notice | Update, keep_age_ms: int | None) -> Row:
    """The row of each recipient of a notice, or of an update that announces: new and unread."""
    return row_of(told, told.seq if isinstance(told, Notice) else told.row_seq, 0, keep_age_ms)


def _add(counted: dict[str, int], name: str, by: int) -> None:
    now = counted.get(name, 0) + by
    if now:
        counted[name] = now
    else:
        del counted[name]
