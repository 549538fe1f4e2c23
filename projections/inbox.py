"""Inboxes ready to show: pages, counters and items, of what the store holds.

Rows read once are kept until their user hears of something; whoever runs this tells so (`told`) before anybody may
expect to see it. What was being read meanwhile is shown, but not kept.
"""

import time
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from fanbell.projections.apply import body_of, change_of, profile_of
from fanbell.projections.items import LOCALE_DEFAULT, Item, Profiles, Renderer
from fanbell.projections.rows import Counts, Query, counts, expires_next, page
from fanbell.projections.store import Profile, Row, Store
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update, Wish
from fanbell.streams.core.kinds import Rules

ROWS_CACHED: Final = 250_000  # of all inboxes together, about 200 bytes each
PROFILES_CACHED: Final = 100_000  # about 300 bytes each; users without one count too

Users = Collection[str]
Stamp = tuple[int, int, int, int]
"""What was read of an inbox, and when something in it expired last; the rules' version; profiles heard to change."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class _Read:
    """One inbox as read, and its counters for as long as nothing in it expires."""

    __slots__ = ("_counted", "_since_ms", "_until_ms", "counted_times", "newest", "number", "rows")

    def __init__(self, rows: list[Row], number: int) -> None:
        self.rows = rows
        self.number = number
        """No other reading has it."""
        self.counted_times = 0
        """Grows whenever something may have expired since."""
        self.newest = max((row.changed_seq for row in rows), default=0)
        self._counted: Counts | None = None
        self._since_ms = 0
        self._until_ms: int | None = None

    def counts(self, now_ms: int) -> Counts:
        fits = self._since_ms <= now_ms and (self._until_ms is None or now_ms < self._until_ms)
        if self._counted is None or not fits:
            self._counted = counts(self.rows, now_ms)
            self.counted_times += 1
            self._since_ms = now_ms
            self._until_ms = expires_next(self.rows, now_ms)
        return self._counted


class Inbox:
    """For one event loop. `rules` gives those in force, `cursor_of` a seq as clients see it (text that JSON
    takes as it is), `clock` Unix ms.
    """

    def __init__(
        self,
        store: Store,
        rules: Callable[[], Rules],
        cursor_of: Callable[[int], str] = str,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self._store = store
        self._rules = rules
        self._cursor_of = cursor_of
        self._clock = clock
        self._renderer = Renderer(rules())
        self._reads: OrderedDict[str, _Read] = OrderedDict()
        self._rows_cached = 0
        self._reading: dict[str, object] = {}
        self._readings = 0
        self._profiles: dict[str, Profile | None] = {}
        self._profiles_changed = 0

    @property
    def renderer(self) -> Renderer:
        """By the rules in force; also counts what could not be rendered."""
        rules = self._rules()
        if self._renderer.rules is not rules:
            self._renderer = Renderer(rules)
        return self._renderer

    async def page(self, user: str, query: Query, locale: str | None = None) -> bytes:
        """A page as JSON; see `answer`. Raises StoreFailed."""
        return msgspec.json.encode(await self.answer(user, query, locale))

    async def answer(
        self,
        user: str,
        query: Query,
        locale: str | None = None,
        now_ms: int | None = None,
        cursor_of: Callable[[int], str] | None = None,
    ) -> dict[str, Any]:
        """The page of the user's inbox that `query` asks for, in `locale` (default: the user's, then English).

        `cursor` is the inbox's newest change: what comes later is not on this page. Raises StoreFailed.
        """
        now_ms = self._clock() if now_ms is None else now_ms
        cursor_of = cursor_of or self._cursor_of
        read = await self._read(user)
        counted = read.counts(now_ms)
        found = page(read.rows, query, now_ms, counted)
        items = await self.items(user, found.rows, locale, cursor_of)
        if len(items) < len(found.rows):  # rows were trimmed since they were read
            self.changed((user,))
            read = await self._read(user)
            found = page(read.rows, query, now_ms, read.counts(now_ms))
            items = await self.items(user, found.rows, locale, cursor_of)
        return {
            "items": items,
            "cursor": cursor_of(read.newest),
            "next": None if found.next is None else cursor_of(found.next),
            "prev": None if found.prev is None else cursor_of(found.prev),
            "total": found.total,
            "unread": found.unread,
            "unseen": found.unseen,
        }

    async def counts(self, user: str, now_ms: int | None = None) -> Counts:
        """The counters of the user's inbox. Raises StoreFailed."""
        return (await self._read(user)).counts(self._clock() if now_ms is None else now_ms)

    async def stamp(self, user: str) -> Stamp:
        """Stays the same only while all pages and counters of the user do: what they are made of is as it was.

        It comes of this process, and says nothing to others. Raises StoreFailed.
        """
        read = await self._read(user)
        read.counts(self._clock())
        return (read.number, read.counted_times, self._rules().version, self._profiles_changed)

    async def items(
        self,
        user: str,
        rows: Sequence[Row],
        locale: str | None = None,
        cursor_of: Callable[[int], str] | None = None,
    ) -> list[Item]:
        """What `rows` of `user` show; one that was trimmed meanwhile is left out. Raises StoreFailed."""
        bodies = await self._store.bodies(user, [row.body for row in rows]) if rows else {}
        people = {actor for body in bodies.values() for actor in body.actors}
        if locale is None:
            people.add(user)
        profiles = await self._known(people)
        if locale is None:
            mine = profiles.get(user)
            locale = (mine and mine.locale) or LOCALE_DEFAULT
        renderer, cursor_of = self.renderer, cursor_of or self._cursor_of
        items = []
        for row in rows:
            body = bodies.get(row.body)
            if body is not None:
                item = renderer.item(row, body, profiles, locale)
                item["cursor"] = cursor_of(row.seq)
                items.append(item)
        return items

    def item_of(self, told: Notice | Update, profiles: Profiles, locale: str) -> bytes:
        """The item that each recipient of `told` is shown, new and unread, as JSON; the same for all of them."""
        cursor = self._cursor_of(told.seq if isinstance(told, Notice) else told.row_seq)
        return b'%s,"cursor":"%s"}' % (self.renderer.fresh(body_of(told), profiles, locale), cursor.encode())

    @staticmethod
    def actors_of(told: Told) -> tuple[str, ...]:
        """Whose profiles it takes to show `told`."""
        return body_of(told).actors if isinstance(told, Notice | Update) else ()

    def told(self, partition: int, records: Sequence[tuple[int, Told]]) -> None:
        """Take note of what `notices` carried and the store now holds: a `Listener` of the backend."""
        for _, record in records:
            if isinstance(record, Notice | Update | Retraction):
                if self._reads or self._reading:
                    self.changed(record.recipients)
            elif isinstance(record, Mark):
                self.changed((record.user,))
            elif isinstance(record, Wish):
                change = change_of(record)
                if profile_of(change) is not None:
                    self._profiles_changed += 1
                    self._profiles.pop(change.user, None)

    def changed(self, users: Iterable[str]) -> None:
        """Keep nothing of what was read, or is being read, of these inboxes."""
        reads = self._reads
        for user in users:
            self._reading.pop(user, None)
            if user in reads:
                self._rows_cached -= len(reads.pop(user).rows) + 1

    def forget(self, concerns: Callable[[str], bool]) -> None:
        """Keep nothing of what was read, or is being read, of the inboxes of those whom it concerns: nobody will tell
        when they change."""
        self.changed([user for user in {*self._reads, *self._reading} if concerns(user)])

    def forget_people(self) -> None:
        """Read anew how people are shown: not all of their changes are told."""
        self._profiles_changed += 1
        self._profiles = {}

    async def _read(self, user: str) -> _Read:
        read = self._reads.get(user)
        if read is not None:
            self._reads.move_to_end(user)
            return read
        this = self._reading[user] = object()
        try:
            rows = await self._store.rows(user)
            self._readings += 1
            read = _Read(rows, self._readings)
            if self._reading.get(user) is this:
                self._keep(user, read)
        finally:
            if self._reading.get(user) is this:
                del self._reading[user]
        return read

    def _keep(self, user: str, read: _Read) -> None:
        self._reads[user] = read
        self._rows_cached += len(read.rows) + 1  # an empty inbox takes room too
        while self._rows_cached > ROWS_CACHED:
            _, oldest = self._reads.popitem(last=False)
            self._rows_cached -= len(oldest.rows) + 1

    async def _known(self, people: Iterable[str]) -> Profiles:
        """At least the profiles of `people`."""
        known = self._profiles
        missing = [person for person in people if person not in known]
        if not missing:
            return known
        before = self._profiles_changed
        found = await self._store.profiles(missing)
        fresh: dict[str, Profile | None] = {person: found.get(person) for person in missing}
        if before != self._profiles_changed:  # one of these may be older than what was told
            return ChainMap(fresh, known)
        if len(known) + len(fresh) > PROFILES_CACHED:
            self._profiles = fresh
            return ChainMap(fresh, known)
        known.update(fresh)
        return known
