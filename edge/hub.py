"""From records to sessions: where we stand in each partition, who is online, and all that is read for them.

Theory. Each partition has a ring, which says where we stand and sees gaps; gaps are read from the log. A
record goes to the *feeds* of those of its recipients who are online: a dict look-up each (`teller.py`). A feed is one
user, with their sessions and the tally of their rows. Two things need the store before a record can be told: names of
people we have not met (then the partition waits for one read, within a bound), and rows that it changed where they
stand (then that one feed waits).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from fanbell.edge.backend import Backend
from fanbell.edge.feed import Feed, Link, Partition
from fanbell.edge.frames import Frame, kept
from fanbell.edge.leaving import Leaver
from fanbell.edge.names import Names
from fanbell.edge.ports import Inbox
from fanbell.edge.reread import Reread
from fanbell.edge.ring import RECORDS_MAX, Entry, Gap
from fanbell.edge.tally import Tally
from fanbell.edge.teller import Teller
from fanbell.edge.wording import Wording, is_put_back
from fanbell.projections.inbox import wall_ms
from fanbell.projections.items import LOCALE_DEFAULT, best_locale
from fanbell.projections.rows import shown
from fanbell.projections.store import Row, StoreFailed
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Told
from fanbell.streams.log import LogFailed

READ_AT_ONCE: Final = 1_000  # records of the log per read while catching up
CATCH_UP_TRIES: Final = 100  # reads without progress, 50 ms apart, before the gap is given up
IDS_TRIES: Final = 3  # readings of an inbox that changes while its ids are read
IDLE_S: Final = (
    60.0  # a partition is let go of when it had no user for so long: whoever lost the line is back by then
)
IDLE_EVERY_S: Final = 5.0  # that is looked at
PEOPLE_EVERY_S: Final = 60.0  # how people are shown is read anew, where not all of their changes are heard
RETRY_S: Final = 1.0  # between two tries to read a log that cannot be read
log = structlog.get_logger("fanbell.edge")


class Hub:
    """All feeds. Lives on one event loop; nothing here blocks it. `clock` gives Unix ms."""

    def __init__(
        self,
        backend: Backend,
        inbox: Inbox,
        keep: int,
        keep_age_ms: int | None,
        counted: Callable[[str, int, int], None] = lambda user, partition, sessions: None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        """`counted` is told when the number of a user's sessions has changed: who, of which partition, how many."""
        self.backend = backend
        self.inbox = inbox
        self.partitions = [Partition(index) for index in range(backend.partitions)]
        self._feeds: dict[str, Feed] = {}
        self.names = Names(backend.store)
        self.now_ms = clock
        self.leaver = Leaver(backend.store, self, clock)
        self.keep = keep
        """An inbox is its newest so many rows."""
        self.keep_age_ms = keep_age_ms
        self.wording = Wording(backend.epoch, inbox, self.names, keep_age_ms, clock)
        self._teller = Teller(self._feeds, self.names, self.wording, self.leaver, self, keep_age_ms)
        self._counted = counted
        self.reread = Reread(backend)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unlisten: Callable[[], None] = lambda: None
        self.gaps = 0

    @property
    def users(self) -> int:
        return len(self._feeds)

    async def open(self) -> None:
        """Listen, and open all partitions, unless that is done when somebody needs them.

        Raises StoreFailed, LogFailed.
        """
        self._unlisten = self.backend.listen(self.heard)
        if self.backend.on_demand:
            self._task(self._let_go())
            self._task(self._meet_anew())
        else:
            await asyncio.gather(*(self._opened(partition) for partition in self.partitions))

    async def opened(self, user: str) -> None:
        """Have the user's partition read to its end: only then may they `join`. Raises StoreFailed, LogFailed."""
        partition = self.partition_of(user)
        if not partition.is_open:
            await self._opened(partition)
        partition.idle_s = asyncio.get_running_loop().time()

    async def _opened(self, partition: Partition) -> None:
        if partition.opening is None:
            partition.opening = self._task(self._open(partition))
        await asyncio.shield(partition.opening)  # others wait for it too

    async def _open(self, partition: Partition) -> None:
        """Follow it, go to where the store stands, and read to the end."""
        try:
            await self.backend.follow(partition.index)
            positions = await self.backend.store.positions()
            first = max(0, positions.get(partition.index, -1) + 1 - RECORDS_MAX)
            recent = await self.backend.notices(partition.index, first, 1)
            if recent:
                offset, told = recent[0]
                partition.ring.stand_at(offset - 1, told.seq - 1)
            await self._catch_up(partition)
            partition.idle_s = asyncio.get_running_loop().time()
        except BaseException:
            self._close(partition)  # who comes next tries again
            raise

    def _close(self, partition: Partition) -> None:
        self.backend.unfollow(partition.index)
        self.inbox.forget(lambda user: self.partition_of(user) is partition)
        partition.close()

    async def _let_go(self) -> None:
        """Of partitions whose users have left."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(IDLE_EVERY_S)
            for partition in self.partitions:
                if partition.is_idle(loop.time(), IDLE_S):
                    self._close(partition)

    async def _meet_anew(self) -> None:
        """People of partitions that are not followed may be shown otherwise by now."""
        while True:
            await asyncio.sleep(PEOPLE_EVERY_S)
            if not all(partition.is_open for partition in self.partitions):
                self.names.forget()
                self.inbox.forget_people()

    async def close(self) -> None:
        unlisten, self._unlisten = self._unlisten, lambda: None
        unlisten()
        for feed in self._feeds.values():
            self.leaver.forget(feed)
        self.reread.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Who is online

    def partition_of(self, user: str) -> Partition:
        return self.partitions[partition_of(user, len(self.partitions))]

    def links_of(self, user: str) -> int:
        """How many sessions the user has."""
        feed = self._feeds.get(user)
        return len(feed.links) if feed else 0

    def join(self, user: str, link: Link) -> Feed:
        """Register a session: from now on every record reaches it. Await `ready` before using the tally.

        Raises StoreFailed if the user's partition is not `opened`.
        """
        feed = self._feeds.get(user)
        if feed is None:
            partition = self.partition_of(user)
            if not partition.is_open:
                raise StoreFailed(f"partition {partition.index} was let go of meanwhile")
            feed = self._feeds[user] = Feed(user, partition)
            partition.users += 1
            feed.ready = self._task(self._fill(feed))
        feed.links.append(link)
        self._counted(user, feed.partition.index, len(feed.links))
        return feed

    def leave(self, feed: Feed, link: Link) -> None:
        if link in feed.links:
            feed.links.remove(link)
            self._counted(feed.user, feed.partition.index, len(feed.links))
        if not feed.links and self._feeds.get(feed.user) is feed:
            del self._feeds[feed.user]
            feed.partition.users -= 1
            feed.partition.idle_s = asyncio.get_running_loop().time()
            self.leaver.forget(feed)

    async def _fill(self, feed: Feed) -> None:
        """Read the rows anew. Raises StoreFailed, and then the feed's sessions end."""
        try:
            reading = await self.backend.store.read(feed.user)
        except StoreFailed:
            self.end(feed, "unavailable")
            raise
        feed.tally = Tally(reading.rows, self.keep, self.keep_age_ms, reading.as_of)
        self.go_on(feed)
        for link in feed.links:
            link.count()

    async def _fill_again(self, feed: Feed) -> None:
        await self._fill(feed)
        self.leaver.lost(feed)

    # What happens

    def heard(self, index: int, records: Sequence[tuple[int, Told]]) -> None:
        """The listener: records of one partition, in order, once projected."""
        partition = self.partitions[index]
        if not records:
            return
        partition.heard = max(partition.heard, records[-1][1].seq)
        if partition.behind:
            return
        try:
            fresh = partition.ring.take(records)
        except Gap:
            self.gaps += 1
            partition.behind = True
            self._task(self._heal(partition))
            return
        self._dispatch(partition, fresh)

    async def _heal(self, partition: Partition) -> None:
        """Catch up, however long the log cannot be read; who is online meanwhile comes back and resumes."""
        while True:
            try:
                return await self._catch_up(partition)
            except (StoreFailed, LogFailed) as error:
                log.error("the edge cannot catch up", partition=partition.index, error=str(error))
                self._end_all(partition, "unavailable")
                await asyncio.sleep(RETRY_S)

    async def _catch_up(self, partition: Partition) -> None:
        """Read from the log until nothing that was heard is missing. Raises StoreFailed, LogFailed."""
        tries, at = 0, partition.ring.offset + 1
        while partition.behind:
            records = await self.backend.notices(partition.index, at, READ_AT_ONCE)
            if not records:
                if partition.heard <= partition.ring.seq:
                    partition.behind = False
                    return
                tries += 1
                if tries > CATCH_UP_TRIES:
                    raise StoreFailed(f"partition {partition.index}: records heard of are not in the log")
                await asyncio.sleep(0.05)
                continue
            at = records[-1][0] + 1  # also past what was told twice, of which the ring takes nothing
            try:
                fresh = partition.ring.take(records)
            except Gap as gap:  # the log was trimmed under us: whoever is online must begin anew
                log.error("records of notices are gone", partition=partition.index, after=partition.ring.seq)
                self._end_all(partition, "resume")
                at, seq = gap.before
                partition.ring.stand_at(at - 1, seq - 1)
                continue
            self._dispatch(partition, fresh)

    def _end_all(self, partition: Partition, why: str) -> None:
        for feed in list(self._feeds.values()):
            if feed.partition is partition:
                self.end(feed, why)

    @staticmethod
    def end(feed: Feed, why: str) -> None:
        """End all sessions of `feed`; `why` is a name in `close_codes`."""
        for link in list(feed.links):
            link.end(why)

    def _dispatch(self, partition: Partition, fresh: Sequence[Entry]) -> None:
        if partition.queue is not None:
            partition.queue.extend(fresh)
            return
        concerned = self._teller.concerned(fresh)
        unmet = self.names.unmet(
            actor for entry, _ in concerned for actor in self.inbox.actors_of(entry.told)
        )
        if unmet:
            partition.queue = deque(fresh)
            self._task(self._meet(partition, unmet))
            return
        for entry, feeds in concerned:
            self._teller.tell(entry, feeds)

    async def _meet(self, partition: Partition, unmet: set[str]) -> None:
        try:
            await self.names.meet(unmet)
        except StoreFailed as error:
            log.error(
                "names cannot be read", error=str(error), then="people are shown by their ids for a while"
            )
        queue, partition.queue = partition.queue, None
        self._dispatch(partition, list(queue or ()))

    async def locale_of(self, user: str, asked: str | None) -> str:
        """The locale that a session's texts are in: one that our texts exist in, so that frames are shared."""
        if asked is None:
            profile = (await self.backend.store.profiles([user])).get(user)
            asked = profile.locale if profile else None
        return best_locale(asked or LOCALE_DEFAULT, self.backend.rules.people) or LOCALE_DEFAULT

    # What is read for a feed, while its records queue

    def behind(self, feed: Feed, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which reads for `feed`; its records queue until it calls `go_on`."""
        feed.waiting = deque()
        self._task(work)

    def go_on(self, feed: Feed) -> None:
        """Deliver what queued behind a read, up to the next record that needs one."""
        self._teller.go_on(feed)

    def rows_due(self, feed: Feed) -> None:
        """A full inbox has lost a row: read the rows anew, and say which are left."""
        self.behind(feed, self._fill_again(feed))

    def states_due(self, feed: Feed, told: Told, rows: Sequence[Row]) -> None:
        """Tell the feed's sessions the state of `rows`, which `told` changed."""
        self.behind(feed, self._tell_states(feed, told, rows))

    async def _tell_states(self, feed: Feed, told: Told, rows: Sequence[Row]) -> None:
        """Tell the feed's sessions the state of `rows`, then what queued behind it.

        Where it is yet to be said which rows are left, that goes before one that is put back: clients that have too
        many drop the oldest, and it may be older than those that have left.
        """
        by_locale: dict[str, list[Frame]] = {}
        try:
            first: list[Frame] = []
            if is_put_back(told) and feed.left.all_due_ms is not None:
                first.append(kept(await self.ids(feed.user)))
            for locale in {link.locale for link in feed.links}:
                by_locale[locale] = first + await self.wording.states(feed.user, told.seq, rows, locale)
        except StoreFailed as error:
            log.error("rows cannot be read", error=str(error))
            self.end(feed, "unavailable")
        for link in list(feed.links):
            for frame in by_locale.get(link.locale, ()):  # who joined meanwhile has read them already
                link.tell(frame)
            link.count()
        self.go_on(feed)

    async def ids(self, user: str) -> list[str]:
        """The ids of all rows that the user's inbox shows. Raises StoreFailed.

        Of the store and not of the tally: that may be between two records of which the store had both when it was read.
        """
        for _ in range(IDS_TRIES):
            rows = shown(await self.backend.store.rows(user), self.now_ms())
            bodies = await self.backend.store.bodies(user, [row.body for row in rows])
            if len(bodies) == len(rows):
                break  # else one was changed in between
        return [body.id for body in bodies.values()]

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work of the edge failed", error=f"{type(error).__name__}: {error}")
