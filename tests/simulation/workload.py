"""What people of a small town do, by chance: several producers at once, each waiting for its acknowledgements.

What must keep its order (the graph between two people, what one does to one entity, the marks of one reader) comes from
one producer; everything else runs side by side.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from fanbell.projections.store import READ
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Preference, Rules
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.kinds import FOLD_VERSION
from tests.simulation.history import Op
from tests.simulation.rules import FIRST, changed, source
from tests.simulation.scheduler import at_once

USERS: Final = tuple(f"user{i}" for i in range(8))
SCOPES: Final = ("town", "club")
PRODUCERS: Final = ("graph", "graph", "activity", "activity", "activity", "reader", "reader", "ruler")

RULES_GO_TO = (ROUTED, ACTIVITIES)

Records = list[tuple[str, int, bytes]]


class Workload:
    """Makes operations. `entities` grows as they are made, before they are posted: others may act on them early."""

    def __init__(self, random: Random, partitions: int, store: MemoryStore, clock: Callable[[], int]) -> None:
        self.random, self.partitions, self.store, self.clock = random, partitions, store, clock
        self.entities: list[str] = []
        self.on_their_way: set[frozenset[str]] = set()
        """Pairs with a change that went the long way; until it is there nothing else happens between the two."""
        self.owed: list[Op] = []
        """Posts and comments of entities that were named already."""
        self.owner: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.regretted: list[str] = []
        """Comments that their author will delete at once."""
        self.liked: dict[tuple[str, str], bool] = {}
        self._ids = 0
        self._version = FIRST.version

    def next(self, role: str, number: int) -> Op | None:
        """The next thing that producer `number` among those of its role does; None if there is nothing to do."""
        make: Callable[[int], Op | None] = getattr(self, f"_{role}")
        return make(number)

    def _op(self, kind: str, user: str, object_: str = "", **more: object) -> Op:
        self._ids += 1
        return Op(f"{kind}{self._ids}", kind, user, object_, **more)  # type: ignore[arg-type]

    # The graph and wishes

    def _graph(self, number: int) -> Op | None:
        random = self.random
        sort = random.random()
        if sort < 0.75:
            pairs = [
                (i, j)
                for i in range(len(USERS))
                for j in range(len(USERS))
                if i != j and (i + j) % 2 == number
            ]
            i, j = random.choice(pairs)
            pair = frozenset((USERS[i], USERS[j]))
            if pair in self.on_their_way:
                return None
            long_way = random.random() < 0.15
            if long_way:
                self.on_their_way.add(pair)
            kind = random.choices(("follow", "unfollow", "block", "unblock"), (10, 4, 1, 1))[0]
            return self._op(kind, USERS[i], USERS[j], long_way=long_way)
        user = USERS[random.randrange(len(USERS) // 2) * 2 + number]
        if sort < 0.9:
            aspect = random.choice(("author", "entity", "thread"))
            pool = [other for other in USERS if other != user] if aspect == "author" else self.entities[-6:]
            if not pool:
                return None
            kind = random.choice(("mute", "mute", "unmute"))
            return self._op(kind, user, random.choice(pool), aspect=aspect)
        off = tuple(kind for kind in ("post", "comment", "like", "follow") if random.random() < 0.2)
        return self._op("preferences", user, off=off)

    # What they do to entities

    def _activity(self, number: int) -> Op | None:
        random = self.random
        if self.owed and random.random() < 0.3:
            return self.owed.pop(random.randrange(len(self.owed)))
        if self.regretted and random.random() < 0.3:
            return self._delete(self.regretted.pop(0), sure=True)
        sort = random.random()
        user = random.choice(USERS)
        if sort < 0.15 or not self.entities:
            return self._made(self._new("post", user, None))
        entity = random.choice(self.entities[-8:])
        if sort < 0.40:
            return self._made(self._new("comment", user, entity))
        if sort < 0.48:
            mentions = tuple(random.sample(USERS, 2))
            return self._op("mention", user, entity, mentions=mentions, expires_at=self._expires_at())
        if sort < 0.54:
            return self._delete(entity)
        i = self.entities.index(entity)
        candidates = [one for one in range(len(USERS)) if (one + i) % 3 == number]
        user = USERS[random.choice(candidates)]
        on = self.liked.get((user, entity), False)
        if on and random.random() < 0.5:
            return None
        self.liked[user, entity] = not on
        if on:
            return self._op("unlike", user, entity)
        return self._op("like", user, entity, expires_at=self._expires_at())

    def _expires_at(self) -> int | None:
        """When a new activity expires: mostly never; else before it is said, while it is on its way, or long after."""
        random = self.random
        if random.random() < 0.75:
            return None
        first, last = random.choice(((-2_000, 0), (0, 3_000), (90_000, 400_000), (10_000_000, 20_000_000)))
        return self.clock() + random.randint(first, last)

    def _new(self, kind: str, user: str, target: str | None) -> Op:
        entity = f"{kind[0]}{len(self.entities)}"
        mentions = tuple(self.random.sample(USERS, 1)) if self.random.random() < 0.2 else ()
        self.entities.append(entity)
        self.owner[entity] = user
        if kind == "comment" and self.random.random() < 0.35:
            self.regretted.append(self.random.choice((entity, target or entity)))
        more = {"target": target, "mentions": mentions, "expires_at": self._expires_at()}
        return self._op(kind, user, entity, **more)

    def _made(self, op: Op) -> Op | None:
        """Sometimes the others hear of the entity before it is there."""
        if self.random.random() < 0.7:
            return op
        self.owed.append(op)
        return None

    def _delete(self, entity: str, sure: bool = False) -> Op | None:
        if entity in self.deleted or (not sure and self.random.random() < 0.5):
            return None
        user = self.owner[entity] if sure or self.random.random() < 0.8 else self.random.choice(USERS)
        if user == self.owner[entity]:
            self.deleted.add(entity)
        return self._op("delete", user, entity)

    # What they read

    def _reader(self, number: int) -> Op | None:
        random = self.random
        user = USERS[random.randrange(len(USERS) // 2) * 2 + number]
        rows = at_once(self.store.rows(user))
        if not rows:
            return None
        verb = random.choice(("read", "read", "read", "unread", "seen", "archive", "click", "unarchive"))
        if random.random() < 0.3:
            return self._op("mark", user, verb=verb, up_to=random.choice(rows).seq)
        unread = [row for row in rows if not row.flags & READ] or rows
        some = random.sample(unread, min(len(unread), random.randint(1, 3)))
        bodies = at_once(self.store.bodies(user, [row.body for row in some]))
        ids, seqs = tuple(bodies[row.body].id for row in some), tuple(row.seq for row in some)
        return self._op("mark", user, verb=verb, ids=ids, seqs=seqs)

    # What the site declares

    def _ruler(self, number: int) -> Op | None:
        if self.random.random() < 0.85:
            return None
        self._version += 1
        return self._op("rules", "site", rules=changed(self.random, self._version))

    # As records

    def records(self, op: Op) -> Records:
        """What is appended where, one after the other."""
        item = self.item(op)
        if isinstance(item, Rules):  # all shards have them before a command can name them
            value, partitions = encode(item), range(self.partitions)
            return [(topic, partition, value) for topic in RULES_GO_TO for partition in partitions]
        if isinstance(item, Activity):
            return [(ACTIVITIES, partition_of(op.target or op.object, self.partitions), encode(item))]
        return [(ROUTED, partition, encode(copy)) for partition, copy in placed(item, self.partitions)]

    def item(self, op: Op) -> Activity | Change | Rules:
        if op.rules is not None:
            return Rules(op.rules.version, FOLD_VERSION, source(op.rules), op.invoked_ms)
        if op.long_way or op.kind in ("post", "comment", "like", "unlike", "mention", "delete"):
            return Activity(
                op.id,
                op.kind,
                op.user,
                op.object,
                target=op.target,
                scope=op.scope,
                mentions=list(op.mentions),
                expires_at=op.expires_at,
            )
        change = Change(
            op.id, op.kind, op.user, object=op.object or None, aspect=op.aspect, verb=op.verb, up_to=op.up_to
        )
        if op.kind == "preferences":
            change.preferences = [Preference(kind, "inbox", "*", "off") for kind in op.off]
        if op.kind == "mark" and op.up_to is None:
            change.seqs = list(op.seqs)
            change.ids = list(op.ids)
        return change
