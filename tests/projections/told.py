"""Records of the topic `notices` for tests: those that a test writes down, and random ones as a shard would put them
out.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from fanbell.schemas.codec import encode_body
from fanbell.schemas.records import (
    Change,
    Content,
    Mark,
    Notice,
    Outcome,
    Preference,
    Retraction,
    Side,
    Silenced,
    Told,
    Update,
    Wish,
)

ORIGIN = (0, 0, -1, -1)
"""n, index, prev_n, prev_index: readers of rows do not look at them."""


def content(
    id_: str = "a1", kind: str = "post", actor: str = "ana", at_ms: int = 1_000, **fields: Any
) -> Content:
    rest: dict[str, Any] = {"object": "p1", "target": None, "thread": None, "scope": None, "data": None}
    rest |= {"importance": None, "expires_at": None}
    return Content(id=id_, kind=kind, actor=actor, at_ms=at_ms, **(rest | fields))


def notice(
    seq: int, recipients: list[str], id_: str | None = None, reason: str = "post", **fields: Any
) -> Notice:
    encoded = encode_body(content(id_ or f"a{seq}", **fields))
    return Notice(*ORIGIN, seq=seq, reason=reason, content=encoded, recipients=recipients)


def update(
    seq: int,
    recipients: list[str],
    id_: str = "g1",
    row_seq: int | None = None,
    prev: int = -1,
    announces: bool = True,
    actors: tuple[str, ...] = ("ana",),
    count: int | None = None,
    **fields: Any,
) -> Update:
    """A group's state; where nothing else is said, it announces."""
    encoded = encode_body(content(f"{id_}.{seq}", **({"kind": "like", "actor": actors[0]} | fields)))
    return Update(
        *ORIGIN, seq=seq, id=id_, reason="like", row_seq=seq if row_seq is None else row_seq, prev_row_seq=prev,
        announces=announces, count=len(actors) if count is None else count, actors=list(actors), created_ms=500,
        content=encoded, recipients=recipients,
    )  # fmt: skip


def retraction(seq: int, recipients: list[str], row_seq: int, id_: str = "a1") -> Retraction:
    return Retraction(*ORIGIN, seq=seq, id=id_, row_seq=row_seq, why="undo", recipients=recipients)


def mark(seq: int, user: str, verb: str, *row_seqs: int, up_to: int | None = None) -> Mark:
    return Mark(*ORIGIN, seq=seq, user=user, verb=verb, ids=[], row_seqs=list(row_seqs), up_to=up_to)


def wish(
    seq: int, kind: str, user: str, object_: str | None = None, side: Side = "user", **fields: Any
) -> Wish:
    change = Change(id=f"c{seq}", kind=kind, user=user, side=side, object=object_, **fields)
    return Wish(*ORIGIN, seq=seq, change=encode_body(change))


def outcome(seq: int, id_: str, heard: int = 0, **silenced: int) -> Outcome:
    return Outcome(
        *ORIGIN, seq=seq, id=id_, heard=heard, silenced=[Silenced(r, n) for r, n in silenced.items()]
    )


NAMES = (
    "ana",
    "Ana",
    "añ/na",
    "../%2F",
    "名前",
    "🐙\u200d🦑",
    "e\u0301",
    "\u00e9",
    "'; DROP TABLE inbox; --",
    '"\\',
    "x" * 256,
)
SCOPES = (None, "room/1", "名前")


@dataclass
class Shard:
    """As much of a shard as it takes to put out records in a valid order: which rows stand where."""

    seq: int = 0
    groups: dict[str, tuple[int, list[str], bool]] = field(default_factory=dict)
    """row_seq, recipients and whether the row was retracted, by id."""
    told: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    """Id and recipients of rows told once and not taken back."""


@st.composite
def histories(draw: st.DrawFn, at_most: int = 60) -> list[Told]:
    """What one partition might carry; half of the time for two people only, so that their inboxes overflow."""
    shard = Shard()
    people = draw(st.sampled_from((NAMES, NAMES[3:5])))
    return [_record(draw, shard, people) for _ in range(draw(st.integers(0, at_most)))]


