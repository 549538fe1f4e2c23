"""Who hears, held to what the product promises its users."""

from collections.abc import Iterator

from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Notice, Update
from tests.simulation.history import NEVER, History, Op, Shown
from tests.simulation.reference import Reference
from tests.simulation.wrong import Wrong


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


def expiry(history: History) -> Iterator[Wrong]:
    """What is told is shown for as long as it says itself, and as its kind said when it was told."""
    reference, ops = Reference(history.ops), {op.id: op for op in history.ops}
    for partition, noticed in history.notices.items():
        for one in noticed:
            if isinstance(one.record, Notice | Update):
                content = content_of(one.record.content)
                op, until = ops.get(content.id), NEVER if content.expires_at is None else content.expires_at
                if op is not None and not any(
                    first <= until <= last for first, last in reference.expires(op)
                ):
                    yield Wrong(
                        "differs",
                        f"notices[{partition}] {one.offset} lets {op.id} expire at {content.expires_at}",
                    )


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
