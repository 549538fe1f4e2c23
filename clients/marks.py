"""Marks that wait to be acknowledged, and what rows look like as if they had been. Pure.

A mark counts at once for what is shown here. It is *waiting* until the edge has answered: refused, it is taken back;
accepted, it is in the log, and stays over the row until the edge says something about that row, which then says it
too. It names rows with the cursors that they were shown with, so it leaves alone what a group has gained since, here
as there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from fanbell.clients.cursors import place_of
from fanbell.clients.errors import MarksFull

Item = Mapping[str, Any]
WAITING_MAX: Final = 256  # frames: hours of reading without a line
IDS_PER_FRAME: Final = 100  # 256 bytes an id at most, escaped, and a cursor: below the 64 KiB the edge takes

SETS: Final[Mapping[str, Mapping[str, bool]]] = {
    "read": {"read": True, "seen": True},
    "unread": {"read": False},
    "seen": {"seen": True},
    "archive": {"archived": True, "read": True, "seen": True},
    "unarchive": {"archived": False},
    "click": {"clicked": True, "read": True, "seen": True},
}
"""What each verb does to a row; the edge's own table, which a test holds it to."""


class Mark(Struct):
    """One frame of marks. `ids` with the cursors they were shown with, None for rows that are not at hand."""

    ref: str
    verb: str
    ids: Mapping[str, str | None]
    up_to: str | None = None
    sent: bool = False
    """Whether it went out on this connection; `tried`: on any."""
    tried: bool = False
    shown: set[str] = field(default_factory=set)
    """Rows that the edge has said anew since it was first tried: the mark may be in that."""

    def frame(self) -> dict[str, Any]:
        """What the edge is told."""
        told: dict[str, Any] = {"type": self.verb, "ref": self.ref}
        if self.up_to is not None:
            return told | {"up_to": self.up_to}
        told["ids"] = list(self.ids)
        cursors = list(self.ids.values())
        return told if None in cursors else told | {"cursors": cursors}

    def covers(self, item: Item) -> bool:
        """Whether it marks `item` as it stands now."""
        if self.up_to is not None:
            up_to, at = place_of(self.up_to), place_of(item["cursor"])
            return at.log == up_to.log and at.seq <= up_to.seq
        return item["id"] in self.ids and self.ids[item["id"]] in (None, item["cursor"])

    def is_of_log(self, log: str) -> bool:
        """Whether the cursors in it, if any, are of `log`."""
        cursors = [self.up_to, *self.ids.values()]
        return all(cursor is None or place_of(cursor).log == log for cursor in cursors)


class Marks:
    """Those of one client, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, Mark] = {}
        self._kept: dict[str, list[Mark]] = {}
        """By row: marks that were accepted, and that the edge has not shown there yet. At most one of a verb."""
        self._number = 0

    def add(self, verb: str, ids: Mapping[str, str | None], up_to: str | None = None) -> list[Mark]:
        """Mark `ids` (with their cursors where known) or all up to a cursor. Raises MarksFull, and nothing changes."""
        known = [id_ for id_, cursor in ids.items() if cursor is not None]
        unknown = [id_ for id_, cursor in ids.items() if cursor is None]
        chunks = [
            {id_: ids[id_] for id_ in some[at : at + IDS_PER_FRAME]}
            for some in (known, unknown)
            for at in range(0, len(some), IDS_PER_FRAME)
        ]
        if up_to is not None:
            chunks = [{}]
        if len(self._waiting) + len(chunks) > WAITING_MAX:
            raise MarksFull(verb, list(ids), f"{WAITING_MAX} marks wait for an answer")
        made = []
        for chunk in chunks:
            self._number += 1
            made.append(Mark(f"m{self._number}", verb, chunk, up_to))
        self._waiting |= {mark.ref: mark for mark in made}
        return made

    def next(self) -> Mark | None:
        """The oldest that was not sent on this connection."""
        return next((mark for mark in self._waiting.values() if not mark.sent), None)

    def cut(self) -> None:
        """The connection is gone: what was not answered must be sent again. Marks may be repeated."""
        for mark in self._waiting.values():
            mark.sent = False

    def accepted(self, ref: str, rows: Mapping[str, Item]) -> Mark | None:
        """The mark `ref` is in the log; it stays over those of `rows` that do not show it yet."""
        mark = self.drop(ref)
        if mark is None:
            return None
        for id_, item in rows.items():
            if id_ in mark.shown or not mark.covers(item):
                continue
            if any(item[name] != value for name, value in SETS[mark.verb].items()):
                before = [one for one in self._kept.get(id_, ()) if one.verb != mark.verb]
                self._kept[id_] = [*before, mark]
        return mark

    def drop(self, ref: str) -> Mark | None:
        """Take the mark `ref` back, if it still waits."""
        return self._waiting.pop(ref, None)

    def foreign(self, log: str) -> list[Mark]:
        """Take back those that are of another log than `log`."""
        strangers = [mark for mark in self._waiting.values() if not mark.is_of_log(log)]
        for mark in strangers:
            del self._waiting[mark.ref]
        return strangers

    def shown(self, ids: Iterable[str]) -> None:
        """The edge has said what these rows are: what was accepted is in that, or will be said again."""
        for id_ in ids:
            self._kept.pop(id_, None)
            for mark in self._waiting.values():
                if mark.tried:
                    mark.shown.add(id_)

    def forget_shown(self) -> None:
        """The edge has said what all rows are."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    def over(self, item: Item) -> Item:
        """`item` as it will be."""
        done: dict[str, Any] = {}
        for mark in (*self._kept.get(item["id"], ()), *self._waiting.values()):
            if mark.covers(item):
                done |= SETS[mark.verb]
        return {**item, **done} if done else item

    def clears_all(self, name: str) -> bool:
        """Whether a waiting mark sets the flag `name` of all that was there, also of rows that are not at hand."""
        return any(
            mark.up_to is not None and SETS[mark.verb].get(name, False) for mark in self._waiting.values()
        )


def counts_of(items: Sequence[Item]) -> dict[str, Any]:
    """The counters of `items`, as if they were all."""
    counted: dict[str, Any] = {"unread": 0, "unseen": 0, "kinds": {}, "scopes": {}}
    for item in items:
        if item["archived"]:
            continue
        counted["unseen"] += not item["seen"]
        if not item["read"]:
            counted["unread"] += 1
            for names, name in ((counted["kinds"], item["kind"]), (counted["scopes"], item["scope"])):
                if name is not None:
                    names[name] = names.get(name, 0) + 1
    return counted
