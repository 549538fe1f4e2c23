"""From a history to what went wrong in it. Pure; each sort of wrong has a history of three lines in its tests."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NamedTuple

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update
from fanbell.schemas.topics import DEAD
from tests.simulation.history import History, Noticed, Op, Shown
from tests.simulation.reference import Reference

What = Literal[
    "lost", "twice", "unwanted", "out of order", "too early", "too late", "counter drift",
    "differs", "ahead of acks", "stuck",
]  # fmt: skip
SETS = {
    "read": (READ | SEEN, 0), "unread": (0, READ), "seen": (SEEN, 0), "archive": (ARCHIVED | READ | SEEN, 0),
    "unarchive": (0, ARCHIVED), "click": (CLICKED | READ | SEEN, 0),
}  # fmt: skip
NONE_YET = (-1, -1)


class Wrong(NamedTuple):
    what: What
    detail: str


def check(history: History) -> list[Wrong]:
    found = [Wrong("stuck", detail) for _, detail in history.complaints]
    if found:
        return found
    for judge in (outputs, acknowledged, repeats, times, inboxes, marks, hearing, order):
        found += judge(history)
    return found


# What the stages put out


def outputs(history: History) -> Iterator[Wrong]:
    """Each output stands in its log: all of them, in order, the same bytes however often (I1, I2, I3)."""
    for place in sorted({*history.outputs, *history.expected}):
        expected = {(n, index): digest for n, index, digest in history.expected.get(place, ())}
        last, taken = NONE_YET, set()
        for pair in history.outputs.get(place, ()):
            at = (pair.n, pair.index)
            if at not in expected:
                yield Wrong("unwanted", f"{place} put out {at}, which nothing gives rise to")
            elif pair.digest != expected[at]:
                yield Wrong("differs", f"{place} put out {at} with other bytes than an undisturbed fold")
            taken.add(at)
            if at > last and place[2] != DEAD:
                if (pair.prev_n, pair.prev_index) != last:
                    yield Wrong(
                        "out of order", f"{place} put out {at} before what comes between it and {last}"
                    )
                last = at
        for at in expected:
            if at not in taken:
                yield Wrong("lost", f"{place} never put out {at}")


def acknowledged(history: History) -> Iterator[Wrong]:
    """What is committed or saved has its outputs acknowledged (I4)."""
    landed: dict[tuple[str, int], dict[int, int]] = {}
    for place, pairs in history.outputs.items():
        first: dict[tuple[int, int], int] = {}
        for pair in pairs:
            first.setdefault((pair.n, pair.index), pair.time)
        for (n, _), time in first.items():
            by_n = landed.setdefault(place[:2], {})
            by_n[n] = max(time, by_n.get(n, 0))
    for moved in history.moved:
        for n, time in landed.get((moved.stage, moved.partition), {}).items():
            if n <= moved.offset and time > moved.time:
                yield Wrong(
                    "ahead of acks", f"{moved} when the outputs of {n} were not out; they were at {time}"
                )
                break


def repeats(history: History) -> Iterator[Wrong]:
    """Nobody puts out again what they could see in the log when they opened."""
    for partition, noticed in history.notices.items():
        for one in noticed:
            ends = [NONE_YET if one.saw[0] <= noticed[0].offset else _last_below(noticed, one.saw[0])]
            ends += [_pair(other) for other in noticed if one.saw[0] <= other.offset < one.saw[1]]
            if one.saw[0] >= 0 and _pair(one) <= min(ends):
                yield Wrong("twice", f"notices[{partition}] {one.offset} was there when its writer opened")


def _pair(noticed: Noticed) -> tuple[int, int]:
    return noticed.record.n, noticed.record.index


def _last_below(noticed: list[Noticed], end: int) -> tuple[int, int]:
    return _pair(noticed[bisect_left(noticed, end, key=lambda one: one.offset) - 1])


def taken(noticed: list[Noticed]) -> Iterator[Noticed]:
    """What a reader of `notices` takes."""
    last = NONE_YET
    for one in noticed:
        if _pair(one) > last:
            last = _pair(one)
            yield one


def times(history: History) -> Iterator[Wrong]:
    """Nothing is told before it is said, nor before what it is about is there; places in the inbox are dense."""
    ops = {op.id: op for op in history.ops}
    made = {op.object: op for op in reversed(history.ops) if op.kind in ("post", "comment")}
    for partition, noticed in history.notices.items():
        for seq, one in enumerate(taken(noticed), 1):
            if one.record.seq != seq:
                yield Wrong(
                    "out of order", f"notices[{partition}] {one.offset} has seq {one.record.seq}, not {seq}"
                )
                break
            if not isinstance(one.record, Notice | Update):
                continue
            content = content_of(one.record.content)
            op = ops.get(content.id)
            if op is None or one.time < op.invoked:
                yield Wrong("too early", f"{content.id} was told at {one.time}, before it was said")
            elif op.kind in ("like", "comment"):
                about = made.get(op.target or op.object)
                if about is None or one.time < about.invoked:
                    yield Wrong(
                        "too early",
                        f"{content.id} was told at {one.time}, before {op.target or op.object} was there",
                    )


# What the projection made of it


def inboxes(history: History) -> Iterator[Wrong]:
    """Rows are what `notices` say, and counters are what rows say."""
    told: dict[str, dict[int, Shown]] = {}
    for noticed in history.notices.values():
        for one in taken(noticed):
            _tell(told, one.record)
    for user in sorted({*told, *history.inboxes}):
        rows = {row.seq: row for row in history.inboxes.get(user, ())}
        should = told.get(user, {})
        for seq in sorted({*rows, *should}):
            if seq not in rows:
                yield Wrong("lost", f"{user} has no row {seq}: {should[seq]}")
            elif seq not in should:
                yield Wrong("unwanted", f"{user} has a row {seq} that should not be: {rows[seq]}")
            elif rows[seq] != should[seq]:
                yield Wrong("differs", f"{user} has {rows[seq]}, not {should[seq]}")
        ids = [row.id for row in rows.values()]
        for id_ in {id_ for id_ in ids if ids.count(id_) > 1}:
            yield Wrong("twice", f"{user} has {id_} in several rows")
        shown = [row for row in should.values() if not row.flags & ARCHIVED]
        counted = (sum(not row.flags & READ for row in shown), sum(not row.flags & SEEN for row in shown))
        if history.counted.get(user, counted) != counted:
            yield Wrong(
                "counter drift", f"{user} counts {history.counted[user]} unread and unseen, not {counted}"
            )


def _tell(told: dict[str, dict[int, Shown]], record: Told) -> None:
    if isinstance(record, Notice):
        content = content_of(record.content)
        for user in record.recipients:
            row = Shown(
                record.seq,
                content.id,
                content.kind,
                record.reason,
                content.object,
                content.target,
                1,
                (content.actor,),
                0,
            )
            told.setdefault(user, {})[record.seq] = row
    elif isinstance(record, Update):
        for user in record.recipients:
            _tell_update(told.setdefault(user, {}), record)
    elif isinstance(record, Retraction):
        for user in record.recipients:
            told.setdefault(user, {}).pop(record.row_seq, None)
    elif isinstance(record, Mark):
        rows = told.setdefault(record.user, {})
        for seq, row in rows.items():
            if seq in record.row_seqs if record.up_to is None else seq <= record.up_to:
                rows[seq] = _flagged(row, _marked(row.flags, record.verb))


def _tell_update(rows: dict[int, Shown], update: Update) -> None:
    content, flags = content_of(update.content), 0
    if update.announces:
        rows.pop(update.prev_row_seq, None)
    elif update.prev_row_seq == -1:
        flags = READ | SEEN
    elif update.row_seq in rows:
        flags = rows[update.row_seq].flags
    else:
        return
    rows[update.row_seq] = Shown(
        update.row_seq, update.id, content.kind, update.reason, content.object, content.target,
        update.count, tuple(update.actors[:3]), flags,
    )  # fmt: skip


def _flagged(row: Shown, flags: int) -> Shown:
    return Shown(row.seq, row.id, row.kind, row.reason, row.object, row.target, row.count, row.actors, flags)


def _marked(flags: int, verb: str) -> int:
    sets, clears = SETS[verb]
    return (flags | sets) & ~clears


def marks(history: History) -> Iterator[Wrong]:
    """A row is marked as its reader marked what was shown there, and not otherwise."""
    restored = {
        (user, one.record.row_seq)
        for noticed in history.notices.values()
        for one in noticed
        if isinstance(one.record, Update) and not one.record.announces and one.record.prev_row_seq == -1
        for user in one.record.recipients
    }
    for user, rows in history.inboxes.items():
        ops = sorted(
            (op for op in history.ops if op.kind == "mark" and op.user == user), key=lambda op: op.invoked
        )
        for row in rows:
            flags = 0
            for op in ops:
                if row.seq in op.seqs and op.ids and op.ids[op.seqs.index(row.seq)] != row.id:
                    shown = op.ids[op.seqs.index(row.seq)]
                    yield Wrong("differs", f"{user} was shown {shown} at {row.seq}, where {row.id} is now")
                if row.seq in op.seqs or (op.up_to is not None and row.seq <= op.up_to):
                    flags = _marked(flags, op.verb or "")
            if flags != row.flags and (user, row.seq) not in restored:
                yield Wrong(
                    "counter drift",
                    f"{user}'s row {row.seq} has flags {row.flags}; what was marked there gives {flags}",
                )


# Who hears


def hearing(history: History) -> Iterator[Wrong]:
    """Whoever must hear has it once; nobody else has it."""
    reference = Reference(history.ops)
    for user, rows in history.inboxes.items():
        singles: dict[str, str] = {}
        groups: dict[tuple[str, str, str], list[tuple[Op, str]]] = {}
        for op in reference.ops:
            if op.kind not in ("post", "comment", "like", "mention", "follow"):
                continue
            for reason, how in reference.heard(op, user).items():
                after = reference.block_after(op, user)
                if reason == "mention" or op.kind == "post":
                    singles[op.id] = "no" if after == "yes" else ("maybe" if after == "maybe" else how)
                else:
                    key = (op.kind, reason, {"like": op.object, "comment": op.target or ""}.get(op.kind, ""))
                    groups.setdefault(key, []).append((op, how if after == "no" else "maybe"))
        yield from _singles(reference, user, rows, singles)
        yield from _groups(reference, user, rows, groups)


def _is_single(row: Shown) -> bool:
    return row.reason == "mention" or row.kind == "post"


def _singles(reference: Reference, user: str, rows: list[Shown], singles: dict[str, str]) -> Iterator[Wrong]:
    had = {row.id for row in rows if _is_single(row)}
    for id_, how in singles.items():
        if how == "yes" and id_ not in had:
            yield Wrong("lost", f"{user} never heard of {id_}")
    ops = {op.id: op for op in reference.ops}
    for id_ in had:
        if singles.get(id_, "no") == "no":
            yield _why_not(reference, user, ops.get(id_), id_)


def _why_not(reference: Reference, user: str, op: Op | None, id_: str) -> Wrong:
    if op is not None and reference.reasons(op, user):
        return Wrong(
            "too late", f"{user} heard of {id_}, though what forbids it or takes it back was acknowledged"
        )
    return Wrong("unwanted", f"{user} heard of {id_}, which does not concern them")


def _groups(
    reference: Reference,
    user: str,
    rows: list[Shown],
    groups: dict[tuple[str, str, str], list[tuple[Op, str]]],
) -> Iterator[Wrong]:
    found: dict[tuple[str, str, str], list[Shown]] = {}
    for row in rows:
        if not _is_single(row):
            about = {"like": row.object, "comment": row.target or ""}.get(row.kind, "")
            found.setdefault((row.kind, row.reason, about), []).append(row)
    ops = {op.id: op for op in reference.ops}
    for key in sorted({*found, *groups}):
        parts, had = groups.get(key, []), found.get(key, [])
        if had and not parts:
            yield _why_not(reference, user, ops.get(had[0].id), f"{had[0].id} and others of {key}")
            continue
        must = {op.user for op, how in parts if how == "yes"}
        count = sum(row.count for row in had)
        if count < len(must):
            yield Wrong("lost", f"{user} heard of {count} of {key}, not of all of {sorted(must)}")
        may = {op.user for op, _ in parts}
        if count > len(parts) or (len(had) == 1 and count > len(may)):
            yield Wrong(
                "twice", f"{user} heard of {count} of {key}, which are at most {len(parts)} by {sorted(may)}"
            )
        for row in had:
            if strangers := set(row.actors) - may:
                yield Wrong("unwanted", f"{user} heard of {key} by {sorted(strangers)}")


def order(history: History) -> Iterator[Wrong]:
    """Two who mention the same person at one entity, one after the other, are heard in that order."""
    ops = [op for op in history.ops if op.mentions and op.kind in ("mention", "post")]
    for user, rows in history.inboxes.items():
        places = {row.id: row.seq for row in rows if row.reason == "mention"}
        here = [op for op in ops if op.id in places]
        for first in here:
            for second in here:
                if (
                    first.object == second.object
                    and second.kind != "post"
                    and first.acked < second.invoked
                    and places[first.id] > places[second.id]
                ):
                    yield Wrong("out of order", f"{user} heard of {second.id} before {first.id}")
