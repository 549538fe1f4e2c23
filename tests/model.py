"""A brute-force model of Fanbell: what inboxes must hold, by sets and loops, one recipient at a time.

It takes valid activities, changes and ticks in the order of publishing and shares nothing with the folds but the records'
classes. No partitions, no bitmaps, no cohorts: every recipient has rows of their own, made of all that they tell of.
A row's `place` stands for its seq: only the order of one user's places means anything. Limits that keep memory bounded
(ids, entities, what can be taken back) are not modelled.
"""

from collections import Counter, defaultdict, deque
from itertools import count
from typing import Any

from fanbell.schemas.records import Activity, Change, Content

REASONS = ("message", "mention", "reply", "comment", "thread", "follow", "repost", "like", "post")
GRAPH = ("follow", "unfollow", "mute", "unmute", "block", "unblock")
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SETS = {"read": {"read", "seen"}, "seen": {"seen"}, "archive": {"archived", "read", "seen"}, "click": {"clicked", "read", "seen"}}
CLEARS = {"unread": {"read"}, "unarchive": {"archived"}}


def ms(duration: str) -> int:
    number = duration.rstrip("smhd")
    return int(number) * UNITS_MS[duration[len(number) :]]


class Row:
    """One recipient's notification: what it is made of (`parts`), and what the inbox shows of that (`shown`)."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


class Model:
    """`rules` is the tree of a rules file; `take` the history, then see `inbox`, `dead`, `heard` and `silenced`."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.kinds, self.limits = rules["kinds"], rules["limits"]
        self.clock, self.number = 0, count(1)
        self.entities: dict[str, tuple] = {}  # (owner, thread, deleted)
        self.members: dict[str, list[str]] = {}
        self.used: dict[str, tuple] = {}  # (activity, when)
        self.waiting: dict[str, list[tuple]] = {}  # (activity, its own time, deadline)
        self.followers: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.blocks, self.mutes, self.wishes = set(), set(), {}
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        self.groups: defaultdict[tuple, list[Row]] = defaultdict(list)
        self.pending: set[Row] = set()
        self.agenda: deque[tuple] = deque()
        self.dead: list[tuple[str, str]] = []  # (activity, reason)
        self.heard: Counter[str] = Counter()  # by activity
        self.silenced: Counter[tuple[str, str]] = Counter()  # by (activity, rule)

    def take(self, item: Activity | Change | None, at: int) -> None:
        """The next of the history, appended at `at`; None is a tick."""
        times = [row.due[0] for row in self.pending] + [item[2] for queue in self.waiting.values() for item in queue]
        if item is None and min(times, default=at + 1) > at:
            return  # nothing waits for time
        own = at if item is None or item.occurred_at is None else min(item.occurred_at, at + 300_000)
        self.clock = max(self.clock, own)
        for entity, queue in self.waiting.items():
            self.dead += [(a.id, "unknown_entity") for a, _, deadline in queue if deadline <= self.clock]
            self.waiting[entity] = [item for item in queue if item[2] > self.clock]
        for row in sorted((row for row in self.pending if row.due[0] <= self.clock), key=lambda row: row.due):
            self.update(row, row.due[0])
        if isinstance(item, Change):
            self.change(item, own)
        elif item is not None:
            self.activity(item, own)

    # Whom it concerns. What an entity's partition decides is decided at once; what comes of it happens after, in order.

    def activity(self, a: Activity, own: int) -> None:
        used = [b for queue in self.waiting.values() for b, _, _ in queue if b.id == a.id]
        if a.id in self.used and self.clock - self.used[a.id][1] < self.limits["dedupe_ms"]:
            used = [self.used[a.id][0]]
        if used:
            self.dead += [(a.id, "id_reused")] if used != [a] else []
        elif a.kind in GRAPH:
            self.used[a.id] = (a, self.clock)
            aspect, _, what = a.object.partition(":") if "mute" in a.kind else (None, "", a.object)
            self.change(Change(a.id, a.kind, a.actor, object=what, aspect=aspect), own)
        else:
            self.run(self.route(a, own))
            while self.agenda:
                happens, *arguments = self.agenda.popleft()
                happens(*arguments)

    def run(self, decisions) -> None:
        self.agenda += decisions

    def route(self, a: Activity, own: int):
        entity, kind = a.target or a.object, self.kinds.get(a.kind, {})
        queue = self.waiting.get(entity, [])
        founds = kind.get("creates") and a.target is None
        if (not queue or founds) and (yield from self.decide(a, own, entity, kind, founds)):
            self.used[a.id] = (a, self.clock)
            if founds:
                yield from self.release(entity)
        elif len(queue) >= self.limits["waiting_per_entity"]:
            self.dead.append((a.id, "waiting_full"))
        else:
            self.waiting[entity] = [*queue, (a, own, self.clock + self.limits["waiting_ms"])]

    def release(self, entity: str):
        for a, own, _ in self.waiting.pop(entity, ()):
            yield from self.route(a, own)

    def learn(self, entity: str, owner: str, thread: str):
        self.entities.setdefault(entity, (owner, thread, False))
        yield from self.release(entity)

    def decide(self, a: Activity, own: int, entity: str, kind: dict, founds: bool):
        """Whether it was decided what to do; else it waits."""
        owner, thread, deleted = self.entities.get(entity, (a.owner, a.thread or entity, False))
        to = {audience["to"] for audience in kind.get("audience", ())} | ({"owner", "thread"} if kind.get("joins_thread") else set())
        if deleted or (a.kind == "delete" and entity in self.entities and a.actor != owner and not a.by_operator):
            self.silenced[a.id, "deleted" if deleted else "not_owner"] += 1
        elif a.kind == "delete" and entity in self.entities:
            self.entities[entity] = (owner, thread, True)
            yield self.delete, entity
            if thread != entity:
                yield self.run, [(self.delete, entity)]
        elif "undoes" in kind:
            yield self.undo, kind["undoes"], a.actor, a.object
        elif founds:
            self.entities.setdefault(entity, (a.actor, thread, False))
            yield from self.concern(a, own, kind, a.actor, a.thread or entity)
        elif a.kind == "delete" or (owner is None and to & {"owner", "thread"}):
            return False
        elif thread == entity or "thread" not in to:
            yield from self.concern(a, own, kind, owner, thread)
        else:  # where the root of the thread is, it is known who is in it; where followers hear as well, all wait for that
            whole = any(name.startswith("followers") for name in to)
            if not whole:
                yield from self.concern(a, own, {"audience": kind["audience"]}, owner, thread, far=False)
            yield self.run, self.concern(a, own, kind, owner, thread, far=None if whole else True)
        return True

    def concern(self, a: Activity, own: int, kind: dict, owner: str | None, thread: str, far: bool | None = None):
        members = self.members.setdefault(thread, [])
        users = {f"followers_of_{of}": [*self.followers[getattr(a, of)]] for of in ("actor", "scope", "object", "target")}
        told = {owner, *a.mentions, *a.recipients} if far else set()
        users |= {"owner": [owner] if owner else [], "thread": [member for member in members if member not in told]}
        users |= {"recipients": a.recipients, "object": [a.object]}
        here = [audience for audience in kind.get("audience", ()) if far in (None, audience["to"] == "thread")]
        audiences = [(audience["reason"], users[audience["to"]]) for audience in here] + [("mention", () if far else a.mentions)]
        expires = [t for t in (a.expires_at, "expires_after" in kind and own + ms(kind["expires_after"])) if t]
        rest = (a.target, thread, a.scope, a.data, None, own, min(expires, default=None))
        yield self.tell, Content(a.id, a.kind, a.actor, a.object, *rest), audiences
        if kind.get("joins_thread"):
            self.members[thread] = [*(m for m in members if m != a.actor), a.actor][-self.limits["thread_members"] :]
        if kind.get("creates") and a.target is not None:
            yield self.run, self.learn(a.object, a.actor, thread)

    # Who hears

    def tell(self, content: Content, audiences: list) -> None:
        """Each once, for the strongest reason, unless a rule keeps it from them."""
        concerned: dict[str, str] = {}
        for reason, users in sorted(audiences, key=lambda audience: REASONS.index(audience[0])):
            concerned = dict.fromkeys(users, reason) | concerned
        for user, reason in concerned.items():
            if rule := self.silencing(user, content, self.kinds[content.kind]):
                self.silenced[content.id, rule] += 1
            else:
                self.heard[content.id] += 1
                self.hear(user, content, self.kinds[content.kind], reason)

    def silencing(self, user: str, content: Content, kind: dict) -> str | None:
        about = {("author", content.actor), ("entity", content.object), ("entity", content.target)}
        about |= {("thread", content.thread), ("scope", content.scope)}
        wishes = [w for w in self.wishes.get(user, ()) if w.scope in ("*", content.scope) and w.kind in ("*", content.kind)]
        wishes = [(w.scope != "*", w.kind != "*", w.channel != "*", w.value) for w in wishes if w.channel in ("*", "inbox")]
        wanted = max(wishes)[3] != "off" if wishes else "inbox" in kind.get("channels", ["inbox"])
        rules = {
            "expired": content.expires_at is not None and content.expires_at <= self.clock,
            "oneself": user == content.actor,
            "block": {(user, content.actor), (content.actor, user)} & self.blocks,
            "mute": {(user, *each) for each in about} & self.mutes,
            "preference": not wanted and not kind.get("mandatory"),
        }
        return next((rule for rule, silences in rules.items() if silences), None)

    def hear(self, user: str, content: Content, kind: dict, reason: str) -> None:
        by = None if reason == "mention" else kind.get("groups_by")
        value = {None: None, "object": content.object, "target": content.target, "recipient": None}[by]
        window = ms(kind["window"]) if "window" in kind else self.limits["window_ms"]
        group = self.groups[user, content.kind, reason, by, value] if by else []
        part = (content.actor, content.object)
        if group and group[-1].open and self.clock - group[-1].opened < window and (group[-1].fresh or not group[-1].marked):
            row = group[-1]
            if part not in [(p.actor, p.object) for p in row.parts]:
                row.parts.append(content)
                (row.undone.remove if part in row.undone else row.fresh.add)(part)
                self.changed(row)
            return
        row = Row(user=user, first=content, reason=reason, by=by, parts=[content], undone=set(), fresh={part}, opened=self.clock)
        row.due, row.there, row.open = None, False, True
        self.rows[user].append(row)
        group.append(row)
        self.update(row, self.clock)

    def changed(self, row: Row) -> None:
        most, pace = self.limits["group_actors"], self.limits["update_every_ms"]
        row.open &= max(len({p.actor for p in row.parts}), len(row.undone), len(row.parts) / 4) < most
        if not row.parts:
            self.retract(row)
        elif self.clock - row.out >= pace:
            self.update(row, self.clock)
        elif row.due is None:
            row.due = (row.out + pace, next(self.number))
            self.pending.add(row)

    def update(self, row: Row, at: int) -> None:
        """At most so often; what is new moves the row to the front, unread; what is less does so quietly."""
        if row.fresh:
            row.place, row.flags, row.marked = next(self.number), set(), False
        elif not row.there:
            row.flags = {"seen", "read"}
        actors = list(dict.fromkeys(part.actor for part in reversed(row.parts)))
        row.there, row.out, row.due, row.shown = True, at, None, (len(actors), actors[:3], row.parts[-1])
        row.fresh.clear()
        self.pending.discard(row)

    # Taking back

    def retract(self, row: Row, for_good: bool = False) -> None:
        row.there, row.due, row.parts = False, None, []
        row.open &= not for_good
        self.pending.discard(row)

    def leave(self, row: Row, left: list[Content]) -> None:
        for part in {(p.actor, p.object) for p in left}:
            (row.fresh.remove if part in row.fresh else row.undone.add)(part)
        row.parts = [part for part in row.parts if part not in left]
        if left:
            self.changed(row)

    def undo(self, kind: str, actor: str, object_: str) -> None:
        for row in [row for rows in self.rows.values() for row in rows if row.first.kind == kind]:
            self.leave(row, [part for part in row.parts if (part.actor, part.object) == (actor, object_)])

    def delete(self, entity: str) -> None:
        for row in [row for rows in self.rows.values() for row in rows]:
            if entity == {None: row.first.target, "recipient": None}.get(row.by, getattr(row.first, row.by or "", None)):
                self.retract(row, for_good=True)
            else:
                self.leave(row, [part for part in row.parts if part.object == entity])

    def change(self, change: Change, own: int) -> None:
        user, what = change.user, change.object or ""
        if change.kind == "follow" and not {(user, what), (what, user)} & self.blocks and user not in self.followers[what]:
            self.followers[what][user] = None
            content = Content(change.id, "follow", user, what, None, None, None, None, None, own, None)
            self.tell(content, [(self.kinds["follow"]["audience"][0]["reason"], [what])])
        elif change.kind == "unfollow" and user in self.followers[what]:
            del self.followers[what][user]
            self.undo("follow", user, what)
        elif change.kind == "block" and (user, what) not in self.blocks:
            self.blocks.add((user, what))
            self.followers[what].pop(user, None)
            self.followers[user].pop(what, None)
            for row in [row for row in self.rows[user] if {part.actor for part in row.parts} == {what}]:
                self.retract(row, for_good=True)
        elif change.kind == "unblock":
            self.blocks.discard((user, what))
        elif change.kind in ("mute", "unmute"):
            (self.mutes.add if change.kind == "mute" else self.mutes.discard)((user, change.aspect, what))
        elif change.kind == "preferences":
            self.wishes[user] = change.preferences or []
        for row in self.rows[user] if change.kind == "mark" else ():
            if row.place in change.seqs if change.up_to is None else row.place <= change.up_to:
                row.flags = (row.flags | SETS.get(change.verb, set())) - CLEARS.get(change.verb, set())
                row.marked |= change.verb in ("read", "archive", "click")

    def inbox(self, user: str) -> list[dict[str, Any]]:
        """Newest first."""
        items = []
        for row in sorted((row for row in self.rows[user] if row.there), key=lambda row: -row.place):
            actors_count, actors, content = row.shown
            what = {name: getattr(content, name) for name in ("kind", "object", "target", "scope", "data", "expires_at")}
            flags = {name: name in row.flags for name in ("seen", "read", "archived", "clicked")}
            times = {"created": row.first.at_ms, "updated": content.at_ms, "place": row.place}
            items.append({"id": row.first.id, "reason": row.reason, "actors": actors, "count": actors_count, **what, **flags, **times})
        return items
