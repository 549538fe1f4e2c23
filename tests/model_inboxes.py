"""The other half of the brute-force model: what an inbox makes of what its user hears.

Every recipient has rows of their own, and each row holds all that it tells of. A row's `place` stands for its seq: only
the order of one user's places means anything.
"""

from collections import Counter, defaultdict
from itertools import count

from msgspec.structs import asdict

MARKS = {"read": {"read", "seen"}, "seen": {"seen"}, "archive": {"archived", "read", "seen"}}
MARKS |= {"click": {"clicked", "read", "seen"}, "unread": {"read"}, "unarchive": {"archived"}}  # un…: cleared
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def ms(duration):
    return int(duration[:-1]) * UNITS_MS[duration[-1]]


def part_of(content):
    return content.actor, content.object


class Row:
    """One recipient's notification: what it is made of (`parts`), and what the inbox shows of that."""

    def __init__(self, **values):
        vars(self).update(values)


class Inboxes:
    """Rows by user. `clock` is fold time; `limits` those of a rules file."""

    def __init__(self, limits):
        self.limits, self.clock, self.number, self.heard = limits, 0, count(1), Counter()
        self.rows, self.groups, self.pending = defaultdict(list), defaultdict(list), set()

    def wake(self):
        """Updates whose time has come go out."""
        for row in sorted((row for row in self.pending if row.due[0] <= self.clock), key=lambda row: row.due):
            self.update(row, row.due[0])

    def hear(self, user, content, kind, reason):
        self.heard[content.id] += 1
        by = None if reason == "mention" else kind.get("groups_by")
        about = {"object": content.object, "target": content.target}.get(by)
        group = self.groups[user, content.kind, reason, about] if by else []
        window = ms(kind["window"]) if "window" in kind else self.limits["window_ms"]
        row, part = group[-1] if group else None, (content.actor, content.object)
        if row and row.open and self.clock - row.opened < window and (row.fresh or not row.marked):
            if part not in map(part_of, row.parts):
                row.parts.append(content)
                (row.undone.remove if part in row.undone else row.fresh.add)(part)
                self.changed(row)
            return
        row = Row(
            first=content, reason=reason, by=by, about=about, parts=[content], undone=set(), fresh={part}
        )
        row.opened, row.open, row.there, row.due = self.clock, True, False, None
        self.rows[user].append(row)
        group.append(row)
        self.update(row, self.clock)

    def changed(self, row):
        """Its recipient is let know: at once if that is none any more or long ago, else when it is."""
        row.open &= max(len({*map(part_of, row.parts)}) / 4, len(row.undone)) < self.limits["group_actors"]
        row.open &= len({part.actor for part in row.parts}) < self.limits["group_actors"]
        if not row.parts:
            row.there, row.due = False, None
            self.pending.discard(row)
        elif self.clock - row.out >= self.limits["update_every_ms"]:
            self.update(row, self.clock)
        elif row.due is None:
            row.due = (row.out + self.limits["update_every_ms"], next(self.number))
            self.pending.add(row)

    def update(self, row, at):
        """What is new moves the row to the front, unread; what is less is corrected quietly."""
        if row.fresh:
            row.place, row.flags, row.marked = next(self.number), set(), False
        elif not row.there:
            row.flags = {"seen", "read"}
        row.there, row.out, row.due, row.fresh = True, at, None, set()
        row.shown, row.actors = row.parts[-1], list(dict.fromkeys(part.actor for part in reversed(row.parts)))
        self.pending.discard(row)

    def leave(self, rows, leaves, closes=lambda row: False):
        """Parts that `leaves` names go out of their rows; a row that `closes` names goes whole, for good."""
        for row in rows:
            row.open &= not closes(row)
            left = [part for part in row.parts if closes(row) or leaves(part)]
            for part in {*map(part_of, left)}:
                (row.fresh.remove if part in row.fresh else row.undone.add)(part)
            row.parts = [part for part in row.parts if part not in left]
            if left:
                self.changed(row)

    def undo(self, kind, *what):
        rows = [row for rows in self.rows.values() for row in rows if row.first.kind == kind]
        self.leave(rows, lambda part: part_of(part) == tuple(what))

    def delete(self, entity):
        rows = [row for rows in self.rows.values() for row in rows]
        about = lambda row: row.about if row.by else row.first.target  # noqa: E731
        self.leave(rows, lambda part: part.object == entity, lambda row: about(row) == entity)

    def mark(self, user, change):
        """`seqs` and `up_to` are places as the inbox showed them."""
        for row in self.rows[user]:
            if row.place in change.seqs if change.up_to is None else row.place <= change.up_to:
                combine = set.difference if change.verb.startswith("un") else set.union
                row.flags = combine(row.flags, MARKS[change.verb])
                row.marked |= change.verb in ("read", "archive", "click")

    def inbox(self, user: str) -> list[dict]:
        """Newest first."""
        items = []
        for row in sorted((row for row in self.rows[user] if row.there), key=lambda row: -row.place):
            items.append(asdict(row.shown) | {"id": row.first.id, "reason": row.reason, "flags": row.flags})
            items[-1] |= {"actors": row.actors[:3], "count": len(row.actors)}
            items[-1] |= {"created": row.first.at_ms, "place": row.place}
        return items
