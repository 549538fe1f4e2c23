"""One shard's knowledge of people: names and ordinals, who follows, mutes and blocks whom, who wishes what.

An ordinal is a recipient's number inside the shard. Ids are packed names (Avro strings), or 64-bit hashes of these.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from pyroaring import BitMap

from fanbell.schemas.by_hand import recipients_bytes
from fanbell.schemas.codec import unpack
from fanbell.schemas.records import Preference
from fanbell.streams.core import sets
from fanbell.streams.core.edges import Edges
from fanbell.streams.core.hashes import HashSet, hash64
from fanbell.streams.core.sets import Ordinals, packed

Table = dict[bytes, Ordinals]

RECENT_MAX: Final = (
    2_048  # ids whose followers are kept ready, 2 MB at a dozen each: few authors write most of the time
)
NUMBERS_MAX: Final = 8_192  # ids of which it is kept ready that there is nobody: half a MB
NOBODY: Final = BitMap()
PEOPLE: Final = ("followers", "mute_author", "blocked_by", "blocking")
PLACES: Final = ("mute_entity", "mute_thread", "mute_scope")


class Names:
    """Recipients of one shard by ordinal."""

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.ordinals: dict[bytes, int] = {}

    def ordinal(self, name: bytes) -> int:
        """The recipient's ordinal, given if it has none."""
        found = self.ordinals.get(name)
        if found is None:
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
        """(scope, kind, channel) → those who said on (or digest), and those who said off"""
        self._asked: dict[tuple[str, str, str | None], list[tuple[BitMap, BitMap]]] = {}
        """(kind, channel, scope) → the sets that say something of it, the most specific first; made when asked for"""

    def replace(self, ordinal: int, items: Iterable[Preference]) -> bool:
        """Whether anything changed."""
        new = tuple(items)
        old = self.items.pop(ordinal, ())
        if new:
            self.items[ordinal] = new
        self._asked.clear()
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
            return NOBODY if default else asked
        sets = self._asked.get((kind, channel, scope))
        if sets is None:
            sets = self._saying(kind, channel, scope)
        undecided, off = asked, NOBODY
        for on_set, off_set in sets:
            off = off | undecided & off_set
            undecided = undecided - on_set - off_set
        return off if default else off | undecided

    def _saying(self, kind: str, channel: str, scope: str | None) -> list[tuple[BitMap, BitMap]]:
        found = [
            self._sets[a_scope, a_kind, a_channel]
            for a_scope in ((scope, "*") if scope is not None else ("*",))
            for a_kind in (kind, "*")
            for a_channel in (channel, "*")
            if (a_scope, a_kind, a_channel) in self._sets
        ]
        if len(self._asked) >= RECENT_MAX:
            self._asked.clear()
        self._asked[kind, channel, scope] = found
        return found


class Followers(Struct, gc=False, frozen=True):
    """Who follows an id, as a notice to all of them needs it."""

    ordinals: BitMap
    members: Ordinals
    """The same as small as can be; not the stored set, which changes."""
    names: bytes
    """Their names, as an Avro array."""
    count: int


class Author(Struct, gc=False, frozen=True):
    """Who of a shard does not hear of an author, whatever they do."""

    apart: BitMap
    """Those who blocked them, and those whom they blocked."""
    muted: BitMap


