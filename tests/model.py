"""A brute-force model: who hears of what, by sets and loops, one recipient at a time, in the order of publishing.

It shares nothing with the folds but the records' classes. Bounds that only keep memory small are left out.
"""

from collections import Counter, defaultdict
from itertools import chain, count, product
from math import inf

from msgspec.structs import asdict

from fanbell.schemas.records import Activity, Change, Content

REASONS = ("post", "like", "repost", "follow", "thread", "comment", "reply", "mention", "message")
MARKS = {"seen": {"seen"}, "read": {"read", "seen"}, "click": {"clicked", "read", "seen"}}
MARKS |= {"archive": {"archived", "read", "seen"}, "unread": {"read"}, "unarchive": {"archived"}}


def ms(duration):
    return int(duration[:-1]) * {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[duration[-1]]


class Row:
    """One user's notification: the `parts` it is made of, those the inbox has `shown`, all it ever `told`."""

    def __init__(self, *about):
        self.user, self.first, self.reason, self.about, self.opened = about
        self.parts, self.shown, self.told, self.out, self.open = {}, [], set(), -inf, True


class Model:
    """`rules` is the tree of a rules file; `take` the history, then see `inbox`, `dead` and `fates`."""

    def __init__(self, rules):
        self.kinds, self.limits, self.clock, self.places = rules["kinds"], rules["limits"], 0, count(1)
        self.entities, self.members = {}, defaultdict(list)  # (owner, thread, deleted); who joined a thread
        self.users, self.wishes = defaultdict(set), defaultdict(dict)  # users by ("follow", "mute"…; what)
        self.used, self.waiting, self.agenda = {}, [], []  # waiting: (deadline, entity, activity, its time)
        self.rows, self.groups, self.pending = defaultdict(list), {}, {}  # pending: when to update a row
        self.dead, self.fates = [], Counter()  # fates: by (id, the rule that silenced it or "heard")

    def take(self, item, at):
        """The next of the history, appended at `at`; None is a tick, which only moves what waits for time."""
        if item or min([*self.pending.values(), *(each[0] for each in self.waiting)], default=inf) <= at:
            own = min(getattr(item, "occurred_at", None) or at, at + 300_000)
            self.clock = max(self.clock, own)
            self.dead += [(a.id, "unknown_entity") for due, _, a, _ in self.waiting if due <= self.clock]
            self.waiting = [each for each in self.waiting if each[0] > self.clock]
            self.wake()
            self.agenda = [self.activity(item, own)] if item else []
            while self.agenda:
                steps = self.agenda.pop(0)
                self.agenda += [steps] if next(steps, "over") is None else []

    def activity(self, a, own):
        """What comes of it, in steps: at its entity, then at its thread, then at the entity that it founds."""
        if isinstance(a, Change):
            return self.change(a, own)
        used = [b for _, _, b, _ in self.waiting if b.id == a.id]
        used += [b for b, at in self.used.get(a.id, ()) if self.clock - at < self.limits["dedupe_ms"]]
        kind, entity, deletes = self.kinds.get(a.kind, {}), a.target or a.object, a.kind == "delete"
        to = {each["to"] for each in kind.get("audience", ())}
        threads, founds = kind.get("joins_thread") or "thread" in to, kind.get("creates") and not a.target
        owner, thread, deleted = self.entities.get(entity, (a.owner, a.thread or entity, False))
        queue = [each for each in self.waiting if each[1] == entity]
        waits = queue or (owner is None and (deletes or threads or "owner" in to))
        graph = any(word in a.kind for word in ("follow", "mute", "block"))
        if used:
            self.dead += [(a.id, "id_reused")] if used != [a] else []
        elif waits and not (founds or graph):
            full = len(queue) >= self.limits["waiting_per_entity"]
            self.dead += [(a.id, "waiting_full")] if full else []
            self.waiting += [] if full else [(self.clock + self.limits["waiting_ms"], entity, a, own)]
        else:
            self.used[a.id] = [(a, self.clock)]
            if graph:
                self.change(Change(a.id, a.kind, a.actor, object=a.object), own)
            elif deleted or (deletes and a.actor != owner and not a.by_operator):
                self.fates[a.id, "deleted" if deleted else "not_owner"] += 1
            elif deletes:
                self.entities[entity] = owner, thread, True
                self.lose(lambda key: key[2] == entity, lambda row: row.about == entity)
                if thread != entity:  # what its thread tells of it only now is taken back as well
                    yield
                    self.lose(lambda key: key[2] == entity, lambda row: row.about == entity)
            elif "undoes" in kind:
                self.lose(lambda key: key == (kind["undoes"], a.actor, a.object))
            else:
                thread = a.thread or entity if founds else thread
                follows = [each[13:] for each in to if each.startswith("followers_of_")]
                users = {f"followers_of_{of}": self.users["follow", getattr(a, of)] for of in follows}
                users |= {"owner": [owner], "object": [a.object]}
                users |= {"recipients": a.recipients, "mentions": a.mentions}
                if threads and thread != entity:
                    if not follows:  # else only its thread knows who hears for which reason
                        self.tell(a, own, thread, users)
                        users = {}
                    yield
                latest = [*dict.fromkeys(reversed(self.members[thread]))][: self.limits["thread_members"]]
                users["thread"] = [user for user in latest if user not in (owner, *a.mentions)]
                self.tell(a, own, thread, users)
                self.members[thread] += [a.actor] if kind.get("joins_thread") else []
                if kind.get("creates"):
                    yield
                    self.entities.setdefault(a.object, (a.actor, thread, False))
                    queue = [each for each in self.waiting if each[1] == a.object]
                    self.waiting = [each for each in self.waiting if each not in queue]
                    self.agenda[:0] = [self.activity(b, then) for _, _, b, then in queue]

    def tell(self, a, own, thread, users):
        """Each hears once, for the strongest reason, unless a rule keeps it from them."""
        kind = self.kinds[a.kind]
        after = own + ms(kind["expires_after"]) if "expires_after" in kind else None
        ends = min(filter(None, (after, a.expires_at)), default=None)
        content = Content(a.id, a.kind, a.actor, a.object, a.target, thread, a.scope, a.data, None, own, ends)
        mutes = [f"author:{a.actor}", f"thread:{thread}", f"scope:{a.scope}"]
        mutes += [f"entity:{a.object}", f"entity:{a.target}"]
        audience = [*kind.get("audience", ()), {"to": "mentions", "reason": "mention"}]
        audience.sort(key=lambda each: REASONS.index(each["reason"]))  # the strongest last
        reasons = {user: each["reason"] for each in audience for user in users.get(each["to"], ())}
        wishes = [*product((a.scope, "*"), (a.kind, "*"), ("inbox", "*"))]  # the most specific first
        default = "on" if "inbox" in kind.get("channels", ["inbox"]) else "off"
        for user, reason in reasons.items():
            wish = next(filter(None, map(self.wishes[user].get, wishes)), default)
            rules = {
                "expired": ends is not None and ends <= self.clock,
                "oneself": user == a.actor,
                "block": user in self.users["block", a.actor] or a.actor in self.users["block", user],
                "mute": any(user in self.users["mute", what] for what in mutes),
                "preference": wish == "off" and not kind.get("mandatory"),
                "heard": True,
            }
            fate = next(rule for rule, holds in rules.items() if holds)
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
                self.tell(Activity(change.id, relation, user, what), own, None, {"object": [what]})
            elif relation == "block":
                self.users["follow", what].discard(user)
                self.users["follow", user].discard(what)
                self.lose(ends=lambda row: (row.user, {key[1] for key in row.parts}) == (user, {what}))

    def hear(self, user, content, kind, reason):
        by = None if reason == "mention" else kind.get("groups_by")
        about = {"object": content.object, "recipient": None}.get(by, content.target)
        window = ms(kind["window"]) if "window" in kind else self.limits["window_ms"]
        group = user, content.kind, reason, about
        row = self.groups.get(group) if by else None
        closed = row and (not row.open or (row.marked and row.parts.keys() <= row.told))
        if not row or closed or self.clock - row.opened >= window:
            row = self.groups[group] = Row(user, content, reason, about, self.clock)
            self.rows[user].append(row)
        self.put(row, row.parts | {(content.kind, content.actor, content.object): content})

    def put(self, row, parts):
        """Its user is let know: at once if it was shown long ago or is no more, else when it is."""
        if parts.keys() != row.parts.keys():
            sizes = len(parts) / 4, len(row.told - parts.keys()), len({actor for _, actor, _ in parts})
            row.parts, row.open = parts, row.open and max(sizes) < self.limits["group_actors"]
            self.pending[row] = max(self.clock, row.out + self.limits["update_every_ms"] * bool(parts))
            self.wake()

    def wake(self):
        """What is new moves the row to the front, unread; what is less is corrected quietly."""
        for row, due in sorted(self.pending.items(), key=lambda each: each[1]):
            if due <= self.clock:
                if row.parts.keys() - row.told:
                    row.place, row.flags, row.marked = next(self.places), set(), False
                elif not row.shown:
                    row.flags = {"seen", "read"}
                row.shown, row.told = [*row.parts.values()], row.told | row.parts.keys()
                row.out = due if row.parts else row.out
                del self.pending[row]

    def lose(self, goes=lambda key: False, ends=lambda row: False):
        """Parts that `goes` names leave their rows; a row that `ends` names goes whole, for good."""
        for row in chain(*self.rows.values()):
            row.open &= not ends(row)
            self.put(row, {key: part for key, part in row.parts.items() if not (goes(key) or ends(row))})

    def inbox(self, user):
        """Newest first."""
        items, rows = [], [row for row in self.rows[user] if row.shown]
        for row in sorted(rows, key=lambda row: -row.place):
            actors = [*dict.fromkeys(part.actor for part in reversed(row.shown))]
            shown = {"id": row.first.id, "created": row.first.at_ms, "reason": row.reason, "place": row.place}
            shown |= {"actors": actors[:3], "count": len(actors), "flags": row.flags}
            items.append(asdict(row.shown[-1]) | shown)
        return items
