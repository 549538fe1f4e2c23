"""Who hears of a record: the feeds of those of its recipients who are online, and their sessions.

What a record says can nearly always be said at once. A mark, or a quiet correction, changed rows whose state the
store must be asked for: then that one feed waits, and what comes meanwhile queues behind it, so order holds.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from fanbell.edge.feed import Feed, Link
from fanbell.edge.frames import Frame
from fanbell.edge.names import Names
from fanbell.edge.ports import Leaving, Reads
from fanbell.edge.ring import Entry
from fanbell.edge.tally import new_row
from fanbell.edge.wording import Wording, is_news
from fanbell.projections.apply import change_of, profile_of
from fanbell.projections.store import Row
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update, Wish

WAITING_MAX: Final = 4_096  # records queued behind one feed's read; a store that slow is no longer working


class Teller:
    """Tells sessions. `feeds`: who is online, by user; others keep it."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        names: Names,
        wording: Wording,
        leaver: Leaving,
        reads: Reads,
        keep_age_ms: int | None,
    ) -> None:
        self._feeds = feeds
        self._names = names
        self._wording = wording
        self._leaver = leaver
        self._reads = reads
        self._keep_age_ms = keep_age_ms

    def concerned(self, entries: Sequence[Entry]) -> list[tuple[Entry, list[Feed]]]:
        """Those of `entries` that somebody is online for, and who."""
        found = []
        for entry in entries:
            feeds = self._feeds_of(entry.told)
            if feeds:
                found.append((entry, feeds))
        return found

    def _feeds_of(self, told: Told) -> list[Feed]:
        """The feeds that `told` is for."""
        if isinstance(told, Notice | Update | Retraction):
            return [feed for feed in map(self._feeds.get, told.recipients) if feed is not None]
        if isinstance(told, Mark):
            feed = self._feeds.get(told.user)
            return [feed] if feed is not None else []
        if isinstance(told, Wish):
            change = change_of(told)
            profile = profile_of(change)
            if profile is not None:
                self._names.hear(change.user, profile)
            feed = self._feeds.get(change.user)
            return [feed] if feed is not None and change.side != "other" else []
        return []

    def tell(self, entry: Entry, feeds: Sequence[Feed]) -> None:
        """Tell `feeds`, or queue it for those that are being read for."""
        for feed in feeds:
            waiting = feed.waiting
            if waiting is None:
                self.deliver(feed, entry)
            elif len(waiting) < WAITING_MAX:
                waiting.append(entry)
            else:
                self._reads.end(feed, "resume")

    def deliver(self, feed: Feed, entry: Entry) -> None:
        """Tell one feed for which nothing is being read."""
        told, tally = entry.told, feed.tally
        if is_news(told):
            row = entry.row
            if row is None:
                row = entry.row = new_row(told, self._keep_age_ms)
            tally.take(told, row)
            self._watch(feed, row.expires_at)
            self._announce(feed, entry, row)
        else:
            self._change(feed, entry)
        if tally.short and not feed.reads:
            self._reads.rows_due(feed)

    def _change(self, feed: Feed, entry: Entry) -> None:
        """Tell one feed of a record that brings nothing to the front."""
        told = entry.told
        changed = feed.tally.take(told)
        expires_ms = self._wording.expires_ms(told)
        self._watch(feed, expires_ms)
        if expires_ms is not None and expires_ms <= self._wording.now_ms():
            self._tell_all(feed, self._wording.over(told))
        elif changed:
            self._reads.states_due(feed, told, changed)
        else:
            self._tell_all(feed, self._wording.plain(entry))

    def _watch(self, feed: Feed, expires_ms: int | None) -> None:
        """A record was taken, whose row expires then: see to what leaves by itself."""
        if expires_ms is not None:
            self._leaver.expires(feed, expires_ms)
        if feed.tally.pushed_out:
            feed.tally.pushed_out = False
            self._leaver.pushed_out(feed)

    @staticmethod
    def _tell_all(feed: Feed, frame: Frame | None) -> None:
        if frame is not None:
            for link in feed.links.copy():
                link.tell(frame)
                link.count()

    def _announce(self, feed: Feed, entry: Entry, row: Row) -> None:
        """Tell the feed's sessions of its new row, unless its time is over: no page shows it."""
        if row.expires_at is not None and row.expires_at <= self._wording.now_ms():
            self._tell_all(feed, self._wording.over(entry.told))
            return
        links = feed.links
        if len(links) == 1:
            self._tell_one(links[0], entry)
        else:
            for link in links.copy():  # one that is too slow leaves
                self._tell_one(link, entry)

    def _tell_one(self, link: Link, entry: Entry) -> None:
        frame = entry.frames.get(link.locale)
        if frame is None:
            frame = self._wording.notification(entry, link.locale)
        link.tell(frame)
        link.count()

    def go_on(self, feed: Feed) -> None:
        """Deliver what queued behind a read, up to the next record that needs one."""
        waiting = feed.release()
        while waiting and not feed.reads:
            self.deliver(feed, waiting.popleft())
        feed.put_back(waiting)
