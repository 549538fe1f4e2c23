"""higgs-twitter, as activities and changes. Read where it is (see `data.py`); never copied.

Rows of one author and second are one message `m<author>:<second>`. What is ours and not the data's: each message is
also a post of its author's (synthetic); what was reposted or answered is not identified, so each author has one
stand-in entity `of<author>` for it; and an answer's mentions go into the answer, as a person would have written it.
"""

import gzip
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from fanbell.schemas.limits import MENTIONS_MAX
from fanbell.schemas.records import Activity, Change

KINDS: Final = {"RT": "repost", "RE": "comment"}


def _lines(data: Path, name: str) -> Iterator[list[str]]:
    with gzip.open(data / "higgs-twitter" / name, "rt", encoding="ascii") as lines:
        for line in lines:
            yield line.split()


def follows(data: Path) -> Iterator[Change]:
    """The partial graph, in the file's order; who follows themselves there is left out."""
    for number, (user, followed) in enumerate(_lines(data, "higgs-social_network.first355074.edgelist.gz")):
        if user != followed:
            yield Change(f"f{number}", "follow", f"u{user}", object=f"u{followed}")


def messages(data: Path, at_most: int | None = None) -> Iterator[list[Activity]]:
    """What each message does, in the order of time: the post, then reposts and comments, or the mention."""
    rows = _lines(data, "higgs-activity_time.txt.gz")
    by_message = groupby(_in_order(rows), key=lambda row: (row[2], row[0]))
    for (second, author), found in islice(by_message, at_most):
        yield _message(author, second, [(kind, f"u{other}") for _, other, _, kind in found])


def _in_order(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows of one second by author, each author's in the file's order."""
    for _, same in groupby(rows, key=lambda row: row[2]):
        yield from sorted(same, key=lambda row: int(row[0]))


def _message(author: str, second: str, rows: list[tuple[str, str]]) -> list[Activity]:
    entity, at_ms = f"m{author}:{second}", int(second) * 1_000
    mentions = list(dict.fromkeys(other for kind, other in rows if kind == "MT"))[:MENTIONS_MAX]
    made = [Activity(f"p{entity}", "post", f"u{author}", entity, occurred_at=at_ms)]
    for number, (kind, other) in enumerate(row for row in rows if row[0] in KINDS):
        stands_for = f"of{other[1:]}"
        activity = Activity(
            f"{kind}{number}{entity}", KINDS[kind], f"u{author}", stands_for, owner=other, occurred_at=at_ms
        )
        if kind == "RE":
            activity.object, activity.target = f"c{number}{entity}", stands_for
        made.append(activity)
    if len(made) > 1:
        made[1].mentions = mentions
    elif mentions:
        made.append(
            Activity(f"MT{entity}", "mention", f"u{author}", entity, mentions=mentions, occurred_at=at_ms)
        )
    return made
