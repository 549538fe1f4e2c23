"""A brute-force model of Fanbell: who hears of what, by sets and loops, one recipient at a time.

It takes valid activities, changes and ticks in the order of publishing, and shares nothing with the folds but the
records' classes. What each inbox makes of what is heard stands in `model_inboxes.py`. Bounds that only keep
memory small (used ids, known entities, what can still be taken back) are not modelled.
"""

from collections import Counter, defaultdict, deque

from fanbell.schemas.records import Activity, Change, Content
from tests.model_inboxes import Inboxes, ms

REASONS = ("message", "mention", "reply", "comment", "thread", "follow", "repost", "like", "post")
GRAPH = ("follow", "unfollow", "mute", "unmute", "block", "unblock")


def content_of(a, thread, own, expires_at):
    return Content(a.id, a.kind, a.actor, a.object, a.target, thread, a.scope, a.data, None, own, expires_at)


class Model(Inboxes):
    """`rules` is the tree of a rules file; `take` the history, then see `inbox`, `dead`, `heard` and `silenced`."""

    def __init__(self, rules: dict):
        super().__init__(rules["limits"])
        self.kinds, self.agenda, self.silenced = rules["kinds"], deque(), Counter()  # by (id, rule)
        # (owner, thread, deleted) by entity; users by thread; preferences by user; (activity, when) by id;
        # (activity, its own time, deadline) by entity
        self.entities, self.members, self.wishes, self.used, self.waiting = {}, {}, {}, {}, {}
        self.followers, self.blocks, self.mutes, self.dead = defaultdict(dict), set(), set(), []

    def take(self, item: Activity | Change | None, at: int) -> None:
        """The next of the history, appended at `at`; None is a tick, which only moves what waits for time."""
        times = [row.due[0] for row in self.pending]
        times += [each[2] for queue in self.waiting.values() for each in queue]
        if item is None and min(times, default=at + 1) > at:
            return
        own = at if item is None or item.occurred_at is None else min(item.occurred_at, at + 300_000)
        self.clock = max(self.clock, own)
        for entity, queue in self.waiting.items():
            self.dead += [(a.id, "unknown_entity") for a, _, deadline in queue if deadline <= self.clock]
            self.waiting[entity] = [each for each in queue if each[2] > self.clock]
        self.wake()
        if item is not None:
            (self.change if isinstance(item, Change) else self.activity)(item, own)

    # Whom it concerns. What is decided about an entity is decided at once; what comes of it happens after, in order.

    def activity(self, a, own):
        used = [b for queue in self.waiting.values() for b, _, _ in queue if b.id == a.id]
        used += [b for b, at in self.used.get(a.id, ()) if self.clock - at < self.limits["dedupe_ms"]]
        if used:
            self.dead += [(a.id, "id_reused")] if used != [a] else []
        elif a.kind in GRAPH:
            self.used[a.id] = [(a, self.clock)]
            aspect, _, what = a.object.partition(":") if "mute" in a.kind else (None, "", a.object)
            self.change(Change(a.id, a.kind, a.actor, object=what, aspect=aspect), own)
        else:
            self.agenda.extend(self.route(a, own))
        while self.agenda:
            happens, *arguments = self.agenda.popleft()
            happens(*arguments)

    def route(self, a, own):
        entity, kind = a.target or a.object, self.kinds.get(a.kind, {})
        queue, founds = self.waiting.setdefault(entity, []), kind.get("creates") and a.target is None
        if (not queue or founds) and (yield from self.decide(a, own, entity, kind, founds)):
            self.used[a.id] = [(a, self.clock)]
            yield from self.learn(entity, a.actor, a.thread or entity) if founds else ()
        elif len(queue) >= self.limits["waiting_per_entity"]:
            self.dead.append((a.id, "waiting_full"))
        else:
            queue.append((a, own, self.clock + self.limits["waiting_ms"]))

    def learn(self, entity, owner, thread):
        self.entities.setdefault(entity, (owner, thread, False))
        for a, own, _ in self.waiting.pop(entity, ()):
            yield from self.route(a, own)

    def decide(self, a, own, entity, kind, founds):
        """Whether it was decided what to do; else it waits."""
        owner, thread, deleted = self.entities.get(entity, (a.owner, a.thread or entity, False))
        to = [each["to"] for each in kind.get("audience", ())]
        needs = {"owner", "thread"} & {*to, "owner" if kind.get("joins_thread") else ""}
        deletes = a.kind == "delete" and entity in self.entities
        if deleted or (deletes and a.actor != owner and not a.by_operator):
            self.silenced[a.id, "deleted" if deleted else "not_owner"] += 1
        elif deletes:
            self.entities[entity] = (owner, thread, True)
            yield self.delete, entity
            yield self.agenda.extend, [(self.delete, entity)]  # and where its thread hears
        elif "undoes" in kind:
            yield self.undo, kind["undoes"], a.actor, a.object
        elif founds:
            yield from self.concern(a, own, kind, a.actor, a.thread or entity)
        elif a.kind == "delete" or (owner is None and needs):
            return False
        elif thread == entity or not (kind.get("joins_thread") or "thread" in to):
            yield from self.concern(a, own, kind, owner, thread)
        elif any(each.startswith("followers") for each in to):  # who hears why is known where the thread is
            yield self.agenda.extend, self.concern(a, own, kind, owner, thread)
        else:
            yield from self.concern(a, own, {"audience": kind["audience"]}, owner, thread, only="here")
            yield self.agenda.extend, self.concern(a, own, kind, owner, thread, only="thread")
        return True

    def concern(self, a, own, kind, owner, thread, only=None):
        """Tell whom the activity concerns: all, all but its thread (`here`), or only its `thread`."""
        told = {owner, *a.mentions, *a.recipients} if only == "thread" else ()
        members = self.members.setdefault(thread, [])
        followed = {f"followers_of_{of}": getattr(a, of) for of in ("actor", "scope", "object", "target")}
        users = {to: [*self.followers[what]] for to, what in followed.items()}
        users |= {"owner": [owner] if owner else [], "thread": [m for m in members if m not in told]}
        users |= {"recipients": a.recipients, "object": [a.object], "mentions": a.mentions}
        audience = [("mention", "mentions")]
        audience += [(each["reason"], each["to"]) for each in kind.get("audience", ())]
        part = {None: users, "thread": ["thread"], "here": users.keys() - {"thread"}}[only]
        audience = [(reason, users[to]) for reason, to in audience if to in part]
        after = "expires_after" in kind and own + ms(kind["expires_after"])
        expires_at = min([time for time in (a.expires_at, after) if time], default=None)
        yield self.tell, content_of(a, thread, own, expires_at), audience
        if kind.get("joins_thread"):
            members = [*(member for member in members if member != a.actor), a.actor]
            self.members[thread] = members[-self.limits["thread_members"] :]
        if kind.get("creates") and a.target is not None:
            yield self.agenda.extend, self.learn(a.object, a.actor, thread)

    # Who hears

    def tell(self, content, audience):
        """Each once, for the strongest reason, unless a rule keeps it from them."""
        concerned, kind = {}, self.kinds[content.kind]
        for reason, users in sorted(audience, key=lambda pair: REASONS.index(pair[0])):
            concerned = dict.fromkeys(users, reason) | concerned
        for user, reason in concerned.items():
            if rule := self.silencing(user, content, kind):
                self.silenced[content.id, rule] += 1
            else:
                self.hear(user, content, kind, reason)

    def silencing(self, user, c, kind):
        about = {("author", c.actor), ("entity", c.object), ("entity", c.target)}
        about |= {("thread", c.thread), ("scope", c.scope)}
        wishes = [(w.scope, w.kind, w.channel, w.value) for w in self.wishes.get(user, ())]
        about_it = {
            (scope, of, to) for scope in ("*", c.scope) for of in ("*", c.kind) for to in ("*", "inbox")
        }
        fits = [wish for wish in wishes if wish[:3] in about_it]
        fits.sort(key=lambda wish: [of != "*" for of in wish[:3]])  # the most specific last
        wanted = fits[-1][3] != "off" if fits else "inbox" in kind.get("channels", ["inbox"])
        rules = {
            "expired": c.expires_at is not None and c.expires_at <= self.clock,
            "oneself": user == c.actor,
            "block": {(user, c.actor), (c.actor, user)} & self.blocks,
            "mute": {(user, *each) for each in about} & self.mutes,
            "preference": not wanted and not kind.get("mandatory"),
        }
        return next((rule for rule, silences in rules.items() if silences), None)

    def change(self, change, own):
        user, what, kind = change.user, change.object, change.kind
        apart = {(user, what), (what, user)}
        if kind == "follow" and not apart & self.blocks and user not in self.followers[what]:
            self.followers[what][user] = None
            content = content_of(Activity(change.id, kind, user, what), None, own, None)
            self.tell(content, [("follow", [what])])
        elif kind == "unfollow" and user in self.followers[what]:
            del self.followers[what][user]
            self.undo("follow", user, what)
        elif kind == "block" and (user, what) not in self.blocks:
            self.blocks.add((user, what))
            for one, other in apart:
                self.followers[one].pop(other, None)
            self.leave(
                self.rows[user], lambda part: False, lambda row: {p.actor for p in row.parts} == {what}
            )
        elif kind == "unblock":
            self.blocks.discard((user, what))
        elif kind in ("mute", "unmute"):
            (self.mutes.add if kind == "mute" else self.mutes.discard)((user, change.aspect, what))
        elif kind == "preferences":
            self.wishes[user] = change.preferences or []
        elif kind == "mark":
            self.mark(user, change)
