"""A brute-force model: who hears of what, by sets and loops, one recipient at a time, in the order of publishing.

It shares nothing with the folds but the records' classes. Bounds that only keep memory small are left out.
"""

from collections import Counter, defaultdict
from functools import partial
from itertools import chain, count, product
from math import inf

from fanbell.schemas.records import Activity, Change, Content

GRAPH = ("follow", "unfollow", "mute", "unmute", "block", "unblock")
MARKS = {"seen": {"seen"}, "read": {"read", "seen"}, "click": {"clicked", "read", "seen"}}
MARKS |= {"archive": {"archived", "read", "seen"}, "unread": {"read"}, "unarchive": {"archived"}}


class Row:
    """One user's notification: the `parts` it is made of, those the inbox has `shown`, all it ever `told`."""

    def __init__(self, *about):
        self.user, self.first, self.reason, self.about, self.opened = about
        self.parts, self.shown, self.told, self.out, self.open = {}, [], set(), -inf, True


class Model:
    """`rules` as `expected.py` reads them; `take` the history, then see `rows`, `dead` and `fates`.

    `used` has (activity, until when) by id, `waiting` has (activity, until when, its time) by entity, and `due` when
    to update a row. `fates` counts by (id, the rule that silenced it or "heard").
    """

    def __init__(self, rules):
        self.kinds, self.limits, self.clock, self.places = rules["kinds"], rules["limits"], 0, count(1)
        self.entities, self.members = {}, defaultdict(list)  # (owner, thread, deleted); who joined a thread
        self.users, self.wishes = defaultdict(set), defaultdict(dict)  # users by ("follow", "mute"…; what)
        self.rows, self.groups, self.due = defaultdict(list), {}, {}
        self.used, self.waiting, self.dead, self.fates = {}, {}, [], Counter()

    def take(self, item, at):
        """The next of the history, appended at `at`; None is a tick, which only moves what waits for time."""
        ends = [*self.due.values(), *(until for _, until, _ in chain(*self.waiting.values()))]
        if item or min(ends, default=inf) <= at:
            own = min(getattr(item, "occurred_at", None) or at, at + 300_000)
            self.clock = max(self.clock, own)
            for queue in self.waiting.values():
                while queue and queue[0][1] <= self.clock:
                    self.dead.append((queue.pop(0)[0].id, "unknown_entity"))
            self.wake()
            step = self.change if isinstance(item, Change) else self.activity
            self.agenda = [partial(step, item, own)] if item else []
            while self.agenda:
                self.agenda.pop(0)()

    def activity(self, a, own):
        """An id counts once, for a while."""
        first, until = self.used.get(a.id, (a, 0))
        if self.clock >= until:
            self.act(a, own)
        elif first != a:
            self.dead.append((a.id, "id_reused"))

    def act(self, a, own):
        """What comes of it where its entity is known; the rest goes on the agenda."""
        kind, entity, deletes = self.kinds.get(a.kind, {}), a.target or a.object, a.kind == "delete"
        to, founds = kind.get("audience", {}), kind.get("creates") and not a.target
        threads = kind.get("joins_thread") or "thread" in to
        owner, thread, deleted = self.entities.get(entity, (a.owner, a.thread or entity, False))
        thread = a.thread or entity if founds else thread
        queue = [] if founds or a.kind in GRAPH else self.waiting.get(entity, [])
        waits = queue or (owner is None and not founds and (deletes or threads or "owner" in to))
        if waits and len(queue) >= self.limits["waiting_per_entity"]:
            self.dead.append((a.id, "waiting_full"))
            return
        self.used[a.id] = a, self.clock + self.limits["waiting_ms" if waits else "dedupe_ms"]
        if waits:
            self.waiting[entity] = [*queue, (*self.used[a.id], own)]
        elif a.kind in GRAPH:
            self.change(Change(a.id, a.kind, a.actor, object=a.object), own)
        elif deleted or (deletes and a.actor != owner and not a.by_operator):
            self.fates[a.id, "deleted" if deleted else "not_owner"] += 1
        elif deletes:
            self.entities[entity] = owner, thread, True
            retract = partial(self.lose, lambda key: key[2] == entity, lambda row: row.about == entity)
            self.agenda = [retract, *self.agenda, *[retract] * (thread != entity)]  # its thread may be behind
        elif "undoes" in kind:
            self.lose(lambda key: key == (kind["undoes"], a.actor, a.object))
        else:
            follows = any("followers" in each for each in to)
            now = set() if follows else to.keys() - {"thread"}  # all at once, so that followers hear once
            self.tell(a, own, thread, owner, now)
            place = len(self.agenda) if threads and thread != entity else 0
            self.agenda.insert(place, partial(self.join, a, own, thread, owner, to.keys() - now))

    def join(self, a, own, thread, owner, to):
        """What comes of it where its thread is known."""
        self.tell(a, own, thread, owner, to)
        self.members[thread] += [a.actor] if self.kinds[a.kind].get("joins_thread") else []
        self.agenda += [partial(self.found, a, thread)] if self.kinds[a.kind].get("creates") else []

    def found(self, a, thread):
        """What it made is known from here on; what waited for that comes first."""
        self.entities.setdefault(a.object, (a.actor, thread, False))
        self.agenda[:0] = [partial(self.act, b, then) for b, _, then in self.waiting.pop(a.object, ())]

    def tell(self, a, own, thread, owner, to):
        """Each of those whom `to` names hears once, for the strongest reason, unless a rule keeps it from them."""
        kind = self.kinds[a.kind]
        ends = min(own + kind["expires_after"], a.expires_at or inf)
        content = Content(a.id, a.kind, a.actor, a.object, a.target, thread, a.scope, a.data, None, own, ends)
        users = {"owner": [owner], "object": [a.object], "recipients": a.recipients, "mentions": a.mentions}
        users |= {each: self.users["follow", getattr(a, each[13:])] for each in to if "followers" in each}
        latest = [*dict.fromkeys(reversed(self.members[thread]))][: self.limits["thread_members"]]
        users["thread"] = {*latest} - {owner, *a.mentions}
        reasons = {user: why for each, why in kind["audience"].items() if each in to for user in users[each]}
        mutes = [f"author:{a.actor}", f"thread:{thread}", f"scope:{a.scope}"]
        mutes += [f"entity:{a.object}", f"entity:{a.target}"]
        wishes = [*product((a.scope, "*"), (a.kind, "*"), ("inbox", "*"))]  # the most specific first
        for user, reason in reasons.items():
            wish = next(filter(None, map(self.wishes[user].get, wishes)), kind["unless"])
            rules = {
                "expired": ends <= self.clock,
                "oneself": user == a.actor,
                "block": user in self.users["block", a.actor] or a.actor in self.users["block", user],
                "mute": any(user in self.users["mute", what] for what in mutes),
                "preference": wish == "off" and not kind.get("mandatory"),
            }
            fate = next((rule for rule, holds in rules.items() if holds), "heard")
            self.fates[a.id, fate] += 1
            if fate == "heard":
                self.hear(user, content, kind, reason)

    def change(self, change, own):
        user, what, relation = change.user, change.object, change.kind.removeprefix("un")
        users = self.users[relation, f"{change.aspect}:{what}" if change.aspect else what]
        blocked = {user, what} & (self.users["block", user] | self.users["block", what])
        if relation == "preferences":
            self.wishes[user] = {(w.scope, w.kind, w.channel): w.value for w in change.preferences}
        elif relation == "mark":  # `seqs` and `up_to` are places as the inbox showed them
            for row in self.rows[user]:
                if row.place in change.seqs if change.up_to is None else row.place <= change.up_to:
                    flags = MARKS[change.verb]
                    row.flags = row.flags - flags if change.verb.startswith("un") else row.flags | flags
                    row.marked |= {"read"} < flags
        elif relation != change.kind and user in users:
            users.remove(user)
            self.lose(lambda key: key == (relation, user, what))
        elif relation == change.kind and user not in users and not (relation == "follow" and blocked):
            users.add(user)
            if relation == "follow":
                self.tell(Activity(change.id, relation, user, what), own, None, None, {"object"})
            elif relation == "block":
                self.users["follow", what].discard(user)
                self.users["follow", user].discard(what)
                self.lose(ends=lambda row: (row.user, {key[1] for key in row.parts}) == (user, {what}))

    def hear(self, user, content, kind, reason):
        by = None if reason == "mention" else kind.get("groups_by")
        about = {"object": content.object, "recipient": None}.get(by, content.target)
        group = user, content.kind, reason, about
        row = self.groups.get(group) if by else None
        closed = row and (not row.open or (row.marked and row.parts.keys() <= row.told))
        if not row or closed or self.clock - row.opened >= kind["window"]:
            row = self.groups[group] = Row(user, content, reason, about, self.clock)
            self.rows[user].append(row)
        self.put(row, row.parts | {(content.kind, content.actor, content.object): content})

    def put(self, row, parts):
        """Its user is let know: at once if it was shown long ago or is no more, else when it is."""
        if parts.keys() != row.parts.keys():
            sizes = len(parts) / 4, len(row.told - parts.keys()), len({actor for _, actor, _ in parts})
            row.parts, row.open = parts, row.open and max(sizes) < self.limits["group_actors"]
            self.due[row] = max(self.clock, row.out + self.limits["update_every_ms"]) if parts else self.clock
            self.wake()

    def wake(self):
        """What is new moves the row to the front, unread; what is less is corrected quietly."""
        for row in sorted((row for row, due in self.due.items() if due <= self.clock), key=self.due.get):
            due, row.flags = self.due.pop(row), row.flags if row.shown else {"seen", "read"}
            row.out = due if row.parts else row.out
            if row.parts.keys() - row.told:
                row.place, row.flags, row.marked = next(self.places), set(), False
            row.shown, row.told = [*row.parts.values()], row.told | row.parts.keys()

    def lose(self, goes=lambda key: False, ends=lambda row: False):
        """Parts that `goes` names leave their rows; a row that `ends` names goes whole, for good."""
        for row in chain(*self.rows.values()):
            row.open &= not ends(row)
            self.put(row, {key: part for key, part in row.parts.items() if not (goes(key) or ends(row))})
