"""A feed is one user who is online, with their sessions; a partition is where we stand in its records."""

import asyncio
from collections import deque
from collections.abc import Iterable

from fanbell.edge.frames import Frame
from fanbell.edge.ring import Entry, Ring
from fanbell.edge.tally import Tally


class Link:
    """A session's end at the socket. A class and no protocol, so that compiled code need not look its methods up."""

    def __init__(self, locale: str) -> None:
        self.locale = locale

    def tell(self, frame: Frame) -> None:
        """A frame about a record, in order."""
        raise NotImplementedError

    def count(self) -> None:
        """The counters may have changed."""
        raise NotImplementedError

    def end(self, why: str) -> None:
        """End the session; `why` is a name in `close_codes`."""
        raise NotImplementedError


class Left:
    """What of the rows that left by themselves one feed was told; `leaving.py` has the theory."""

    __slots__ = ("all_due_ms", "due_ms", "lost_ms", "not_before", "timer", "told_ms")

    def __init__(self) -> None:
        self.told_ms: int | None = None
        """What expired up to here, Unix ms, was told to every live session; None while there has been none."""
        self.all_due_ms: int | None = None
        """When sessions are to be told of all rows that are shown, at the latest; None if they are not."""
        self.lost_ms: int | None = None
        """When rows last left in a way that clients cannot see."""
        self.not_before = 0
        """Seq up to which every record must have been told before anything is said."""
        self.due_ms: int | None = None
        self.timer: asyncio.TimerHandle | None = None


class Feed:
    """One user who is online."""

    __slots__ = ("left", "links", "partition", "ready", "tally", "user", "waiting")

    def __init__(self, user: str, partition: "Partition") -> None:
        self.user = user
        self.partition = partition
        self.links: list[Link] = []
        self.tally = Tally((), 0, None)
        self.left = Left()
        self.waiting: deque[Entry] | None = deque()
        """Records that queue behind a read; None while there is none."""
        self.ready: asyncio.Task[None] | None = None
        """The first reading of the rows."""

    @property
    def reads(self) -> bool:
        """Whether a read is on its way, so that records queue."""
        return self.waiting is not None

    @property
    def told(self) -> int:
        """Seq up to which the feed has had every record: what queues is yet to be told, to who joins now too."""
        return self.waiting[0].told.seq - 1 if self.waiting else self.partition.told

    def release(self) -> deque[Entry]:
        """The read is done: what queued behind it."""
        waiting, self.waiting = self.waiting or deque(), None
        return waiting

    def put_back(self, rest: Iterable[Entry]) -> None:
        """Queue `rest` behind the read that has begun, if one has."""
        if self.waiting is not None:
            self.waiting.extend(rest)


class Partition:
    """Where we stand in one partition of `notices`."""

    __slots__ = ("behind", "heard", "idle_s", "index", "opening", "queue", "ring", "users")

    def __init__(self, index: int) -> None:
        self.index = index
        self.users = 0
        """How many of its users are online."""
        self.idle_s = 0.0
        """When it last had a user, or one who was about to join, by the loop's clock."""
        self.close()

    def close(self) -> None:
        """Stand nowhere: nothing of it is heard, and what was is forgotten."""
        self.opening: asyncio.Task[None] | None = None
        """Reads it to its end, or has; None while nobody needs it."""
        self.ring = Ring()
        self.heard = 0
        """The highest seq that we were told exists."""
        self.behind = True
        """Records are being read from the log; those heard meanwhile will be among them."""
        self.queue: deque[Entry] | None = None
        """Records that wait for names; None while none do."""

    @property
    def is_open(self) -> bool:
        """Whether it was read to its end, and is heard since."""
        return self.opening is not None and self.opening.done() and not self.opening.cancelled()

    def is_idle(self, now_s: float, idle_s: float) -> bool:
        """Whether nobody has needed it for so long, and nothing is under way in it."""
        rests = not self.users and not self.behind and self.queue is None
        return self.is_open and rests and now_s - self.idle_s >= idle_s

    @property
    def told(self) -> int:
        """Seq up to which every record has gone to the feeds."""
        return self.queue[0].told.seq - 1 if self.queue else self.ring.seq