class Graph:
    """Names, edges and wishes of one shard."""

    def __init__(self) -> None:
        self.names = Names()
        self.followers, self.mute_author = Edges(), Edges()
        self.blocked_by = Edges()
        """author → recipients who blocked them"""
        self.blocking = Edges()
        """author → recipients whom they blocked"""
        self.mute_entity: Table = {}
        self.mute_thread: Table = {}
        self.mute_scope: Table = {}
        self.announced = HashSet()
        """(follower, followed) of follows announced to a user of this shard: following twice announces once. If two
        share a hash, one goes unannounced; `hashes.py` says how likely that is."""
        self.wishes = Wishes()
        self._recent: dict[int, Followers] = {}
        self._unheard: set[int] = set()
        """Ids that nobody here follows, of those asked for lately"""
        self._authors: dict[int, Author | None] = {}

    def followers_of(self, followed: int) -> Followers | None:
        """Everybody who follows the id that has this hash, ready to be told; None if nobody does."""
        found = self._recent.get(followed)
        if found is None:
            if followed in self._unheard:
                return None
            ordinals = self.followers.get(followed)
            if ordinals is None:
                if len(self._unheard) >= NUMBERS_MAX:
                    self._unheard.clear()
                self._unheard.add(followed)
                return None
            ordinals = BitMap(ordinals)  # the stored one may change
            names = recipients_bytes([self.names.packed[ordinal] for ordinal in ordinals])
            found = Followers(ordinals, packed(ordinals, len(ordinals)), names, len(ordinals))
            if len(self._recent) >= RECENT_MAX:
                self._recent.clear()
            self._recent[followed] = found
        return found

    def author(self, author: int) -> Author | None:
        """Who does not hear of the author that has this hash; None if there is nobody like that."""
        if not (self.mute_author or self.blocked_by or self.blocking):
            return None
        try:
            return self._authors[author]
        except KeyError:
            pass
        some = [found for table in (self.blocked_by, self.blocking) if (found := table.get(author))]
        muted = self.mute_author.get(author)
        made = None
        if some or muted:
            made = Author(BitMap.union(BitMap(), *some), BitMap(muted or ()))
        if len(self._authors) >= NUMBERS_MAX:
            self._authors.clear()
        self._authors[author] = made
        return made

    def add(self, edges: Edges, id_: bytes, ordinal: int) -> bool:
        """Put in an edge to `id_`; whether it is new."""
        return edges.add(self._touched(id_), ordinal)

    def discard(self, edges: Edges, id_: bytes, ordinal: int) -> bool:
        """Take out an edge to `id_`; whether it was there."""
        return edges.discard(self._touched(id_), ordinal)

    def _touched(self, id_: bytes) -> int:
        """The id's hash; what was kept ready of it is no longer true."""
        hash_ = hash64(id_)
        self._recent.pop(hash_, None)
        self._unheard.discard(hash_)
        self._authors.pop(hash_, None)
        return hash_

    def follow(self, user: bytes, followed: bytes) -> bool:
        """Whether it is new. Nobody follows across a block."""
        ordinal = self.names.known(user)
        if ordinal is not None and self.apart(ordinal, followed):
            return False
        return self.add(self.followers, followed, self.names.ordinal(user))

    def unfollow(self, user: bytes, followed: bytes) -> bool:
        ordinal = self.names.known(user)
        return ordinal is not None and self.discard(self.followers, followed, ordinal)

    def apart(self, ordinal: int, other: bytes) -> bool:
        """Whether either has blocked the other."""
        hash_ = hash64(other)
        return self.blocked_by.has(hash_, ordinal) or self.blocking.has(hash_, ordinal)

    def announce_follow(self, follower: bytes, followed: bytes) -> bool:
        """Whether the follow is to be announced: not across a block, and not twice."""
        ordinal = self.names.known(followed)
        if ordinal is not None and self.apart(ordinal, follower):
            return False
        return self.announced.add(hash64(follower, followed))

    def forget_follow(self, follower: bytes, followed: bytes) -> bool:
        return self.announced.discard(hash64(follower, followed))

    def mute(self, user: bytes, aspect: str, id_: bytes) -> bool:
        """Whether it is new."""
        ordinal = self.names.ordinal(user)
        if aspect == "author":
            return self.add(self.mute_author, id_, ordinal)
        return sets.add(self._places(aspect), id_, ordinal)

    def unmute(self, user: bytes, aspect: str, id_: bytes) -> bool:
        """Whether it was muted."""
        ordinal = self.names.known(user)
        if ordinal is None:
            return False
        if aspect == "author":
            return self.discard(self.mute_author, id_, ordinal)
        return sets.discard(self._places(aspect), id_, ordinal)

    def _places(self, aspect: str) -> Table:
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
            **{people: getattr(self, people).dump() for people in PEOPLE},
            **{places: sets.dumped(getattr(self, places)) for places in PLACES},
        }

    @classmethod
    def load(cls, tree: dict[str, Any]) -> "Graph":
        made = cls()
        made.names.packed = tree["names"]
        made.names.ordinals = {name: ordinal for ordinal, name in enumerate(made.names.packed)}
        made.announced = HashSet.load(tree["announced"])
        for ordinal, items in tree["wishes"]:
            made.wishes.replace(ordinal, [Preference(*item) for item in items])
        for people in PEOPLE:
            setattr(made, people, Edges.load(tree[people]))
        for places in PLACES:
            setattr(made, places, sets.loaded(tree[places]))
        return made
