"""From what was written and what each device was given, to what went wrong. Pure.

A *place* is (id, seq): a notification that is new, or has grown, at a place of its own. Of a group, the last place must
be heard; one before it may be left out, since its row says less.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from fanbell.clients.marks import counts_of

Place = tuple[str, int]
Row = Mapping[str, Any]


class History(NamedTuple):
    """`written`: places in the order of the log, `retracted` ids aside; `heard`: by device, in the order given out."""

    written: Sequence[Place]
    retracted: frozenset[str]
    heard: Mapping[str, Sequence[Place]]
    shown: Mapping[str, Sequence[Row]]
    counted: Mapping[str, Mapping[str, Any]]
    inbox: Sequence[Row]
    counts: Mapping[str, Any]


class Wrong(NamedTuple):
    what: str
    device: str
    detail: str


FOR_GOOD: Final = frozenset({"twice", "out of order"})
"""What no later frame puts right."""


def check(history: History) -> list[Wrong]:
    """All that went wrong."""
    return [
        Wrong(what, device, detail)
        for device, heard in history.heard.items()
        for what, detail in (
            *_heard(history, heard),
            *_shown(history, history.shown[device], history.counted[device]),
        )
    ]


def _heard(history: History, heard: Sequence[Place]) -> Iterator[tuple[str, str]]:
    written, last = set(history.written), dict(history.written)
    for place, times in Counter(heard).items():
        if times > 1:
            yield "twice", f"{place} {times} times"
        if place not in written:
            yield "unwanted", f"{place}"
    for place in set(last.items()) - set(heard):
        if place[0] not in history.retracted:
            yield "lost", f"{place}"
    for before, after in pairwise(heard):
        if after[1] < before[1]:
            yield "out of order", f"{after} after {before}"


def _shown(history: History, shown: Sequence[Row], counted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ids, wanted = [row["id"] for row in shown], [row["id"] for row in history.inbox]
    if ids != wanted:
        yield "another list", f"{ids} instead of {wanted}"
    else:
        for row, is_so in zip(shown, history.inbox, strict=True):
            if row != is_so:
                yield "another row", f"{_differing(row, is_so)} of {row['id']}"
    if counted != history.counts:
        yield "other counters", f"{counted} instead of {history.counts}"
    if counts_of(shown) != counted:
        yield "counters are not of the list", f"{counted} and {counts_of(shown)}"


def _differing(one: Row, other: Row) -> str:
    return ", ".join(
        f"{name} {one.get(name)} for {other[name]}" for name in other if one.get(name) != other[name]
    )
