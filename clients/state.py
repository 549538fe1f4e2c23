"""What a client knows of one inbox: rows, counters, cursor, and which notifications are news. Pure.

Theory. Frames of the edge come in order, each once for each connection, and a frame's cursor is never ahead of what
was sent before it; so whoever comes back with the last cursor is told the rest. Two things may still be said twice:
rows that a page showed before their records were heard, and rows of a fresh page that were told before it. News is
therefore what stands *above all that was told*: rows only come and grow at the front, and whoever moves there gets a
higher place. Where places say nothing (the log was replaced, or has lost its end), news is what is not at hand.

A fresh page has the inbox's newest rows only. Below the last of them nothing is known, so a changed row from down
there is not put into the list: `items` has no holes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fanbell.clients.cursors import NOWHERE, Place, log_of, place_of
from fanbell.clients.marks import Item, Mark, Marks, counts_of

Frame = Mapping[str, Any]
KEEP_DEFAULT: Final = 1_000  # rows, where the edge does not say how many an inbox has


class State:
    """Drive it by `hear` and by what `marks` is told; read `items`, `counts`, `cursor`."""

    def __init__(self, cursor: str | None = None) -> None:
        self.cursor = cursor
        self.live = False
        """Whether all that the edge has to say at the start of a connection, marks aside, was heard."""
        self.marks = Marks()
        self._rows: dict[str, Item] = {}
        self._counts: Mapping[str, Any] = counts_of(())
        self._keep = KEEP_DEFAULT
        self._told = place_of(cursor)
        """The highest place that was told of: what stands above is news."""
        self._floor = self._told
        """The lowest place from which on all rows are known."""

    # What the edge says

    def hear(self, frame: Frame) -> list[Item]:
        """Take in `frame`; the notifications that are news, in order. Frames of unknown types change nothing."""
        news: list[Item] = []
        match frame["type"]:
            case "hello":
                self._hello(frame)
            case "page":
                news = self._page(frame)
            case "notification":
                news = self._notification(frame["item"])
            case "state":
                self._stand(frame["items"])
            case "retract":
                self._remove((frame["id"],))
            case "gone":
                self._remove(frame["ids"])
            case "kept":
                kept = set(frame["ids"])
                self._remove([id_ for id_ in self._rows if id_ not in kept])
            case "counts":
                self._counts = {name: frame[name] for name in ("unread", "unseen", "kinds", "scopes")}
        self.cursor = frame.get("cursor") or self.cursor
        if len(self._rows) > self._keep:
            self._trim()
        return news

    def cut(self) -> None:
        """The connection is gone."""
        self.live = False
        self.marks.cut()

    def _hello(self, hello: Frame) -> None:
        self._counts = hello["counts"]
        self._keep = hello.get("keep") or KEEP_DEFAULT
        self.live = hello["recovered"]
        if oldest := hello.get("oldest"):
            lowest = place_of(oldest).seq
            self._remove([id_ for id_, item in self._rows.items() if place_of(item["cursor"]).seq < lowest])

    def _page(self, page: Frame) -> list[Item]:
        """A fresh page replaces all rows."""
        items: list[Item] = page["items"]
        before, told, at = self._rows, self._told, place_of(page["cursor"])
        self.marks.forget_shown()
        self._rows = {item["id"]: item for item in items}
        self._told = max((place_of(item["cursor"]) for item in items), default=at, key=_seq)
        self._floor = place_of(items[-1]["cursor"]) if items and page.get("next") else NOWHERE
        self.live = True
        if told.log == at.log and at.seq >= place_of(self.cursor).seq:
            self._told = max(self._told, at, told, key=_seq)
            return [item for item in reversed(items) if place_of(item["cursor"]).seq > told.seq]
        self._told = max(self._told, at, key=_seq)
        if not before:
            return []  # the first page, or the first after a cursor of another log
        return [item for item in reversed(items) if not _is_at_hand(item, before, told.log == at.log)]

    def lacks(self, page: Frame) -> bool:
        """Whether there may be news below the last row of a fresh page."""
        items = page["items"]
        if not items or not page.get("next") or len(items) >= self._keep:
            return False
        last = place_of(items[-1]["cursor"])
        return last.log == self._told.log and last.seq > self._told.seq + 1

    def _notification(self, item: Item) -> list[Item]:
        place = place_of(item["cursor"])
        self._put(item)
        if place.log == self._told.log and place.seq <= self._told.seq:
            return []
        self._told = place
        return [item]

    def _stand(self, items: Iterable[Item]) -> None:
        """Rows that changed where they stand, or stand again where they did."""
        for item in items:
            if item["id"] in self._rows or place_of(item["cursor"]).seq >= self._floor.seq:
                self._put(item)

    def _put(self, item: Item) -> None:
        self.marks.shown((item["id"],))
        self._rows[item["id"]] = item

    def _trim(self) -> None:
        """Drop the oldest rows beyond those that an inbox has; not while rows are told again that a page was ahead of:
        some of these have left since, and are yet to be taken back."""
        at = place_of(self.cursor)
        if at.log != self._told.log or at.seq >= self._told.seq:
            newest_first = sorted(self._rows.values(), key=_row_seq, reverse=True)
            self._remove([item["id"] for item in newest_first[self._keep :]])

    def _remove(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            self._rows.pop(id_, None)
            self.marks.shown((id_,))

    # What people do

    def mark(self, verb: str, ids: Iterable[str] | None) -> list[Mark]:
        """Mark `ids`, or all that was shown if None; the frames to send. Raises MarksFull."""
        if ids is not None:
            return self.marks.add(verb, {id_: self._cursor_of(id_) for id_ in ids})
        seen = [cursor for cursor in (self.cursor, *self._newest_cursor()) if cursor is not None]
        up_to = max(seen, key=lambda cursor: place_of(cursor).seq, default=None)
        return self.marks.add(verb, {}, up_to) if up_to is not None else []

    def accepted(self, ref: str) -> Mark | None:
        """The mark `ref` is in the log."""
        return self.marks.accepted(ref, self._rows)

    def foreign(self, epoch: str) -> list[Mark]:
        """Marks that were taken back, since the log is now the one named `epoch`."""
        return self.marks.foreign(log_of(epoch))

    def _cursor_of(self, id_: str) -> str | None:
        item = self._rows.get(id_)
        return item["cursor"] if item is not None else None

    def _newest_cursor(self) -> list[str]:
        return [max(self._rows.values(), key=_row_seq)["cursor"]] if self._rows else []

    # What people see

    @property
    def items(self) -> list[Item]:
        """The rows that are not archived, newest first, with the marks that wait."""
        rows = sorted(self._rows.values(), key=_row_seq, reverse=True)
        return [item for item in map(self.marks.over, rows) if not item["archived"]]

    @property
    def counts(self) -> dict[str, Any]:
        """The edge's counters, with the marks that wait."""
        rows = list(self._rows.values())
        before, after = counts_of(rows), counts_of([self.marks.over(item) for item in rows])
        read, seen = self.marks.clears_all("read"), self.marks.clears_all("seen")
        base = self._counts
        return {
            "unread": after["unread"] if read else base["unread"] + after["unread"] - before["unread"],
            "unseen": after["unseen"] if seen else base["unseen"] + after["unseen"] - before["unseen"],
            **{
                name: after[name] if read else _moved(base[name], before[name], after[name])
                for name in ("kinds", "scopes")
            },
        }


def _seq(place: Place) -> int:
    return place.seq


def _row_seq(item: Item) -> int:
    return place_of(item["cursor"]).seq


def _is_at_hand(item: Item, rows: Mapping[str, Item], same_log: bool) -> bool:
    """Whether `item` was told before; in the same log, what has grown since was not."""
    row = rows.get(item["id"])
    return row is not None and (not same_log or row["cursor"] == item["cursor"])


def _moved(base: Mapping[str, int], before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """`base` with what changed from `before` to `after`; what comes to nothing is left out."""
    names = [*base, *(name for name in after if name not in base)]
    moved = {name: base.get(name, 0) + after.get(name, 0) - before.get(name, 0) for name in names}
    return {name: count for name, count in moved.items() if count > 0}
