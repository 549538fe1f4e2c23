"""Writes of the Cassandra store: what `notices` carries, as stamped rows, without reading any of them first.

Three things may read. A retraction may bring no old row back into view, so the inboxes that it touches are looked at
once, before the batch, unless they are known to hold no more than they keep; what has left them is then deleted for
good. Of the inboxes that nobody has looked at, some are drawn by lot and looked at after the batch, to trim what could
not be counted. And a user's marks on all rows are settled into the rows once there are MARKS_MAX of them.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import astuple

from fanbell.projections import apply as meaning
from fanbell.projections import cassandra_tables as tables
from fanbell.projections.cassandra_gathered import HEAVY_ROWS, Gathered
from fanbell.projections.cassandra_held import MARKS_MAX, PEOPLE_MAX, Exact, Person, lot_of
from fanbell.projections.cassandra_reader import live_seqs, stored
from fanbell.projections.cassandra_tables import ROW, Shown
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Mark, Notice, Outcome, Retraction, Told, Update, Wish
from fanbell.streams.cassandra import Cassandra, each
from fanbell.streams.cassandra_packed import (
    head_of,
    packed,
    packed_byte,
    packed_flag,
    packed_int,
    packed_long,
)

ROWS_AT_ONCE: Final = 100_000  # gathered before they are sent: about 30 MB
TURN_ROWS: Final = 1_000  # gathered before the event loop has its turn: half a millisecond
SHAPES_CACHED: Final = 4_096  # contents, up to 16 KB each

_ROUTE: Final = struct.Struct(">i")
_CHUNK: Final = struct.Struct(">HixHqx")
_WHAT: Final = {what: packed_byte(what) for what in (1, 2, 4, 8, ROW)}
_NOWHERE: Final = packed_long(0) + packed(b"")
"""The place and the value of what stands once for each user."""
_FLAG: Final = (packed_flag(False), packed_flag(True))


class Writer:
    """Applies the records of one partition; for one caller at a time. After a failure it is of no use any more."""

    def __init__(self, cassandra: Cassandra, partition: int, keep: int, keep_age_ms: int | None) -> None:
        self.partition, self.keep, self.keep_age_ms = partition, keep, keep_age_ms
        self._cassandra = cassandra
        self._people: dict[str, Person] = {}
        self._shapes: dict[bytes, tuple[str, str, str | None, int | None]] = {}
        self._gathered = Gathered()
        self._first = Gathered()
        self._exact: dict[str, Exact] = {}
        self._drawn: set[str] = set()
        """Users whose inboxes are to be looked at after the batch."""
        self._heads: dict[str, bytes] = {}
        # A row lives as long as it may be shown, and is shown as long as its content says: nothing outlives by the
        # TTL what is shown, and marks put later take at least the rest of the row's life.
        ttl = 0 if keep_age_ms is None else keep_age_ms // 1_000 + 3_600
        ttl = 0 if ttl > tables.TTL_MOST_S else ttl
        self._ttl = packed_int(ttl)
        self._body_ttl = packed_int(ttl and ttl + 3_600)
        self._trace_ttl = packed_int(tables.TRACE_KEPT_S)

    async def open(self) -> None:
        """Prepare what is written. Raises CassandraFailed."""
        for cql in tables.WRITES:
            self._heads[cql] = head_of(await self._cassandra.prepare(cql))

    async def apply(self, records: Sequence[Told]) -> None:
        """Write what `records` mean; once it returns, all of it is acknowledged. Raises CassandraFailed."""
        if len(self._people) > PEOPLE_MAX:
            self._people = {}
        await self._look(records)
        turn = 0
        for record in records:
            kind = type(record)
            if kind is Notice:
                self._notice(record)  # type: ignore[arg-type]
            elif kind is Update:
                self._update(record)  # type: ignore[arg-type]
            elif kind is Outcome:
                self._outcome(record)  # type: ignore[arg-type]
            elif kind is Wish:
                self._wish(record)  # type: ignore[arg-type]
            elif kind is Retraction:
                self._retract(record)  # type: ignore[arg-type]
            elif kind is Mark and self._mark(record):  # type: ignore[arg-type]
                await self._settle(record.user)  # type: ignore[union-attr]
            if self._gathered.rows >= ROWS_AT_ONCE:
                await self._send()
                turn = 0
            elif self._gathered.rows - turn >= TURN_ROWS:
                turn = self._gathered.rows
                await asyncio.sleep(0)
        await self._send()
        self._exact = {}
        if self._drawn:
            await self._trim_drawn(records[-1].seq)

    async def _send(self) -> None:
        """Bodies first, so that no row shows what is not there; and traces with them."""
        await self._first.send(self._cassandra)
        await self._gathered.send(self._cassandra)

    def _person(self, user: str) -> Person:
        person = self._people.get(user)
        if person is None:
            person = self._people[user] = Person(user)
        return person

    def _add(
        self, person: Person, cql: str, *values: bytes, weight: int = 1, stamp_first: bytes = b""
    ) -> None:
        """Add one row of `cql`; deletes have their stamp before the key."""
        piece = b"".join((self._heads[cql], stamp_first, person.key, *values))
        self._gathered.add(_ROUTE.pack(person.bucket), piece, weight=weight)

    async def _look(self, records: Sequence[Told]) -> None:
        """Learn the seqs of the inboxes that retractions touch and that may hold more than is kept."""
        doubtful: set[str] = set()
        for record in records:
            if type(record) is Retraction:
                for user in record.recipients:
                    most = self._person(user).most
                    if most is None or most + len(records) > self.keep:
                        doubtful.add(user)
        first = records[0].seq if records else 0

        async def look(user: str) -> None:
            seqs = await live_seqs(self._cassandra, user, first, self.keep)
            self._exact[user] = Exact(seqs, self.keep)
            if len(seqs) < self.keep:
                self._person(user).most = len(seqs)

        await each(doubtful, look)

    async def _trim_drawn(self, last: int) -> None:
        """Drop what has left the inboxes that were drawn, by the rows that records up to the seq `last` put there."""
        drawn, self._drawn = self._drawn, set()

        async def look(user: str) -> None:
            seqs = await live_seqs(self._cassandra, user, last + 1, self.keep + 1)
            person = self._person(user)
            if len(seqs) > self.keep:
                self._trim(person, seqs[self.keep - 1], packed_long(last))
            person.most = min(len(seqs), self.keep)

        await each(drawn, look)
        await self._send()

    def _shape(self, content: bytes) -> tuple[str, str, str | None, int | None]:
        """Id, kind, scope and expiry of `content`."""
        shape = self._shapes.get(content)
        if shape is None:
            decoded = content_of(content)
            expires_at = meaning.expiry(decoded, self.keep_age_ms)
            if len(self._shapes) >= SHAPES_CACHED:
                self._shapes.clear()
            shape = self._shapes[content] = (decoded.id, decoded.kind, decoded.scope, expires_at)
        return shape

    def _shown(self, record: Notice | Update) -> bytes:
        """Put the body of `record`, and say what rows that show it hold."""
        _, kind, scope, expires_at = self._shape(record.content)
        seq = record.seq
        chunk = seq >> tables.CHUNK_BITS
        self._first.add(
            _CHUNK.pack(4, self.partition, 8, chunk),
            self._heads[tables.PUT_BODY],
            packed_int(self.partition),
            packed_long(chunk),
            packed_long(seq),
            packed(tables.kept_body(record, meaning.ACTORS_SHOWN)),
            packed_long(seq),
            self._body_ttl,
            weight=HEAVY_ROWS if len(record.content) > 1_024 else 3,
        )
        return packed(tables.encode(Shown(self.partition, seq, kind, scope, expires_at)))

    def _notice(self, notice: Notice) -> None:
        seq = notice.seq
        stamp = packed_long(seq)
        tail = stamp + self._shown(notice) + stamp + self._ttl
        head, people, add, keep = self._heads[tables.PUT], self._people, self._gathered.add, self.keep
        exact, lot = self._exact, lot_of(seq, keep)
        for user in notice.recipients:
            person = people.get(user) or self._person(user)
            add(_ROUTE.pack(person.bucket), head, person.key, tail)
            below = person.put(seq, keep)
            if below is not None:
                self._trim(person, below, stamp)
            if person.most is None and person.lot % keep == lot:
                self._drawn.add(user)
            if exact and user in exact:
                exact[user].put(seq)
        self._trace(self._shape(notice.content)[0], seq, len(notice.recipients), {})

    def _trim(self, person: Person, below: int, stamp: bytes) -> None:
        self._add(person, tables.DELETE_BELOW, _WHAT[ROW], packed_long(below), stamp_first=stamp)

    def _update(self, update: Update) -> None:
        shown, stamp, at = self._shown(update), packed_long(update.seq), packed_long(update.row_seq)
        rest = shown + stamp + self._ttl
        for user in update.recipients:
            person = self._person(user)
            if update.announces:
                self._move(person, user, update, rest)
            elif update.prev_row_seq == -1:
                self._add(person, tables.RESTORE, at, rest)
                if person.most is not None:
                    person.most += 1
                if user in self._exact:
                    self._exact[user].put(update.row_seq)
            else:
                self._add(person, tables.CORRECT, _WHAT[ROW], at, rest)

    def _move(self, person: Person, user: str, update: Update, rest: bytes) -> None:
        """Put the row at its new place and drop it from its old one, together."""
        stamp = packed_long(update.seq)
        pieces = [self._heads[tables.PUT], person.key, packed_long(update.row_seq), rest]
        if update.prev_row_seq != -1:
            pieces += (
                self._heads[tables.DELETE], stamp, person.key, _WHAT[ROW], packed_long(update.prev_row_seq)
            )  # fmt: skip
            person.gone(update.prev_row_seq)
        self._gathered.add(
            _ROUTE.pack(person.bucket), *pieces, rows=1 + (update.prev_row_seq != -1), weight=2
        )
        below = person.put(update.row_seq, self.keep)
        if below is not None:
            self._trim(person, below, stamp)
        if (
            person.most is None
            and update.prev_row_seq == -1
            and person.lot % self.keep == lot_of(update.seq, self.keep)
        ):
            self._drawn.add(user)
        exact = self._exact.get(user)
        if exact is not None:
            exact.seqs.discard(update.prev_row_seq)
            exact.put(update.row_seq)

    def _retract(self, retraction: Retraction) -> None:
        stamp, at = packed_long(retraction.seq), packed_long(retraction.row_seq)
        for user in retraction.recipients:
            person = self._person(user)
            pieces = [self._heads[tables.DELETE], stamp, person.key, _WHAT[ROW], at]
            exact = self._exact.get(user)
            if exact is not None:
                floor = exact.floor()
                if floor is not None:
                    self._trim(person, floor, stamp)
                    person.most = len(exact.seqs)
                    pieces += (self._heads[tables.PUT_TAKEN_BACK], person.key, _NOWHERE, stamp, self._ttl)
                exact.seqs.discard(retraction.row_seq)
            self._gathered.add(_ROUTE.pack(person.bucket), *pieces, rows=1 if len(pieces) == 5 else 2)
            person.gone(retraction.row_seq)

    def _mark(self, mark: Mark) -> bool:
        """Write `mark`; whether the user's marks on all rows are to be settled."""
        sets, clears = meaning.MARKS[mark.verb]
        stamp, person = packed_long(mark.seq), self._person(mark.user)
        bits = [(bit, _FLAG[bool(sets & bit)]) for bit in tables.FLAGS if (sets | clears) & bit]
        if mark.up_to is None:
            for seq in mark.row_seqs:
                for bit, flag in bits:
                    values = (_WHAT[ROW], packed_long(seq), flag, stamp, self._ttl)
                    self._add(person, tables.MARK[bit], *values)
            return False
        up_to = packed_long(min(mark.up_to, mark.seq))  # what comes later is not marked
        for bit, flag in bits:
            self._add(person, tables.DELETE_BELOW, _WHAT[bit], up_to, stamp_first=stamp)
            self._add(person, tables.MARK_ALL, _WHAT[bit], up_to, flag, stamp, self._ttl)
        person.marks += 1
        return person.marks >= MARKS_MAX

    async def _settle(self, user: str) -> None:
        """Write what the user's marks on all rows say into the rows, each with its own stamp, and delete them."""
        await self._send()
        inbox = await stored(self._cassandra, user, self.keep)
        person = self._person(user)
        for row in inbox.rows:
            for bit, value, stamp in inbox.marks_on(row):
                self._add(
                    person, tables.MARK[bit], _WHAT[ROW], packed_long(row.seq), _FLAG[value], packed_long(stamp),
                    self._ttl,
                )  # fmt: skip
        for mark in inbox.marks:
            values = (_WHAT[mark.bit], packed_long(mark.up_to))
            self._add(person, tables.DELETE, *values, stamp_first=packed_long(mark.seq))
        await self._send()  # rows before their marks are gone
        person.marks = 0

    def _wish(self, wish: Wish) -> None:
        change = meaning.change_of(wish)
        stamp = packed_long(wish.seq)
        listings = {(one.what, one.user, one.item): one.stands for one in meaning.listings(change)}
        for (what, user, item), stands in listings.items():
            values = (packed(what.encode()), packed(item.encode()))
            if stands:
                self._add(self._person(user), tables.PUT_LISTED, *values, stamp)
            else:
                self._add(self._person(user), tables.STRIKE_LISTED, *values, stamp_first=stamp)
        profile, preferences = meaning.profile_of(change), meaning.preferences_of(change)
        if profile is not None:
            text = packed(msgspec.json.encode(astuple(profile)))
            self._add(self._person(change.user), tables.PUT_PROFILE, text, stamp, weight=HEAVY_ROWS)
        if preferences is not None:
            text = packed(msgspec.json.encode([astuple(item) for item in preferences]))
            self._add(self._person(change.user), tables.PUT_PREFERENCES, text, stamp, weight=HEAVY_ROWS)

    def _outcome(self, outcome: Outcome) -> None:
        silenced: dict[str, int] = {}
        for item in outcome.silenced:
            silenced[item.rule] = silenced.get(item.rule, 0) + item.count
        self._trace(outcome.id, outcome.seq, outcome.heard, silenced)

    def _trace(self, activity: str, seq: int, heard: int, silenced: dict[str, int]) -> None:
        bucket = tables.trace_bucket_of(activity)
        self._first.add(
            _ROUTE.pack(bucket),
            self._heads[tables.PUT_TRACE],
            packed_int(bucket),
            packed(activity.encode()),
            packed_int(self.partition),
            packed_long(seq),
            packed_int(heard),
            packed(msgspec.json.encode(silenced)),
            packed_long(seq),
            self._trace_ttl,
        )
