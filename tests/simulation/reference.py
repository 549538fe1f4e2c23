"""Who should hear of what, as far as the cluster promises it; by sets and loops, sharing nothing with streams.

What was acknowledged before is in force for whatever is published after; per entity, the order of publishing; what
runs at the same time may go either way. So each question about the past has a *set* of answers: the states after every
number of changes, from those acknowledged before something was published to those begun before it settled.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar

from tests.simulation.history import NEVER, Op
from tests.simulation.rules import FIRST, Declared

Answer = Literal["yes", "no", "maybe"]
S = TypeVar("S")

SPREAD_MS = (
    10_000  # what stage 1 puts out carries the time of its batch's last record, which may be said earlier
)
GRAPH = ("follow", "unfollow", "block", "unblock")


class Pair(NamedTuple):
    """How things stand between two people: who follows, and who blocks, whom."""

    follows: frozenset[tuple[str, str]]
    blocks: frozenset[tuple[str, str]]


NOBODY = Pair(frozenset(), frozenset())


def after(pair: Pair, op: Op) -> Pair:
    edge = frozenset({(op.user, op.object)})
    if op.kind == "follow":
        return pair if pair.blocks else pair._replace(follows=pair.follows | edge)
    if op.kind == "unfollow":
        return pair._replace(follows=pair.follows - edge)
    if op.kind == "block":
        return Pair(frozenset(), pair.blocks | edge)
    return pair._replace(blocks=pair.blocks - edge)


def states(ops: Sequence[Op], of: Op, start: S, step: Callable[[S, Op], S]) -> list[S]:
    """In which states `of` may have found what `ops`, one after the other, made of `start`."""
    state, found = start, [start]
    for op in ops:
        if op is of or op.invoked >= of.settled:
            break
        state = step(state, op)
        if op.acked < of.invoked:
            found = []
        found.append(state)
    return found


def answer(cases: Iterable[bool]) -> Answer:
    seen = set(cases)
    return "maybe" if len(seen) == 2 else ("yes" if True in seen else "no")


def both(*answers: Answer) -> Answer:
    if "no" in answers:
        return "no"
    return "maybe" if "maybe" in answers else "yes"


def together(answers: Iterable[Answer]) -> Answer:
    """What is sure if any of them may be the one."""
    found = set(answers)
    return found.pop() if len(found) == 1 else "maybe"


class Reference:
    """Everything that was asked, by what it is about."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = sorted(ops, key=lambda op: op.invoked)
        self.pairs: dict[frozenset[str], list[Op]] = {}
        self.mutes: dict[tuple[str, str, str], list[Op]] = {}
        self.wishes: dict[str, list[Op]] = {}
        self.made: dict[str, Op] = {}
        self.deletes: dict[str, list[Op]] = {}
        self.comments: dict[str, list[Op]] = {}
        self.rules: list[Op] = []
        self._declared: dict[str, list[Declared]] = {}
        self._expired: dict[str, Answer] = {}
        for op in self.ops:
            self._put(op)

    def _put(self, op: Op) -> None:
        if op.kind in GRAPH:
            self.pairs.setdefault(frozenset((op.user, op.object)), []).append(op)
        elif op.kind in ("mute", "unmute"):
            self.mutes.setdefault((op.user, op.aspect or "", op.object), []).append(op)
        elif op.kind == "preferences":
            self.wishes.setdefault(op.user, []).append(op)
        elif op.kind == "rules":
            self.rules.append(op)
        elif op.kind == "delete":
            self.deletes.setdefault(op.object, []).append(op)
        elif op.kind in ("post", "comment"):
            self.made.setdefault(op.object, op)
            if op.kind == "comment":
                self.comments.setdefault(self.root(op.object), []).append(op)

    def root(self, entity: str) -> str:
        """The first entity of the thread."""
        seen = set()
        while entity in self.made and self.made[entity].target and entity not in seen:
            seen.add(entity)
            entity = self.made[entity].target or ""
        return entity

    def comments_of(self, entity: str) -> list[Op]:
        root = self.root(entity)
        return [op for op in self.ops if op.kind == "comment" and self.root(op.object) == root]

    def declared(self, op: Op) -> list[Declared]:
        """What the rules by which it was decided may have said."""
        found = self._declared.get(op.id)
        if found is None:
            found = self._declared[op.id] = states(self.rules, op, FIRST, lambda now, one: one.rules or now)
        return found

    # Entities

    def dropped(self, op: Op) -> Answer:
        """Whether it came when what it acts on was deleted already."""
        entity = op.target or op.object
        owner = self.made[entity].user if entity in self.made else None
        deletes = [delete for delete in self.deletes.get(entity, ()) if delete.user == owner]
        if not deletes or op.kind == "post":
            return "no"  # a delete waits for the post
        if any(delete.acked < op.invoked for delete in deletes):
            return "yes" if self.known(entity) == "yes" else "maybe"
        return answer([False, *(True for delete in deletes if delete.invoked < op.acked)])

    def known(self, entity: str) -> Answer:
        """Whether the entity came to be."""
        made = self.made.get(entity)
        if made is None:
            return "no"
        if made.target is None:
            return "yes"
        return both(self.known(made.target), opposite(self.dropped(made)))

    def taken(self, op: Op) -> Answer:
        """Whether an activity had its effect, as far as its entity goes."""
        known: Answer = "yes" if op.kind == "post" else self.known(op.target or op.object)
        if op.kind == "mention" and known == "no":
            known = "maybe"  # it does not wait itself, but queues behind what does
        declared = answer(op.kind not in declared.gone for declared in self.declared(op))
        return both(both(known, opposite(self.dropped(op))), declared)

    def gone(self, op: Op) -> Answer:
        """Whether what it tells of was deleted, before or after."""
        found: list[Answer] = ["no"]
        for entity in {op.object, op.target or op.object}:
            made = self.made.get(entity)
            if made is not None and any(delete.user == made.user for delete in self.deletes.get(entity, ())):
                found.append(self.known(entity))
        return "yes" if "yes" in found else ("maybe" if "maybe" in found else "no")

    # Audience and rules

    def reasons(self, op: Op, user: str) -> list[tuple[str, Answer]]:
        """Why `user` is among the audience, strongest reason first."""
        found: list[tuple[str, Answer]] = []
        if user in op.mentions:
            found.append(("mention", "yes"))
        entity = op.target or op.object
        owner = self.made[entity].user if entity in self.made else None
        if op.kind == "comment":
            if user == owner:
                found.append(("comment", "yes"))
            found.append(("thread", self._member(op, user)))
        elif op.kind == "follow" and user == op.object:
            found.append(("follow", "yes" if self._begins(op) else "no"))
        elif op.kind == "like" and user == owner:
            found.append(("like", "yes"))
        elif op.kind == "post":
            found.append(("post", answer((user, op.user) in pair.follows for pair in self._pair(op, user))))
        heard = answer(op.kind not in declared.hushed for declared in self.declared(op))
        found = [(reason, how if reason == "mention" else both(how, heard)) for reason, how in found]
        return [(reason, how) for reason, how in found if how != "no"]

    def _begins(self, op: Op) -> bool:
        """Whether a follow is new: following twice announces once."""
        ops = self.pairs[frozenset((op.user, op.object))]
        state = NOBODY
        for one in ops[: ops.index(op)]:
            state = after(state, one)
        return after(state, op) != state

    def _pair(self, op: Op, user: str) -> list[Pair]:
        return states(self.pairs.get(frozenset((op.user, user)), ()), op, NOBODY, after)

    def _member(self, op: Op, user: str) -> Answer:
        """Whether `user` had taken part in the thread when the comment came to it."""
        answers: list[Answer] = ["no"]
        for other in self.comments_of(op.object):
            if other is op or other.user != user or other.invoked > op.settled:
                continue
            first = other.settled < op.invoked or (other.target == op.target and other.acked < op.invoked)
            later = other.target == op.target and op.acked < other.invoked
            if not later:
                answers.append(both(self.taken(other), "yes" if first else "maybe"))
        return "yes" if "yes" in answers else ("maybe" if "maybe" in answers else "no")

    def silenced(self, op: Op, user: str) -> Answer:
        """Whether a rule keeps `user` from hearing of it."""
        if user == op.user:
            return "yes"
        found = [answer(bool(pair.blocks) for pair in self._pair(op, user))]
        for aspect, what in (
            ("author", op.user),
            ("entity", op.object),
            ("entity", op.target or ""),
            ("thread", op.object),
        ):
            if aspect != "thread" or op.kind not in GRAPH:
                found.append(self._muted(op, user, aspect, what))
        root = self.root(op.object)
        if root != op.object and op.kind not in GRAPH:
            found[-1] = (
                "no" if op.kind != "mention" or found[-1] == "no" else "maybe"
            )  # if the entity is not known yet
            muted = self._muted(op, user, "thread", root)
            found.append("maybe" if op.kind == "mention" and muted == "yes" else muted)
        off = states(self.wishes.get(user, ()), op, (), lambda _, one: one.off)
        asked = answer(op.kind not in declared.mandatory for declared in self.declared(op))
        found.append(both(answer(op.kind in kinds for kinds in off), asked))
        found.append(self.expired(op))
        return "yes" if "yes" in found else ("maybe" if "maybe" in found else "no")

    def expires(self, op: Op) -> list[tuple[int, int]]:
        """When what is told of it may expire (Unix ms, from, to); `NEVER` where it does not."""
        found = []
        said_ms = op.invoked_ms - (SPREAD_MS if op.long_way else 0)
        for declared in self.declared(op):
            lives_ms = dict(declared.lives_ms).get(op.kind, NEVER)
            own_ms = NEVER if op.expires_at is None else op.expires_at
            found.append((min(own_ms, said_ms + lives_ms), min(own_ms, op.settled_ms + lives_ms)))
        return [(min(first, NEVER), min(last, NEVER)) for first, last in found]

    def expired(self, op: Op) -> Answer:
        """Whether it was worth nothing any more when it came to those whom it concerns."""
        found = self._expired.get(op.id)
        if found is None:
            found = self._expired[op.id] = together(
                "yes"
                if last <= op.invoked_ms
                else ("no" if first > op.settled_ms or first == NEVER else "maybe")
                for first, last in self.expires(op)
            )
        return found

    def _muted(self, op: Op, user: str, aspect: str, what: str) -> Answer:
        ops = self.mutes.get((user, aspect, what), ())
        return answer(states(ops, op, False, lambda _, one: one.kind == "mute"))

    def undone(self, op: Op) -> Answer:
        """Whether it was taken back, or said again, by its own actor later."""
        if op.kind == "like":
            later = (one for one in self.ops if (one.user, one.object) == (op.user, op.object))
            return "yes" if any(one.kind == "unlike" and one.invoked > op.invoked for one in later) else "no"
        if op.kind != "follow":
            return "no"
        pair, ops = NOBODY, self.pairs[frozenset((op.user, op.object))]
        for one in ops:
            if (
                one.invoked > op.invoked
                and one.kind == "unfollow"
                and after(pair, one) != pair
                and one.user == op.user
            ):
                return "yes"  # an unfollow of nobody takes nothing back
            pair = after(pair, one)
        return "maybe" if any(one.kind == "block" for one in ops) else "no"

    def heard(self, op: Op, user: str) -> dict[str, Answer]:
        """For each reason for which `user` may have a row of it at the end, whether they do."""
        whether = both(self.taken(op) if op.kind != "follow" else "yes", opposite(self.silenced(op, user)))
        whether = both(
            whether, opposite(self.gone(op) if op.kind != "follow" else "no"), opposite(self.undone(op))
        )
        if whether == "no":
            return {}
        found: dict[str, Answer] = {}
        for reason, how in self.reasons(op, user):
            found[reason] = both(whether, how)
            if how == "yes":
                break
        return found

    def block_after(self, op: Op, user: str) -> Answer:
        """Whether `user` blocked the actor after it was told: rows whose only actor they are were taken back."""
        blocks = [
            one
            for one in self.pairs.get(frozenset((op.user, user)), ())
            if one.kind == "block" and one.user == user
        ]
        if any(one.invoked > op.settled for one in blocks):
            return "yes"
        return "maybe" if any(one.acked > op.invoked for one in blocks) else "no"


def opposite(what: Answer) -> Answer:
    return {"yes": "no", "no": "yes", "maybe": "maybe"}[what]  # type: ignore[return-value]
