"""One shard's knowledge of people: names and ordinals, who follows, mutes and blocks whom, who wishes what.

An ordinal is a recipient's number inside the shard. Keys are packed names (Avro strings), shared between shards of one
process by `intern`, since the same author is followed in most of them.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct
from pyroaring import BitMap

from fanbell.schemas.codec import unpack
from fanbell.schemas.records import Preference
from fanbell.streams.core import sets
from fanbell.streams.core.hashes import HashSet, hash64
from fanbell.streams.core.sets import Ordinals, bitmap, packed

Table = dict[bytes, Ordinals]
Intern = Callable[[bytes], bytes]

RECENT_MAX: Final = (
    2_048  # ids whose followers are kept ready, 2 MB at a dozen each: few authors write most of the time
)
_NOBODY: Final = BitMap()
TABLES: Final = (
    "followers",
    "mute_author",
    "mute_entity",
    "mute_thread",
    "mute_scope",
    "blocked_by",
    "blocking",
)


class Names:
    """Recipients of one shard by ordinal."""

    def __init__(self, intern: Intern) -> None:
        self.packed: list[bytes] = []
        self.ordinals: dict[bytes, int] = {}
        self._intern = intern

    def ordinal(self, name: bytes) -> int:
        """The recipient's ordinal, given if it has none."""
        found = self.ordinals.get(name)
        if found is None:
            name = self._intern(name)
            found = self.ordinals[name] = len(self.packed)
            self.packed.append(name)
        return found

    def known(self, name: bytes) -> int | None:
        return self.ordinals.get(name)

    def names(self, ordinals: Iterable[int]) -> list[str]:
        return [unpack(self.packed[ordinal]) for ordinal in ordinals]


class Wishes:
    """Preferences, indexed so that asking costs a few look-ups, whoever many recipients there are."""

    def __init__(self) -> None:
        self.items: dict[int, tuple[Preference, ...]] = {}
        self._sets: dict[tuple[str, str, str], tuple[BitMap, BitMap]] = {}

    def replace(self, ordinal: int, items: Iterable[Preference]) -> bool:
        """Whether anything changed."""
        new = tuple(items)
        old = self.items.pop(ordinal, ())
        if new:
            self.items[ordinal] = new
        for item in old:
            on_off = self._sets[item.scope, item.kind, item.channel]
            on_off[item.value == "off"].discard(ordinal)
            if not on_off[0] and not on_off[1]:
                del self._sets[item.scope, item.kind, item.channel]
        for item in new:
            on_off = self._sets.setdefault((item.scope, item.kind, item.channel), (BitMap(), BitMap()))
            on_off[item.value == "off"].add(ordinal)
        return new != old

    def unwilling(self, asked: BitMap, kind: str, channel: str, scope: str | None, default: bool) -> BitMap:
        """Those of `asked` who do not want `kind` on `channel`: the most specific item of each decides.

        Specific means: of that scope before any, then of that kind before any, then of that channel before any.
        """
        if not self._sets:
            return _NOBODY if default else asked
        undecided, off = asked, _NOBODY
        for a_scope in (scope, "*") if scope is not None else ("*",):
            for a_kind in (kind, "*"):
                for a_channel in (channel, "*"):
                    found = self._sets.get((a_scope, a_kind, a_channel))
                    if found is not None:
                        off = off | undecided & found[1]
                        undecided = undecided - found[0] - found[1]
        return off if default else off | undecided


class Followers(Struct, gc=False, frozen=True):
    """Who follows an id, as a notice to all of them needs it."""

    ordinals: BitMap
    members: Ordinals
    """The same as small as can be; not the stored set, which changes."""
    names: bytes
    """Their packed names, joined."""
    count: int


class Graph:
    """Names, edges and wishes of one shard."""

    def __init__(self, intern: Intern = lambda name: name) -> None:
        self.intern = intern
        self.names = Names(intern)
        self.followers: Table = {}
        self.mute_author: Table = {}
        self.mute_entity: Table = {}
        self.mute_thread: Table = {}
        self.mute_scope: Table = {}
        self.blocked_by: Table = {}
        """author → recipients who blocked them"""
        self.blocking: Table = {}
        """author → recipients whom they blocked"""
        self.announced = HashSet()
        """(follower, followed) of follows announced to a user of this shard: following twice announces once. If two
        share a hash, one goes unannounced; `hashes.py` says how likely that is."""
        self.wishes = Wishes()
        self._recent: dict[bytes, Followers] = {}

    def followers_of(self, followed: bytes) -> Followers | None:
        """Everybody who follows the id, ready to be told; None if nobody does."""
        found = self._recent.get(followed)
        if found is None:
            stored = self.followers.get(followed)
            if stored is None:
                return None
            ordinals = list(bitmap(stored))
            names = b"".join([self.names.packed[ordinal] for ordinal in ordinals])
            found = Followers(BitMap(ordinals), packed(ordinals, len(ordinals)), names, len(ordinals))
            if len(self._recent) >= RECENT_MAX:
                self._recent.clear()
            self._recent[followed] = found
        return found

    def add(self, table: Table, key: bytes, ordinal: int) -> bool:
        return sets.add(table, key if key in table else self.intern(key), ordinal)

    def follow(self, user: bytes, followed: bytes) -> bool:
        """Whether it is new. Nobody follows across a block."""
        ordinal = self.names.known(user)
        if ordinal is not None and self.apart(ordinal, followed):
            return False
        self._recent.pop(followed, None)
        return self.add(self.followers, followed, self.names.ordinal(user))

    def unfollow(self, user: bytes, followed: bytes) -> bool:
        ordinal = self.names.known(user)
        self._recent.pop(followed, None)
        return ordinal is not None and sets.discard(self.followers, followed, ordinal)

    def apart(self, ordinal: int, other: bytes) -> bool:
        """Whether either has blocked the other."""
        return sets.contains(self.blocked_by.get(other), ordinal) or sets.contains(
            self.blocking.get(other), ordinal
        )

    def announce_follow(self, follower: bytes, followed: bytes) -> bool:
        """Whether the follow is to be announced: not across a block, and not twice."""
        ordinal = self.names.known(followed)
        if ordinal is not None and self.apart(ordinal, follower):
            return False
        return self.announced.add(hash64(follower, followed))

    def forget_follow(self, follower: bytes, followed: bytes) -> bool:
        return self.announced.discard(hash64(follower, followed))

    def mutes(self, aspect: str) -> Table:
        table: Table = getattr(self, f"mute_{aspect}")
        return table

    def dump(self) -> dict[str, Any]:
        return {
            "names": self.names.packed,
            "announced": self.announced.dump(),
            "wishes": [
                [ordinal, [[i.kind, i.channel, i.scope, i.value] for i in items]]
                for ordinal, items in self.wishes.items.items()
            ],
            **{table: sets.dumped(getattr(self, table)) for table in TABLES},
        }

    @classmethod
    def load(cls, tree: dict[str, Any], intern: Intern) -> "Graph":
        made = cls(intern)
        made.names.packed = [intern(name) for name in tree["names"]]
        made.names.ordinals = {name: ordinal for ordinal, name in enumerate(made.names.packed)}
        made.announced = HashSet.load(tree["announced"])
        for ordinal, items in tree["wishes"]:
            made.wishes.replace(ordinal, [Preference(*item) for item in items])
        for table in TABLES:
            setattr(made, table, {intern(key): value for key, value in sets.loaded(tree[table]).items()})
        return made
