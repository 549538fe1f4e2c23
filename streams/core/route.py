"""Stage 1: whom an activity concerns.

One partition of `activities` in, commands for the recipients' partitions out. It knows who owns an entity and who took
part in its thread. What it cannot know here travels: a *fact* carries an entity's owner and thread to the entity's own
partition, a *forward* carries a comment to the partition of its thread's root. An activity on an entity not known yet
waits, and whatever else comes on that entity queues behind it. What a producer put into another partition than its
entity's is a *stray*: it is sent there as it stands, and there it counts.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Literal

import msgspec

from fanbell.schemas.by_hand import ask_bytes, command_bytes, content_bytes
from fanbell.schemas.codec import (
    HEADER_BYTES,
    HEADERS,
    Undecodable,
    activity_of,
    decode,
    decode_body,
    encode,
    encode_body,
    zigzag,
)
from fanbell.schemas.parse import Invalid, parse_activity, parse_json
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Ask, Audience, Content, Dead, Fact, Forward, Rules, Stray, Tick
from fanbell.schemas.topics import ACTIVITIES, DEAD, ROUTED
from fanbell.schemas.wellformed import activity_faults
from fanbell.streams.core import kinds
from fanbell.streams.core.asked import make_ready
from fanbell.streams.core.changes import change_of, placed
from fanbell.streams.core.fold import (
    DETAIL_MAX,
    NONE_YET,
    Output,
    Taken,
    Versions,
    effective_ms,
    number,
    pair_bytes,
    why_unreadable,
)
from fanbell.streams.core.hashes import RecentIds, hash64
from fanbell.streams.core.kinds import RANK, Kind
from fanbell.streams.core.slices import Steps, finished, mapping
from fanbell.streams.log import Record

Entity = tuple[str, str, bool]
"""(owner, root of its thread, deleted)"""

Part = Literal["all", "near", "far"]
_ACTIVITY: Final = HEADERS[Activity]

_FOLLOWED: Final[dict[str, Callable[[Activity], str | None]]] = {
    "followers_of_actor": lambda activity: activity.actor,
    "followers_of_scope": lambda activity: activity.scope,
    "followers_of_object": lambda activity: activity.object,
    "followers_of_target": lambda activity: activity.target,
}


class Waiting(msgspec.Struct, gc=False):
    """An activity whose entity is unknown. `offset`: where it stands in `activities`; `own_ms`: its own time."""

    offset: int
    activity: Activity
    body: int
    own_ms: int
    deadline_ms: int


def _listed(item: tuple[str, dict[str, None]]) -> tuple[str, list[str]]:
    return item[0], list(item[1])


class Route:
    """One partition's owners, threads, used ids and waiting activities."""

    stage: ClassVar[str] = "route"

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.clock_ms = 0
        self.versions = Versions()
        self.entities: dict[str, Entity] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.used = RecentIds()
        self.waiting: dict[str, deque[Waiting]] = {}
        self.waiting_ids: dict[str, int] = {}
        self.deadlines: deque[tuple[int, str]] = deque()
        self.early: list[Forward | Stray] = []
        """What came by rules that other partitions have already and this one has not, in its order"""
        self.taken = Taken()
        self.last: dict[int, tuple[int, int]] = {}
        """The last pair (n, index) put out, by partition of `activities`"""
        self._asked: list[bytes] = [pair_bytes(*NONE_YET)] * partitions
        """The same, by partition of `routed`, as the next command names it"""
        self.forgotten = 0
        self.strays = 0
        """Activities that stood here and belonged elsewhere"""
        self._out: list[Output] = []
        self._n = 0
        self._command = command_bytes(number(partition))
        """What its commands begin with"""
        self._told: Content | None = None
        """What the command under way tells of."""

    @property
    def fold_version(self) -> int:
        return self.versions.fold_version

    # The step, and what each sort of record does

    def step(self, record: Record) -> list[Output]:
        self._out, self._n = [], record.offset
        try:
            item = self._read(record.value)
        except (Undecodable, Invalid) as error:
            self._advance(record.timestamp_ms)
            self._unreadable(record, error)
            return self._out
        if type(item) is Activity:
            self._activity(item, record)
        elif type(item) is Fact:
            self._advance(item.time_ms)
            if self.taken.is_new(item.source, item.n, item.index, item.prev_n, item.prev_index):
                self._learn(item.entity, item.owner, item.thread)
        elif type(item) is Forward:
            self._advance(item.time_ms)
            if self.taken.is_new(item.source, item.n, item.index, item.prev_n, item.prev_index):
                if self.versions.awaits(item.rules):
                    self.early.append(item)
                else:
                    self._home(item)
        elif type(item) is Stray:
            if self.taken.is_new(item.source, item.n, item.index, item.prev_n, item.prev_index):
                if self.versions.of:
                    self._arrive(item, record.offset)
                else:
                    self.early.append(item)
        elif type(item) is Rules:  # they are of no time: history may be older than they are
            if self.versions.take(item):
                limits = self.versions.newest.limits
                self.used.at_most, self.used.keep_ms = limits.dedupe_ids, limits.dedupe_ms
                self._take_early(record.offset)
        elif type(item) is Tick:
            self._advance(item.time_ms)
        else:
            self._advance(record.timestamp_ms)
            self._foreign(record, item)
        return self._out

    def numbers(self) -> dict[str, int]:
        return {"strays": self.strays}

    def due_ms(self) -> int | None:
        while self.deadlines and not self._waits(self.deadlines[0]):
            self.deadlines.popleft()
        return self.deadlines[0][0] if self.deadlines else None

    def _waits(self, deadline: tuple[int, str]) -> bool:
        """Whether something still waits for that entity until then."""
        queue = self.waiting.get(deadline[1])
        return queue is not None and queue[0].deadline_ms <= deadline[0]

    @staticmethod
    def _read(value: bytes) -> Any:
        if value[:HEADER_BYTES] == _ACTIVITY:
            return activity_of(value)
        return parse_activity(parse_json(value)) if value[:1] == b"{" else decode(value)

    def _advance(self, own_ms: int) -> None:
        """Move fold time; what waited too long dies, before anything else happens."""
        self.clock_ms = max(self.clock_ms, own_ms)
        while self.deadlines and self.deadlines[0][0] <= self.clock_ms:
            _, entity = self.deadlines.popleft()
            queue = self.waiting.get(entity)
            while queue and queue[0].deadline_ms <= self.clock_ms:
                gone = queue.popleft()
                if self.waiting_ids.pop(gone.activity.id, None) is not None:
                    waited = f"{entity!r} was not posted within the time that an activity may wait"
                    self._dead(gone.offset, gone.activity.id, "unknown_entity", waited, encode(gone.activity))
            if queue is not None and not queue:
                del self.waiting[entity]

    def _activity(self, activity: Activity, record: Record) -> None:
        own_ms = effective_ms(activity.occurred_at, record.timestamp_ms)
        self._advance(own_ms)
        rules = self.versions.newest
        home = partition_of(activity.target or activity.object, self.partitions)
        if home != self.partition:
            self._send_on(record, home)
            return
        faults = activity_faults(activity) or rules.faults(activity)
        if faults:
            self._dead(
                record.offset,
                activity.id,
                "invalid",
                "; ".join(f"{name}: {text}" for name, text in faults),
                record.value,
            )
            return
        plain = record.value[10:] if record.value[:1] != b"{" else encode_body(activity)
        body = hash64(plain)
        key = hash64(activity.id.encode())
        used = self.used.get(key, self.clock_ms)
        if used is None:
            used = self.waiting_ids.get(activity.id)
        if used is not None:
            if used != body:
                self._dead(
                    record.offset,
                    activity.id,
                    "id_reused",
                    "this id was used before with another body",
                    record.value,
                )
            return
        if activity.kind in kinds.GRAPH:
            self.used.put(key, body, self.clock_ms)
            self._graph(activity)
            return
        self._take(Waiting(record.offset, activity, body, own_ms, 0))

    def _send_on(self, record: Record, home: int) -> None:
        """Let the partition of its entity have it: there its id counts, and there it waits if it must."""
        self.strays += 1
        index, prev = self._next(home)
        stray = Stray(self.partition, self._n, index, *prev, record.timestamp_ms, record.value)
        self._put(ACTIVITIES, home, encode(stray), index)

    def _arrive(self, stray: Stray, offset: int) -> None:
        """Take it as if its producer had put it here."""
        record = Record(offset, stray.value, stray.appended_ms)
        try:
            activity = self._read(stray.value)
        except (Undecodable, Invalid) as error:  # not by us: we send on what could be read
            self._unreadable(record, error)
            return
        if type(activity) is Activity:
            self._activity(activity, record)
        else:
            self._foreign(record, activity)

    def _graph(self, activity: Activity) -> None:
        rules = self.versions.newest.version
        for partition, change in placed(change_of(activity), self.partitions):
            self._ask((partition,), Ask(rules, self.clock_ms, "change", None, encode_body(change), []))

    def _take(self, item: Waiting) -> None:
        """Route the activity, or let it wait for its entity."""
        activity = item.activity
        entity = activity.target or activity.object
        kind = self.versions.newest.kinds.get(activity.kind)
        founds = kind is not None and kind.creates and entity == activity.object
        queued = entity in self.waiting and not founds
        if queued or not self._act(activity, kind, entity, item.own_ms):
            self._wait(entity, item)
            return
        self.used.put(hash64(activity.id.encode()), item.body, self.clock_ms)
        if founds:
            self._release(entity)

    def _wait(self, entity: str, item: Waiting) -> None:
        limits = self.versions.newest.limits
        queue = self.waiting.get(entity)
        if (queue is not None and len(queue) >= limits.waiting_per_entity) or len(
            self.waiting_ids
        ) >= limits.waiting_per_partition:
            self._dead(
                item.offset,
                item.activity.id,
                "waiting_full",
                f"too many activities wait for unknown entities ({entity!r})",
                encode(item.activity),
            )
            return
        item.deadline_ms = self.clock_ms + limits.waiting_ms
        if queue is None:
            queue = self.waiting[entity] = deque()
        queue.append(item)
        self.waiting_ids[item.activity.id] = item.body
        self.deadlines.append((item.deadline_ms, entity))

    def _release(self, entity: str) -> None:
        """What waited for `entity` goes on, in its order, as if it came now."""
        queue = self.waiting.pop(entity, None)
        while queue:
            item = queue.popleft()
            self.waiting_ids.pop(item.activity.id, None)
            self._take(item)

    def _act(self, activity: Activity, kind: Kind | None, entity: str, own_ms: int) -> bool:
        """Do what the activity asks; False if its entity must be known first."""
        known = self.entities.get(entity)
        if known is not None and known[2]:
            self._drop(activity, own_ms, "deleted")
            return True
        if kind is None:
            return (
                self._delete(activity, entity, known, own_ms)
                if activity.kind == kinds.DELETE
                else self._undeclared(activity, own_ms)
            )
        if kind.undoes is not None:
            content = self._content(activity, kind.undoes, known[1] if known else None, own_ms)
            self._ask(
                range(self.partitions),
                Ask(self.versions.newest.version, self.clock_ms, "undo", None, content, []),
            )
            return True
        if kind.creates and entity == activity.object:
            if known is None:
                self._learn(entity, activity.actor, activity.thread or entity, release=False)
            self._announce(activity, kind, activity.actor, activity.thread or entity, own_ms, "all")
            return True
        owner = known[0] if known else activity.owner
        if owner is None and kind.needs_entity:
            return False
        thread = known[1] if known else activity.thread or entity
        if thread == entity or not kind.asks_thread:
            self._finish(activity, kind, owner, thread, own_ms, "all")
        else:
            self._forward(activity, kind, owner, thread, own_ms)
        return True

    def _undeclared(self, activity: Activity, own_ms: int) -> bool:
        """It waited while its kind was taken out of the rules."""
        self._drop(activity, own_ms, "undeclared")
        return True

    def _delete(self, activity: Activity, entity: str, known: Entity | None, own_ms: int) -> bool:
        if known is None:
            return False
        owner, thread, _ = known
        if activity.actor != owner and not activity.by_operator:
            self._drop(activity, own_ms, "not_owner")
            return True
        self.entities[entity] = (owner, thread, True)
        self._retract(activity, thread, own_ms)
        if thread != entity:
            # What its thread heard was told at the thread's home, which may be behind: there it is taken back in turn.
            self._send_home(activity, owner, thread, own_ms)
        return True

    def _retract(self, activity: Activity, thread: str, own_ms: int) -> None:
        content = self._content(activity, activity.kind, thread, own_ms)
        self._ask(
            range(self.partitions),
            Ask(self.versions.newest.version, self.clock_ms, "retract", None, content, []),
        )

    def _learn(self, entity: str, owner: str, thread: str, release: bool = True) -> None:
        """Who is seen first to own an entity owns it."""
        if entity not in self.entities:
            self.entities[entity] = (owner, thread, False)
            while len(self.entities) > self.versions.newest.limits.entities:
                oldest = next(iter(self.entities))
                del self.entities[oldest]
                self.members.pop(oldest, None)
                self.forgotten += 1
        if release:
            self._release(entity)

    # Threads

    def _finish(
        self,
        activity: Activity,
        kind: Kind,
        owner: str | None,
        thread: str,
        own_ms: int,
        part: Part,
        version: int | None = None,
    ) -> None:
        """Tell, take part in the thread, and let the new entity be known at its own partition."""
        self._announce(activity, kind, owner, thread, own_ms, part, version)
        if kind.joins_thread:
            members = self.members.setdefault(thread, {})
            members.pop(activity.actor, None)
            members[activity.actor] = None
            if len(members) > self.versions.newest.limits.thread_members:
                del members[next(iter(members))]
        if kind.creates:
            partition = partition_of(activity.object, self.partitions)
            index, prev = self._next(partition)
            fact = Fact(
                self.partition, self._n, index, *prev, activity.object, activity.actor, thread, self.clock_ms
            )
            self._put(ACTIVITIES, partition, encode(fact), index)

    def _forward(self, activity: Activity, kind: Kind, owner: str | None, thread: str, own_ms: int) -> None:
        """Tell here whom this partition knows of, so that the entity's order holds; the thread hears at its home.

        A kind that is also heard by following is told at home whole: only one command knows who hears for which reason.
        """
        if not kind.asks_followers:
            self._announce(activity, kind, owner, thread, own_ms, "near")
        self._send_home(activity, owner, thread, own_ms)

    def _send_home(self, activity: Activity, owner: str | None, thread: str, own_ms: int) -> None:
        partition = partition_of(thread, self.partitions)
        index, prev = self._next(partition)
        resolved = msgspec.structs.replace(activity, owner=owner, occurred_at=own_ms)
        version = self.versions.newest.version
        forward = Forward(
            self.partition,
            self._n,
            index,
            *prev,
            owner or "",
            thread,
            self.clock_ms,
            version,
            encode_body(resolved),
        )
        self._put(ACTIVITIES, partition, encode(forward), index)

    def _home(self, forward: Forward) -> None:
        activity = decode_body(Activity, forward.activity)
        if activity.kind == kinds.DELETE:
            self._retract(activity, forward.thread, activity.occurred_at or 0)
            return
        kind = self.versions.get(forward.rules).kinds[activity.kind]
        part: Part = "all" if kind.asks_followers else "far"
        own_ms = activity.occurred_at or 0
        self._finish(activity, kind, activity.owner, forward.thread, own_ms, part, forward.rules)

    def _take_early(self, offset: int) -> None:
        """Rules came in, at `offset`: what was sent here by them goes on."""
        early, self.early = self.early, []
        for item in early:
            if isinstance(item, Stray):
                self._arrive(item, offset)
            elif self.versions.awaits(item.rules):
                self.early.append(item)
            else:
                self._home(item)

    # Commands

    def _announce(
        self,
        activity: Activity,
        kind: Kind,
        owner: str | None,
        thread: str,
        own_ms: int,
        part: Part,
        version: int | None = None,
    ) -> None:
        """Ask the partitions of those concerned to tell them.

        `part`: all, all but the thread (near), or the thread (far). `version`: of the rules that `kind` is of, if not
        the newest.
        """
        follows: list[Audience] = []
        named: dict[int, dict[str, list[str]]] = {}

        def name(reason: str, users: Iterable[str]) -> None:
            for user in users:
                named.setdefault(partition_of(user, self.partitions), {}).setdefault(reason, []).append(user)

        for to, reason in kind.audience:
            if to == "thread":
                if part != "near":
                    told = {owner, *activity.mentions, *activity.recipients} if part == "far" else ()
                    name(reason, [user for user in self.members.get(thread, ()) if user not in told])
            elif part == "far":
                pass
            elif to == "owner":
                name(reason, (owner,) if owner else ())
            elif to == "recipients":
                name(reason, activity.recipients)
            elif to == "object":
                name(reason, (activity.object,))
            elif (followed := _FOLLOWED[to](activity)) is not None:
                follows.append(Audience(reason, followed))
        if part != "far":
            name("mention", activity.mentions)
        if not follows and not named:
            return
        version = self.versions.newest.version if version is None else version
        content = self._content(activity, kind.name, thread, own_ms, kind)
        if follows:
            self._ask(
                (p for p in range(self.partitions) if p not in named),
                Ask(version, self.clock_ms, "announce", None, content, follows),
            )
        for partition in sorted(named):
            audiences = follows + [
                Audience(reason, None, users) for reason, users in named[partition].items()
            ]
            audiences.sort(key=lambda audience: RANK[audience.reason])
            self._ask((partition,), Ask(version, self.clock_ms, "announce", None, content, audiences))

    def _content(
        self, activity: Activity, kind: str, thread: str | None, own_ms: int, rules: Kind | None = None
    ) -> bytes:
        expires_at = activity.expires_at
        if rules is not None and rules.expires_after_ms is not None:
            after = own_ms + rules.expires_after_ms
            expires_at = after if expires_at is None else min(expires_at, after)
        self._told = Content(
            activity.id, kind, activity.actor, activity.object, activity.target, thread, activity.scope,
            activity.data, activity.importance or (rules.importance if rules else None), own_ms, expires_at,
        )  # fmt: skip
        return content_bytes(self._told)

    def _drop(self, activity: Activity, own_ms: int, why: str) -> None:
        """Nobody hears; the object's partition notes why, for those who ask what became of it."""
        content = self._content(activity, activity.kind, None, own_ms)
        ask = Ask(self.versions.newest.version, self.clock_ms, "drop", why, content, [])
        self._ask((partition_of(activity.object, self.partitions),), ask)

    def _ask(self, partitions: Iterable[int], ask: Ask) -> None:
        data = ask_bytes(ask)
        make_ready(data, ask, None if ask.op == "change" else self._told)
        out, asked, n = self._out, self._asked, self._n
        this = zigzag(n)
        for partition in partitions:
            index = len(out)
            pair = this + number(index)
            value = self._command + pair + asked[partition] + data
            asked[partition] = pair
            out.append(Output(ROUTED, partition, value, n, index))

    def _unreadable(self, record: Record, error: Undecodable | Invalid) -> None:
        self._dead(record.offset, "", why_unreadable(error), str(error), record.value)

    def _foreign(self, record: Record, item: Any) -> None:
        detail = f"a {type(item).__name__} does not belong into {ACTIVITIES}"
        self._dead(record.offset, "", "misplaced", detail, record.value)

    def _dead(self, offset: int, id_: str, reason: str, detail: str, value: bytes) -> None:
        index = len(self._out)
        dead = Dead(
            ACTIVITIES,
            self.partition,
            offset,
            index,
            self._n,
            id_,
            reason,
            detail[:DETAIL_MAX],
            self.clock_ms,
            value,
        )
        self._put(DEAD, 0, encode(dead), index)

    def _next(self, partition: int) -> tuple[int, tuple[int, int]]:
        """The index of the next output, into `activities`, and the pair of the one before it in its partition."""
        index = len(self._out)
        prev = self.last.get(partition, NONE_YET)
        self.last[partition] = (self._n, index)
        return index, prev

    def _put(self, topic: str, partition: int, value: bytes, index: int) -> None:
        self._out.append(Output(topic, partition, value, self._n, index))

    # Snapshots

    def dump(self) -> bytes:
        return finished(self.dumping())

    def dumping(self) -> Steps[bytes]:
        entities = yield from mapping(self.entities.items())
        members = yield from mapping(map(_listed, self.members.items()))
        return msgspec.msgpack.encode(
            {
                "clock_ms": self.clock_ms,
                "rules": self.versions.dump(),
                "entities": entities,
                "members": members,
                "used": self.used.dump(),
                "waiting": [
                    [
                        entity,
                        [
                            [
                                item.offset,
                                encode_body(item.activity),
                                item.body,
                                item.own_ms,
                                item.deadline_ms,
                            ]
                            for item in queue
                        ],
                    ]
                    for entity, queue in self.waiting.items()
                ],
                "deadlines": [deadline for deadline in self.deadlines if self._waits(deadline)],
                "early": [encode(item) for item in self.early],
                "taken": self.taken.dump(),
                "last": [[partition, *pair] for partition, pair in self.last.items()],
                "asked": self._asked,
                "forgotten": self.forgotten,
                "strays": self.strays,
            }
        )

    @classmethod
    def load(cls, partition: int, partitions: int, data: bytes) -> "Route":
        tree = msgspec.msgpack.decode(data)
        made = cls(partition, partitions)
        made.clock_ms = tree["clock_ms"]
        made.versions = Versions.load(tree["rules"])
        made.entities = {entity: tuple(known) for entity, known in tree["entities"].items()}
        made.members = {root: dict.fromkeys(members) for root, members in tree["members"].items()}
        made.used = RecentIds.load(tree["used"])
        for entity, items in tree["waiting"]:
            queue = deque(Waiting(item[0], decode_body(Activity, item[1]), *item[2:]) for item in items)
            made.waiting[entity] = queue
            made.waiting_ids.update((item.activity.id, item.body) for item in queue)
        made.deadlines = deque((deadline_ms, entity) for deadline_ms, entity in tree["deadlines"])
        made.early = [decode(data) for data in tree.get("early", ())]
        made.taken = Taken.load(tree["taken"])
        made.last = {to: (n, index) for to, n, index in tree["last"]}
        made._asked = tree["asked"]
        made.forgotten = tree["forgotten"]
        made.strays = tree.get("strays", 0)
        return made
