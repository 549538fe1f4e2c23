"""Rows that leave an inbox by themselves, told to who is online.

No record says that a row's time is over, nor that a new row pushed an old one out of a full inbox. For the second,
clients keep the newest so many themselves, which is right as long as they know of every row that counts. Of an expired
one they do not, nor of one that was archived before their page. So two frames are said here. `gone` has the ids of rows
that have expired since it was last said. `kept` has the ids of all rows shown, after the inbox pushed rows out while it
held expired or archived ones, or lost one while it was full, if only to time: a slow client that was spared the older
of two frames about a notification has not dropped what that pushed out, and has room now. Ids stand in the store, so
each takes a read: once per user and not per session, at most every half second, so many users at once; records queue
behind it as behind any other. Archived rows stay for long, so reads on their account are further apart.

A session that is still opening is told neither: its start was made by the same clock, and `watch` says from when on.
The store may be ahead of the records that we have told. Then a page may show a row again that, by our rows, has
expired, and nobody would be told of it a second time; and rows that were read may be without one that records yet to be
told push out. So nothing is said before everything that pages and rows show has been told.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from fanbell.edge import frames
from fanbell.edge.feed import Feed
from fanbell.edge.frames import Frame
from fanbell.projections.store import Row, Store, StoreFailed

EVERY_MS: Final = 500  # at most so often per user: rows that expire one after the other share a read
READS_MAX: Final = 16  # users whose ids are read at once, when something expires for thousands
HIDDEN_EVERY_MS: Final = 30_000  # the same for archived rows: what shows too long stands below all others
DELAY_MAX_S: Final = 86_400.0  # of a timer; it looks again then
log = structlog.get_logger("fanbell.edge")


class Turns(Protocol):
    """How the hub lets one feed be read for while its records queue."""

    def behind(self, feed: Feed, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; what happens meanwhile queues until it calls `go_on`."""
        ...

    def go_on(self, feed: Feed) -> None: ...
    def end(self, feed: Feed, why: str) -> None: ...
    async def ids(self, user: str) -> list[str]: ...


class Leaver:
    """Says `gone` and `kept` to feeds. `clock` gives Unix ms."""

    def __init__(self, store: Store, turns: Turns, clock: Callable[[], int]) -> None:
        self._store = store
        self._turns = turns
        self._clock = clock
        self._slots = asyncio.Semaphore(READS_MAX)

    def watch(self, feed: Feed, since_ms: int, at: int, shown_to: int = 0) -> None:
        """A session of `feed` has begun with what was shown at `since_ms`: it hears of what has left since then.

        It is told of every record above `at`. Its page, if it got one, shows all that happened up to `shown_to`.
        """
        left = feed.left
        left.not_before = max(left.not_before, shown_to)
        left.told_ms = since_ms if left.told_ms is None else min(left.told_ms, since_ms)
        if feed.tally.as_of > at or (left.lost_ms is not None and left.lost_ms >= since_ms):
            self._all(feed)
        self.look(feed)

    def look(self, feed: Feed) -> None:
        """Set the time for when something is to be said; the rows may have changed in any way."""
        left = feed.left
        if left.told_ms is None or not feed.links:
            return  # nobody is live
        if left.all_due_ms is not None:
            self._set(feed, left.all_due_ms)
        if (expires_ms := feed.tally.expires_after(left.told_ms)) is not None:
            self.expires(feed, expires_ms)

    def expires(self, feed: Feed, expires_ms: int) -> None:
        """A row of `feed` expires at `expires_ms`."""
        if feed.left.told_ms is not None:
            self._set(feed, max(expires_ms, feed.left.told_ms + EVERY_MS))

    def lost(self, feed: Feed, in_ms: int = EVERY_MS) -> None:
        """Rows have left `feed` in a way that clients cannot see; they are told within `in_ms`."""
        feed.left.lost_ms = self._clock()
        self._all(feed, in_ms)
        self.look(feed)

    def pushed_out(self, feed: Feed) -> None:
        """A new row has pushed one out. With rows among the newest that clients know nothing of, they would go on
        showing it."""
        if feed.tally.expired(0, self._clock()):
            self.lost(feed)
        elif feed.tally.hides_rows:
            self.lost(feed, HIDDEN_EVERY_MS)

    def turn(self, feed: Feed) -> None:
        """Say what is due to be said now."""
        left, now_ms = feed.left, self._clock()
        self.forget(feed)
        if not feed.links or left.told_ms is None:
            return
        if feed.reads or feed.told < left.not_before:  # moments
            return self._set(feed, now_ms + EVERY_MS)
        expired = feed.tally.expired(left.told_ms, now_ms)
        all_due = left.all_due_ms is not None and (expired or left.all_due_ms <= now_ms)
        if all_due or (expired and feed.tally.is_full):
            left.all_due_ms = None
            self._turns.behind(feed, self._say(feed, None, now_ms, feed.told))
        elif expired:
            self._turns.behind(feed, self._say(feed, expired, now_ms, feed.told))
        else:
            self.look(feed)

    def forget(self, feed: Feed) -> None:
        """No more for `feed`, for now."""
        left = feed.left
        if left.timer is not None:
            left.timer.cancel()
        left.timer = left.due_ms = None

    async def _say(self, feed: Feed, expired: Sequence[Row] | None, now_ms: int, stands: int) -> None:
        """Say to a feed that had come to `stands` that the rows `expired` are gone; if None, which ones are left."""
        left, since_ms = feed.left, feed.left.told_ms
        said = False
        try:
            async with self._slots:
                frame = await self._frame(feed.user, expired)
        except StoreFailed as error:
            log.error("rows that left cannot be read", error=str(error))
            self._turns.end(feed, "unavailable")
        else:
            said = stands >= left.not_before
            if said:
                self._tell(feed, frame)
            if said and left.told_ms == since_ms:  # nobody came who has to be told of more
                left.told_ms = now_ms
        if expired is None and not said:
            left.all_due_ms = now_ms
        self._turns.go_on(feed)
        if said:
            self.look(feed)
        elif feed.links:  # a session that came meanwhile has been shown more
            self._set(feed, self._clock() + EVERY_MS)

    async def _frame(self, user: str, expired: Sequence[Row] | None) -> Frame:
        if expired is None:
            return frames.kept(await self._turns.ids(user))
        bodies = await self._store.bodies(user, [row.body for row in expired])
        return frames.gone([bodies[row.body].id for row in expired if row.body in bodies])

    def _all(self, feed: Feed, in_ms: int = EVERY_MS) -> None:
        """Say within `in_ms` which rows are left, once every record that they show has been told."""
        left, due_ms = feed.left, self._clock() + in_ms
        left.all_due_ms = due_ms if left.all_due_ms is None else min(left.all_due_ms, due_ms)
        left.not_before = max(left.not_before, feed.tally.as_of)

    @staticmethod
    def _tell(feed: Feed, frame: Frame) -> None:
        for link in list(feed.links):
            link.tell(frame)
            link.count()

    def _set(self, feed: Feed, due_ms: int) -> None:
        """Take a turn at `due_ms`, or before, if one was to be then."""
        left = feed.left
        if left.due_ms is not None and left.due_ms <= due_ms:
            return
        self.forget(feed)
        left.due_ms = due_ms
        delay_s = max(0.0, (due_ms - self._clock()) / 1000 + 0.001)
        loop = asyncio.get_running_loop()
        left.timer = loop.call_later(min(delay_s, DELAY_MAX_S), self.turn, feed)
