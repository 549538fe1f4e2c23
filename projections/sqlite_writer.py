"""Writes of the SQLite store: what `notices` carries, in few statements over many rows.

Within one call, new rows and the old places of moved ones are gathered per partition and written together; whatever
reads rows (marks, retractions, quiet corrections) writes out what was gathered before it. Trimming waits until a
partition has enough to trim. That never shows: a row beyond the newest `keep` can only come back into view when one
above it is retracted, so a retraction first trims the inboxes that it touches.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from fanbell.projections import apply as meaning
from fanbell.projections.sqlite_held import Held
from fanbell.projections.sqlite_lists import Lists
from fanbell.projections.sqlite_names import Names
from fanbell.projections.sqlite_reader import json_text
from fanbell.projections.sqlite_tables import SEQ_MAX, SHIFT
from fanbell.projections.sqlite_traces import Traces
from fanbell.projections.store import StoreFailed
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Change, Mark, Notice, Outcome, Retraction, Told, Update, Wish
from fanbell.streams.sqlite import put_rows

TRIM_ROWS: Final = (
    20_000  # of one partition: enough that rows trimmed together show the same bodies; 20 ms of work
)
SHAPES_CACHED: Final = 4_096  # contents, up to 16 KB each: one goes to every partition, and many a call

_PAIR: Final = f"value >> {SHIFT}, value & {SEQ_MAX}"
# OR ROLLBACK: a failure ends the transaction anyway, and SQLite need not keep every page as it was before the
# statement, which took 40 % of its time.
_INSERT: Final = f"""
INSERT OR ROLLBACK INTO inbox (user, seq, changed_later, flags, kind, scope, expires, body_later)
SELECT {_PAIR}, ?2, ?3, ?4, ?5, ?6, ?2 FROM json_each(?1)"""  # noqa: S608 - constants only
_INSERT_BODIES: Final = "INSERT OR ROLLBACK INTO bodies (id, refs, note, reason, grouped, content)"
_POSITIONS: Final = "SELECT json_group_array(json_array(partition, position)) FROM positions"
_RELEASE: Final = f"""
UPDATE bodies SET refs = refs - gone.rows FROM (
    SELECT (?2 << {SHIFT}) | (i.seq + i.body_later) AS id, count(*) AS rows
    FROM json_each(?1) j JOIN inbox i ON i.user = j.value >> {SHIFT} AND i.seq = j.value & {SEQ_MAX} GROUP BY 1
) gone WHERE bodies.id = gone.id"""  # noqa: S608 - constants only
_RELEASE_BELOW: Final = _RELEASE.replace("i.seq = j", "i.seq < j")
_DELETE: Final = f"DELETE FROM inbox WHERE (user, seq) IN (SELECT {_PAIR} FROM json_each(?1))"  # noqa: S608 - constants only
_DELETE_BELOW: Final = "DELETE FROM inbox WHERE user = ? AND seq < ?"
_DELETE_BODIES: Final = "DELETE FROM bodies WHERE refs <= 0"
_CORRECT: Final = f"""
UPDATE inbox SET changed_later = ?2 - seq, body_later = ?2 - seq, kind = ?3, scope = ?4, expires = ?5
WHERE (user, seq) IN (SELECT {_PAIR} FROM json_each(?1))"""  # noqa: S608 - constants only
_MARK: Final = """
UPDATE inbox SET flags = (flags | ?2) & ~?3, changed_later = ?4 - seq
WHERE user = ?1 AND ((flags | ?2) & ~?3) <> flags AND """
_MARK_UP_TO: Final = _MARK + "seq <= ?5"
_MARK_THESE: Final = _MARK + "seq IN (SELECT value FROM json_each(?5))"  # noqa: S608 - constants only
_TAKEN_BACK: Final = "INSERT OR REPLACE INTO taken_back SELECT value, ?2 FROM json_each(?1)"
_NEWEST: Final = """
SELECT count(*), min(seq) FROM (SELECT seq FROM inbox WHERE user = ?1 ORDER BY seq DESC LIMIT ?2)"""

Place = tuple[int, int, int | None]
"""Of a content: numbers of its kind and scope (0: none), and when rows showing it expire, Unix ms."""
BodyFields = tuple[int, int, str, int, str | None, bytes]


class Gathered:
    """What records ask for and is not written yet."""

    def __init__(self) -> None:
        self.fresh: defaultdict[tuple[int, Place], list[int]] = defaultdict(list)
        """New rows, as (user, seq) pairs, by partition, and kind, scope and expiry."""
        self.gone: defaultdict[int, list[int]] = defaultdict(list)
        """Rows that moved away from their old place, by partition."""
        self.bodies: list[BodyFields] = []


class Writer:
    """Applies records inside whatever transaction the connection is in."""

    def __init__(
        self, connection: sqlite3.Connection, keep: int, keep_age_ms: int | None, trim_rows: int
    ) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._keep, self._keep_age_ms, self._trim_rows = keep, keep_age_ms, trim_rows
        self.forget()

    def forget(self) -> None:
        """Begin from what the file says: a transaction was rolled back, or may have been."""
        self._names = Names(self._connection)
        self._held = Held(self._keep, self._trim_rows)
        self._held.grow(self._names.last)
        self._traces = Traces(self._connection)
        self._lists = Lists(self._connection)
        self._shapes: dict[bytes, tuple[str, Place]] = {}
        self._gathered = Gathered()
        self._stale = False
        self.positions = self._stored_positions()

    def _stored_positions(self) -> dict[int, int]:
        return dict(json.loads(self._execute(_POSITIONS).fetchone()[0]))

    def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        """As `Store.apply` says, but raises sqlite3.Error; whoever called must then roll back."""
        if self._stale or self._stored_positions() != self.positions:
            self.forget()
        self._stale = True  # until all of it is done
        moved = {p: at for p, at in positions.items() if at > self.positions.get(p, -1)}
        news = {p: records for p, records in batches.items() if p in moved}
        changes = self._learn_names(news)
        for partition, records in news.items():
            self._apply(partition, records, changes)
        self._flush()
        self._traces.flush(self._names.word)
        self._lists.flush()
        for partition, users in self._held.due():
            self._trim(partition, users)
        put_rows(self._connection, "INSERT OR REPLACE INTO positions", list(moved.items()))
        self.positions.update(moved)
        self._stale = False

    def _apply(self, partition: int, records: Sequence[Told], changes: Iterator[Change]) -> None:
        for record in records:
            kind = type(record)
            if kind is Notice:
                self._notice(partition, record)  # type: ignore[arg-type]
            elif kind is Update:
                self._update(partition, record)  # type: ignore[arg-type]
            elif kind is Outcome:
                self._traces.outcome(record)  # type: ignore[arg-type]
            elif kind is Wish:
                self._lists.change(next(changes), self._names.ids)
            elif kind is Mark:
                self._mark(record)  # type: ignore[arg-type]
            elif kind is Retraction:
                self._retract(partition, record)  # type: ignore[arg-type]

    def _learn_names(self, batches: Mapping[int, Sequence[Told]]) -> Iterator[Change]:
        """Number every user that the records are about; the changes in them, in order."""
        changes: list[Change] = []
        wanted: dict[int, set[str]] = {}
        for partition, records in batches.items():
            names = wanted[partition] = set()
            for record in records:
                kind = type(record)
                if kind is Notice or kind is Update or kind is Retraction:
                    names.update(record.recipients)  # type: ignore[union-attr]
                elif kind is Mark:
                    names.add(record.user)  # type: ignore[union-attr]
                elif kind is Wish:
                    changes.append(meaning.change_of(record))  # type: ignore[arg-type]
                    names.update(self._lists.owners(changes[-1]))
            if records and records[-1].seq > SEQ_MAX:
                raise StoreFailed(
                    f"partition {partition} is past {SEQ_MAX} notices, the most this store takes"
                )
        self._names.learn(wanted)
        self._held.grow(self._names.last)
        return iter(changes)

    def _shape(self, content: bytes) -> tuple[str, Place]:
        """The id of the activity whose content is `content`, and the columns that rows showing it have."""
        decoded = content_of(content)
        kind = self._names.word(decoded.kind)
        scope = 0 if decoded.scope is None else self._names.word(decoded.scope)
        if len(self._shapes) >= SHAPES_CACHED:
            self._shapes.clear()
        shape = self._shapes[content] = (
            decoded.id,
            (kind, scope, meaning.expiry(decoded, self._keep_age_ms)),
        )
        return shape

    def _pairs(self, users: Iterable[str], seq: int) -> list[int]:
        ids = self._names.ids
        return [ids[user] << SHIFT | seq for user in users]

    def _notice(self, partition: int, notice: Notice) -> None:
        content, recipients, seq = notice.content, notice.recipients, notice.seq
        note, place = self._shapes.get(content) or self._shape(content)
        gathered, ids, count = self._gathered, self._names.ids, len(recipients)
        gathered.fresh[partition, place] += [ids[user] << SHIFT | seq for user in recipients]
        reason = self._names.word(notice.reason)
        gathered.bodies.append((partition << SHIFT | seq, count, note, reason, None, content))
        self._traces.heard(note, count)

    def _update(self, partition: int, update: Update) -> None:
        _, place = self._shapes.get(update.content) or self._shape(update.content)
        if update.announces:
            self._gathered.fresh[partition, place] += self._pairs(update.recipients, update.row_seq)
            self._gathered.bodies.append(self._body(partition, update, len(update.recipients)))
            if update.prev_row_seq != -1:
                self._gathered.gone[partition] += self._pairs(update.recipients, update.prev_row_seq)
            return
        self._flush()
        pairs = self._pairs(update.recipients, update.row_seq)
        if update.prev_row_seq == -1:
            rows = len(pairs)
            self._insert(pairs, meaning.RESTORED_FLAGS, update.seq - update.row_seq, place)
            self._held.add(partition, [pair >> SHIFT for pair in pairs])
        else:
            text = json_text(pairs)
            self._execute(_RELEASE, (text, partition))
            rows = self._execute(_CORRECT, (text, update.seq, *place)).rowcount
            self._execute(_DELETE_BODIES)
        if rows:
            put_rows(self._connection, _INSERT_BODIES, [self._body(partition, update, rows)])

    def _body(self, partition: int, update: Update, rows: int) -> BodyFields:
        grouped = json_text((update.count, update.created_ms, update.actors[: meaning.ACTORS_SHOWN]))
        reason = self._names.word(update.reason)
        return (partition << SHIFT | update.seq, rows, update.id, reason, grouped, update.content)

    def _mark(self, mark: Mark) -> None:
        self._flush()
        user = self._names.ids[mark.user]
        sets, clears = meaning.MARKS[mark.verb]
        if mark.up_to is None:
            self._execute(_MARK_THESE, (user, sets, clears, mark.seq, json_text(mark.row_seqs)))
        else:
            self._execute(_MARK_UP_TO, (user, sets, clears, mark.seq, mark.up_to))

    def _retract(self, partition: int, retraction: Retraction) -> None:
        self._flush()
        ids = self._names.ids
        doubtful = self._held.doubtful(ids[user] for user in retraction.recipients)
        if doubtful:
            self._trim(partition, doubtful)
        full = self._held.full(ids[user] for user in retraction.recipients)
        if full:
            self._execute(_TAKEN_BACK, (json_text(full), retraction.seq))
        self._delete(partition, self._pairs(retraction.recipients, retraction.row_seq))

    def _flush(self) -> None:
        """Write what was gathered: bodies, new rows, and only then the old places of those that moved."""
        gathered = self._gathered
        if gathered.bodies:
            self._gathered = Gathered()
            put_rows(self._connection, _INSERT_BODIES, gathered.bodies)
            by_place: defaultdict[Place, list[int]] = defaultdict(list)
            for (partition, place), pairs in gathered.fresh.items():
                by_place[place] += pairs
                self._held.add(partition, [pair >> SHIFT for pair in pairs])
            for place, pairs in by_place.items():
                self._insert(pairs, 0, 0, place)
            for partition, pairs in gathered.gone.items():
                self._delete(partition, pairs)

    def _insert(self, pairs: list[int], flags: int, later: int, place: Place) -> None:
        """Insert rows that changed, and whose bodies were told, `later` than their seq."""
        pairs.sort()  # neighbours in the table one after the other: a third faster
        self._execute(_INSERT, (json_text(pairs), later, flags, *place))

    def _delete(self, partition: int, pairs: list[int]) -> None:
        """Delete rows, those that are there, and the bodies that no row shows any more."""
        pairs.sort()
        text = json_text(pairs)
        self._execute(_RELEASE, (text, partition))
        self._execute(_DELETE, (text,))
        self._execute(_DELETE_BODIES)

    def _trim(self, partition: int, users: Iterable[int]) -> None:
        """Leave each of `users`, who live in `partition`, the newest `keep` rows."""
        lowest = []
        for user in sorted(users):
            rows, seq = self._execute(_NEWEST, (user, self._keep)).fetchone()
            self._held.found(user, rows)
            if rows == self._keep:
                lowest.append((user, seq))
        if lowest:
            self._execute(
                _RELEASE_BELOW, (json_text([user << SHIFT | seq for user, seq in lowest]), partition)
            )
            self._connection.executemany(_DELETE_BELOW, lowest)
            self._execute(_DELETE_BODIES)