def _record(draw: st.DrawFn, shard: Shard, people: tuple[str, ...]) -> Told:
    shard.seq += 1
    seq = shard.seq
    some = st.lists(st.sampled_from(people), min_size=1, max_size=4, unique=True)
    place = {
        "scope": draw(st.sampled_from(SCOPES)),
        "expires_at": draw(st.sampled_from((None, 2_000, 9_000))),
    }
    standing = sorted(id_ for id_, group in shard.groups.items() if not group[2])
    choices = ["notice", "notice", "notice", "group", "mark", "wish", "outcome"]
    choices += ["grow", "grow", "correct"] * bool(standing)
    choices += ["take back"] * bool(shard.told) + ["take group back"] * bool(standing)
    choices += ["restore"] * (len(shard.groups) > len(standing))
    choice = draw(st.sampled_from(choices))
    if choice == "notice":
        recipients = draw(some)
        shard.told[seq] = (f"a{seq}", recipients)
        return notice(seq, recipients, kind=draw(st.sampled_from(("post", "job"))), at_ms=seq * 100, **place)
    if choice == "group":
        recipients = draw(some)
        shard.groups[f"g{seq}"] = (seq, recipients, False)
        return update(seq, recipients, f"g{seq}", **place)
    if choice in ("grow", "correct", "take group back", "restore"):
        return _about_group(draw, shard, choice, standing, place)
    if choice == "take back":
        row_seq = draw(st.sampled_from(sorted(shard.told)))
        id_, recipients = shard.told[row_seq]
        gone = draw(st.lists(st.sampled_from(recipients), min_size=1, unique=True))
        shard.told[row_seq] = (id_, [user for user in recipients if user not in gone])
        if not shard.told[row_seq][1]:
            del shard.told[row_seq]
        return retraction(seq, gone, row_seq, id_)
    if choice == "mark":
        verb = draw(st.sampled_from(("read", "unread", "seen", "archive", "unarchive", "click")))
        if draw(st.booleans()):
            return mark(seq, draw(st.sampled_from(people)), verb, up_to=draw(st.integers(0, seq + 3)))
        return mark(
            seq, draw(st.sampled_from(people)), verb, *draw(st.lists(st.integers(1, seq), unique=True))
        )
    if choice == "wish":
        return _wish(draw, seq, people)
    return outcome(
        seq, f"a{draw(st.integers(1, seq))}", draw(st.integers(0, 3)), muted=draw(st.integers(0, 3))
    )


def _about_group(
    draw: st.DrawFn, shard: Shard, choice: str, standing: list[str], place: dict[str, Any]
) -> Told:
    seq = shard.seq
    if choice == "restore":
        id_ = draw(st.sampled_from(sorted(shard.groups.keys() - set(standing))))
        row_seq, recipients, _ = shard.groups[id_]
        shard.groups[id_] = (row_seq, recipients, False)
        return update(seq, recipients, id_, row_seq, -1, announces=False, **place)
    id_ = draw(st.sampled_from(standing))
    row_seq, recipients, _ = shard.groups[id_]
    if choice == "take group back":
        shard.groups[id_] = (row_seq, recipients, True)
        return retraction(seq, recipients, row_seq, id_)
    actors = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)))
    if choice == "correct":
        return update(seq, recipients, id_, row_seq, row_seq, announces=False, actors=actors, **place)
    shard.groups[id_] = (seq, recipients, False)
    return update(seq, recipients, id_, seq, row_seq, actors=actors, count=40, **place)


def _wish(draw: st.DrawFn, seq: int, people: tuple[str, ...]) -> Wish:
    user, other = draw(st.lists(st.sampled_from(people), min_size=2, max_size=2, unique=True))
    kind = draw(
        st.sampled_from(
            ("follow", "unfollow", "mute", "unmute", "block", "unblock", "profile", "preferences")
        )
    )
    if kind == "profile":
        return wish(seq, kind, user, name=draw(st.sampled_from((None, *NAMES))), locale="de")
    if kind == "preferences":
        return wish(
            seq, kind, user, preferences=[Preference("*", "email", "*", "off")] * draw(st.integers(0, 2))
        )
    aspect = "author" if kind in ("mute", "unmute") else None
    return wish(seq, kind, user, other, draw(st.sampled_from(("user", "both"))), aspect=aspect)
