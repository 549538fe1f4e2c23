"""What of an inbox a reader sees, and how much of it: pages and counters.

Takes the rows of one inbox, newest first, and a time; returns rows and numbers. Both come of the same rows by the
same functions, so a counter cannot say what the list does not show. Expired rows are nowhere; archived ones are on
pages that ask for them, and in no counter.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from fanbell.projections.store import ARCHIVED, READ, SEEN, Row

LIMIT_MAX: Final = 200  # rows of one page: more is what `next` is for
LIMIT_DEFAULT: Final = 50

Archived = Literal["exclude", "include", "only"]


class Query(Struct, frozen=True):
    """Which rows a page is of. `before` and `after` are seqs and exclusive; None is any.

    `before` asks for the rows directly below it, `after` for those directly above it; with both, `after` leads.
    """

    limit: int = LIMIT_DEFAULT
    before: int | None = None
    after: int | None = None
    unread: bool | None = None
    kind: str | None = None
    scope: str | None = None
    archived: Archived = "exclude"


class Counts(Struct, frozen=True):
    """How many rows are unread and unseen; of the unread, how many by kind and by scope (rows without one left out)."""

    unread: int
    unseen: int
    kinds: dict[str, int]
    scopes: dict[str, int]


class Page(Struct, frozen=True):
    """`rows` newest first; `total` is what the filter matches, on this page or not.

    `next` goes in as `before` for the page below, `prev` as `after` for the page above; None where there is nothing.
    """

    rows: list[Row]
    total: int
    unread: int
    unseen: int
    next: int | None
    prev: int | None


def shown(rows: Iterable[Row], now_ms: int) -> list[Row]:
    """The rows that have not expired at `now_ms`."""
    return [row for row in rows if row.expires_at is None or row.expires_at > now_ms]


def expires_next(rows: Iterable[Row], now_ms: int) -> int | None:
    """When the first of the rows shown at `now_ms` expires, Unix ms; None if none ever does."""
    return min(
        (row.expires_at for row in rows if row.expires_at is not None and row.expires_at > now_ms),
        default=None,
    )


def counts(rows: Iterable[Row], now_ms: int) -> Counts:
    """The counters of the inbox `rows` at `now_ms`."""
    unread = unseen = 0
    kinds: dict[str, int] = {}
    scopes: dict[str, int] = {}
    for row in shown(rows, now_ms):
        flags = row.flags
        if flags & ARCHIVED:
            continue
        if not flags & SEEN:
            unseen += 1
        if flags & READ:
            continue
        unread += 1
        kinds[row.kind] = kinds.get(row.kind, 0) + 1
        if row.scope is not None:
            scopes[row.scope] = scopes.get(row.scope, 0) + 1
    return Counts(unread, unseen, kinds, scopes)


def matching(rows: Iterable[Row], query: Query, now_ms: int) -> list[Row]:
    """The rows that the filter of `query` matches at `now_ms`, in their order; its cursors and limit do not count."""
    kept = shown(rows, now_ms)
    if query.archived == "exclude":
        kept = [row for row in kept if not row.flags & ARCHIVED]
    elif query.archived == "only":
        kept = [row for row in kept if row.flags & ARCHIVED]
    if query.unread is not None:
        wanted = 0 if query.unread else READ
        kept = [row for row in kept if row.flags & READ == wanted]
    if query.kind is not None:
        kept = [row for row in kept if row.kind == query.kind]
    if query.scope is not None:
        kept = [row for row in kept if row.scope == query.scope]
    return kept


def page(rows: Sequence[Row], query: Query, now_ms: int, counted: Counts | None = None) -> Page:
    """The page of the inbox `rows` that `query` asks for at `now_ms`.

    `counted`, if given, is `counts(rows, now_ms)`, for those who have it already.
    """
    matched = matching(rows, query, now_ms)
    top, bottom = 0, len(matched)  # of the rows between the cursors
    if query.before is not None:
        top = bisect_right(matched, -query.before, key=_descending)
    if query.after is not None:
        bottom = bisect_left(matched, -query.after, key=_descending)
    limit = max(1, min(query.limit, LIMIT_MAX))
    if query.after is not None:
        top = max(top, bottom - limit)
    else:
        bottom = min(bottom, top + limit)
    if counted is None:
        counted = counts(rows, now_ms)
    return Page(
        rows=matched[top:bottom],
        total=len(matched),
        unread=counted.unread,
        unseen=counted.unseen,
        next=_below(matched, top, bottom, query),
        prev=_above(matched, top, bottom, query),
    )


def _descending(row: Row) -> int:
    return -row.seq


def _below(matched: Sequence[Row], top: int, bottom: int, query: Query) -> int | None:
    """What to pass as `before` for the page below rows `top` to `bottom`; an empty page goes on from its cursor."""
    if top < bottom:
        return matched[bottom - 1].seq if bottom < len(matched) else None
    return query.after + 1 if query.after is not None and bottom < len(matched) else None


def _above(matched: Sequence[Row], top: int, bottom: int, query: Query) -> int | None:
    if top < bottom:
        return matched[top].seq if top > 0 else None
    return query.before - 1 if query.before is not None and top > 0 else None
