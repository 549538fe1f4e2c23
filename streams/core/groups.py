"""Groups: "Ana and 12 others liked your post", one row that grows while it is unread.

A group is kept per *cohort*: recipients whose rows have had the same history and so look the same. Whoever reads, mutes
or is otherwise told differently gets a cohort of their own. Fold time only; an update goes out at most once in
`pace_ms`, the last one always.
"""

from itertools import islice
from typing import Any, Final

import msgspec
from pyroaring import BitMap

from fanbell.streams.core.sets import Ordinals, bitmap, packed

RECENT: Final = (
    16  # contents kept per group, so that it can show an earlier activity when the latest is undone
)
LATEST: Final = 3  # actors shown by name
PARTS_PER_ACTOR: Final = (
    4  # a group is closed at this many times its distinct actors: one actor may comment often
)

Key = tuple[str, str, str, int]
"""(kind, reason, value of what it groups by, ordinal where it groups by recipient, else -1)"""


class Group(msgspec.Struct, gc=False, eq=False):
    """One cohort's row and what it is made of. Its members are a set of ordinals."""

    id: str
    key: Key
    members: Ordinals
    created_ms: int
    opened_ms: int
    window_ms: int
    pace_ms: int
    actors_max: int
    content: bytes
    parts: dict[str, list[str]]
    """actor → objects, in the order of each actor's latest"""
    parts_count: int = 0
    recent: dict[str, bytes] = {}
    """object + actor → content, the latest `RECENT`"""
    undone: dict[tuple[str, str], None] = {}
    """(actor, object) that were announced and then undone: they come back quietly"""
    fresh: dict[tuple[str, str], None] = {}
    """(actor, object) that joined since the last update and are to be announced"""
    row_seq: int = -1
    """The row's place in its inboxes; -1 before the first update"""
    out_ms: int = -1
    pending: bool = False
    open: bool = True
    read: bool = False
    """Whether the row as it stands was marked read while something new was on its way into it"""
    queued: int = 0
    """Place among those whose updates wait for the same moment"""
    retracted: bool = True
    """Whether its recipients have no row of it: before the first update, and when nobody is left in it"""
    born: int = 0
    """Place among all that was told in the shard"""

    @property
    def kind(self) -> str:
        return self.key[0]

    @property
    def reason(self) -> str:
        return self.key[1]

    def takes(self, clock_ms: int) -> bool:
        """Whether it still grows."""
        return (
            self.open and clock_ms - self.opened_ms < self.window_ms and (not self.read or bool(self.fresh))
        )

    def has(self, actor: str, object_: str) -> bool:
        return object_ in self.parts.get(actor, ())

    def join(self, actor: str, object_: str, content: bytes) -> None:
        """Take in an activity. One that was undone before comes back quietly."""
        objects = self.parts.pop(actor, [])
        objects.append(object_)
        self.parts[actor] = objects
        self.parts_count += 1
        self.content = content
        self.recent.pop(_at(actor, object_), None)
        self.recent[_at(actor, object_)] = content
        if len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        if (actor, object_) in self.undone:
            del self.undone[actor, object_]
        else:
            self.fresh[actor, object_] = None
        if len(self.parts) >= self.actors_max or self.parts_count >= self.actors_max * PARTS_PER_ACTOR:
            self.open = False  # for good: whether others hear meanwhile must not make a difference

    def leave(self, actor: str, object_: str) -> bool:
        """Take an activity out again; whether it was in."""
        objects = self.parts.get(actor)
        if objects is None or object_ not in objects:
            return False
        objects.remove(object_)
        self.parts_count -= 1
        self.recent.pop(_at(actor, object_), None)
        if objects:  # the actor's latest is an earlier one now
            self.parts = _by_latest(self.parts, self.recent)
        else:
            del self.parts[actor]
        if self.recent:
            self.content = self.recent[next(reversed(self.recent))]
        if (actor, object_) in self.fresh:
            del self.fresh[actor, object_]
        else:
            self.undone[actor, object_] = None
            if len(self.undone) >= self.actors_max:
                self.open = False
        return True

    def latest(self) -> list[str]:
        return list(islice(reversed(self.parts), LATEST))

    def split(self, ordinals: BitMap) -> "Group":
        """A cohort of `ordinals`, some but not all of the members, with the same history; they leave this one."""
        rest = bitmap(self.members) - ordinals
        self.members = packed(rest, len(rest))
        return msgspec.structs.replace(
            self,
            members=packed(ordinals, len(ordinals)),
            parts={actor: list(objects) for actor, objects in self.parts.items()},
            recent=dict(self.recent),
            undone=dict(self.undone),
            fresh=dict(self.fresh),
        )

    def dump(self) -> list[Any]:
        members = self.members if isinstance(self.members, int) else list(self.members)
        shown = {"members": members, "undone": list(self.undone), "fresh": list(self.fresh)}
        return [shown[name] if name in shown else getattr(self, name) for name in self.__struct_fields__]

    @classmethod
    def load(cls, data: list[Any]) -> "Group":
        tree = dict(zip(cls.__struct_fields__, data, strict=True))
        tree["key"] = tuple(tree["key"])
        if not isinstance(tree["members"], int):
            tree["members"] = packed(tree["members"], len(tree["members"]))
        tree["undone"] = dict.fromkeys(map(tuple, tree["undone"]))
        tree["fresh"] = dict.fromkeys(map(tuple, tree["fresh"]))
        return cls(**tree)


def _by_latest(parts: dict[str, list[str]], recent: dict[str, bytes]) -> dict[str, list[str]]:
    latest = {of.partition("\0")[0]: place for place, of in enumerate(recent)}
    return dict(sorted(parts.items(), key=lambda part: latest.get(part[0], -1)))


def _at(actor: str, object_: str) -> str:
    return f"{actor}\0{object_}"  # ids have no control characters
