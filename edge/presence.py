"""Who is connected, as edges say it: a fold of the records of `presence`. Pure: time arrives, nothing is awaited.

Theory. An edge says of its users in each partition who came, who went, and, before its lease ends, that it is still
here; it states a few of its users again each time, so that every one is stated once in `RESTATED_MS`. So whoever
begins to read that far back knows all of them. What an edge said holds for as long as it is alive: when it dies, its
lease ends, and its users are gone without a word.

Records of one edge have a life and a number, which only grow; those that come late or again are dropped. What begins
anew (another life), or follows a hole or a lease that had ended, begins with nobody: better to miss somebody for a
while, who then is told of by other ways, than to take somebody for present who has left.

Times are those of the edges' clocks, which should agree with this one to a few seconds. One that is more than
`AHEAD_MAX_MS` ahead is not believed: it would be taken for alive long after it died.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Presence, Present

LEASE_MS: Final = 45_000  # three renewals: one may be lost, and the next be late
RENEW_MS: Final = 15_000
RESTATED_MS: Final = 600_000  # about; a user costs some 30 bytes of the log in that time
LEASE_MAX_MS: Final = 600_000  # that an edge may ask for
AHEAD_MAX_MS: Final = 60_000
USERS_MAX: Final = 1_000_000  # of a process, 350 MB; past it those stated longest ago are dropped
EDGES_MAX: Final = (
    10_000  # of a partition: ten million sockets and more; past it those heard of first are dropped
)


class Here(Struct, frozen=True):
    """A user who is connected, at all edges together."""

    devices: int
    since_ms: int
    active_ms: int


class _Edge:
    """What is known of one edge. Its `users` are those whom it stated and did not take back."""

    __slots__ = ("lease_ms", "life", "number", "time_ms", "users", "whole")

    def __init__(self) -> None:
        self.life = self.number = self.time_ms = self.lease_ms = 0
        self.whole = True
        """Whether nobody was let go of whom it did not take back."""
        self.users: set[str] = set()

    def is_alive(self, now_ms: int) -> bool:
        return self.time_ms - AHEAD_MAX_MS <= now_ms < self.time_ms + self.lease_ms

    def is_followed_by(self, said: Presence) -> bool:
        """Whether all that was known before `said` still stands after it."""
        sequel = said.life == self.life and said.number == self.number + 1
        return sequel and self.whole and said.time_ms < self.time_ms + self.lease_ms


class _Stay(Struct, frozen=True, gc=False):
    """A user at one edge."""

    edge: str
    devices: int
    since_ms: int
    active_ms: int


class Roll:
    """The fold of one partition. `take` records in their order, ask `of` a user, `expire` once in a while."""

    def __init__(self, users_max: int = USERS_MAX) -> None:
        self._users_max = users_max
        self._edges: OrderedDict[str, _Edge] = OrderedDict()
        self._stays: OrderedDict[str, tuple[_Stay, ...]] = OrderedDict()
        """By user; who was stated longest ago comes first. Mostly one each."""
        self.repeats = 0
        """Records that were late or repeated."""
        self.holes = 0
        """Records that did not follow the one before."""
        self.dropped = 0
        """Users for whom there was no room."""

    def take(self, said: Presence) -> bool:
        """Fold one record; whether it was news."""
        edge = self._edges.get(said.edge)
        if edge is None:
            edge = self._edges[said.edge] = _Edge()
            if len(self._edges) > EDGES_MAX:
                self._drop(next(iter(self._edges)), forget=True)
        elif (said.life, said.number) <= (edge.life, edge.number):
            self.repeats += 1
            return False
        elif not edge.is_followed_by(said):
            self.holes += said.life == edge.life
            self._drop(said.edge)
        edge.life, edge.number, edge.time_ms = said.life, said.number, said.time_ms
        edge.lease_ms, edge.whole = min(said.lease_ms, LEASE_MAX_MS), True
        for user in said.gone:
            self._leave(user, said.edge)
        for present in said.here:
            self._state(present, said.edge)
        if edge.lease_ms <= 0:
            self._drop(said.edge)
        return True

    def of(self, user: str, now_ms: int) -> Here | None:
        """How the user is connected; None if not at all."""
        stays = [stay for stay in self._stays.get(user, ()) if self._edges[stay.edge].is_alive(now_ms)]
        if not stays:
            return None
        return Here(
            sum(stay.devices for stay in stays),
            min(stay.since_ms for stay in stays),
            max(stay.active_ms for stay in stays),
        )

    def online(self, now_ms: int) -> int:
        """How many users are connected."""
        silent = {user for edge in self._edges.values() if not edge.is_alive(now_ms) for user in edge.users}
        return len(self._stays) - sum(self.of(user, now_ms) is None for user in silent)

    def alive(self, now_ms: int) -> set[str]:
        """Edges that are alive."""
        return {name for name, edge in self._edges.items() if edge.is_alive(now_ms)}

    def expire(self, now_ms: int) -> None:
        """Free what edges take that died. Changes no answer: their users are let go of a lease after they ended, they
        themselves once nothing late can come of them."""
        for name, edge in list(self._edges.items()):
            if now_ms >= edge.time_ms + LEASE_MAX_MS:
                self._drop(name, forget=True)
            elif now_ms >= edge.time_ms + 2 * edge.lease_ms and edge.users:
                self._drop(name)
                edge.whole = False

    def _state(self, present: Present, edge: str) -> None:
        if present.devices <= 0:
            return self._leave(present.user, edge)
        stay = _Stay(edge, present.devices, present.since_ms, present.active_ms)
        others = tuple(other for other in self._stays.get(present.user, ()) if other.edge != edge)
        self._stays[present.user] = (*others, stay)
        self._stays.move_to_end(present.user)
        self._edges[edge].users.add(present.user)
        while len(self._stays) > self._users_max:
            user, stays = self._stays.popitem(last=False)
            self.dropped += 1
            for stay in stays:
                self._edges[stay.edge].users.discard(user)
        return None

    def _leave(self, user: str, edge: str) -> None:
        self._edges[edge].users.discard(user)
        others = tuple(stay for stay in self._stays.get(user, ()) if stay.edge != edge)
        if others:
            self._stays[user] = others
        else:
            self._stays.pop(user, None)

    def _drop(self, name: str, *, forget: bool = False) -> None:
        """Nobody is at that edge any more; `forget` it altogether."""
        for user in list(self._edges[name].users):
            self._leave(user, name)
        if forget:
            del self._edges[name]


class Rolls:
    """All partitions together: the partition of a user is that of their notices."""

    def __init__(self, partitions: int, users_max: int = USERS_MAX) -> None:
        self.of_partition = [Roll(max(1, users_max // partitions)) for _ in range(partitions)]

    def take(self, partition: int, said: Presence) -> bool:
        """Fold one record of a partition; whether it was news."""
        return self.of_partition[partition].take(said)

    def of(self, user: str, now_ms: int) -> Here | None:
        """How the user is connected; None if not at all."""
        return self.of_partition[partition_of(user, len(self.of_partition))].of(user, now_ms)

    def expire(self, now_ms: int) -> None:
        """Free what edges take that died."""
        for roll in self.of_partition:
            roll.expire(now_ms)

    def stats(self, now_ms: int) -> dict[str, int]:
        """Numbers for people and programs."""
        rolls = self.of_partition
        return {
            "users": sum(roll.online(now_ms) for roll in rolls),
            "edges": len(set().union(*(roll.alive(now_ms) for roll in rolls))),
            "repeats": sum(roll.repeats for roll in rolls),
            "holes": sum(roll.holes for roll in rolls),
            "dropped": sum(roll.dropped for roll in rolls),
        }
