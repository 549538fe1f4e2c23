"""Real data end to end, recipient by recipient against the model.

`make test` takes a slice of each set, FANBELL_TEST_DATA=whole all that the files hold (the graph of higgs-twitter is
itself a part of the published one). The graphs have no times: follows and mutes come one each `APART_MS` (synthetic).
"""

import os
import resource
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data, higgs
from fanbell.schemas.codec import encode
from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.kinds import default_source
from tests.streams.expected import Expected
from tests.streams.pipeline import Pipeline

WHOLE = os.environ.get("FANBELL_TEST_DATA") == "whole"
FOLDER = data.folder()
SOURCE = default_source()
APART_MS = (
    100  # else a whole graph would wait for one moment, and the model looks at all that waits each time
)
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(FOLDER is None, reason="the data sets (../shared/data) are not on this machine"),
]
History = Iterable[tuple[Activity | Change, int]]


@pytest.fixture
def folder() -> Path:
    assert FOLDER is not None
    return FOLDER


def apart(graph: Iterable[Activity | Change], since: int) -> History:
    """A graph as a history: one edge after the other."""
    return [(edge, since + number * APART_MS) for number, edge in enumerate(graph)]


def fate_of(history: History, partitions: int) -> tuple[Expected, Pipeline, set[str]]:
    """What the model and the pipeline make of it, and everybody concerned."""
    model, pipeline = Expected(SOURCE), Pipeline(SOURCE, partitions)
    people: set[str] = set()
    now = 0
    for item, now in history:
        model.take(item, now)
        pipeline.append(encode(item), now)
        if isinstance(item, Activity):
            people |= {item.actor, item.owner or item.actor, *item.mentions}
        else:
            people |= {item.user, item.object or item.user}
    for taker in (model, pipeline):
        taker.take(None, now + 3_600_000)
    return model, pipeline, people


def check_same(model: Expected, pipeline: Pipeline, people: set[str]) -> int:
    """Compare inbox by inbox, and say how many; how many notifications there are."""
    total = 0
    for person in sorted(people):
        expected: list[dict[str, Any]] = [{**item, "place": None} for item in model.inbox(person)]
        assert [{**item, "place": None} for item in pipeline.inbox(person)] == expected, person
        total += len(expected)
    assert sorted(model.dead) == sorted(pipeline.dead())
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{len(people):,} recipients with {total:,} notifications are equal; {memory_mb:,} MB at most")
    return total


def test_melcup17(folder: Path) -> None:
    """
    Posts, reposts, comments, quotes and likes around the Melbourne Cup reach whom they should. (The likes' times are
    synthetic.)
    """
    town = data.Melcup(folder)
    events = town.events()[: None if WHOLE else 2_500]
    start = events[0].occurred_at or 0
    authors = {event.actor for event in events}
    follows = [follow for follow in town.follows() if WHOLE or follow.object in authors]
    graph = apart(follows, start - data.FOLLOWED_BEFORE_MS)

    model, pipeline, people = fate_of([*graph, *((event, event.occurred_at or 0) for event in events)], 8)

    assert check_same(model, pipeline, people) > 40_000


def test_higgs_twitter(folder: Path) -> None:
    """
    A rumour's reposts, answers and mentions, one message at a time, reach exactly whom they should; the leading name of
    an answer is told once. (That each message is also a post is synthetic.)
    """
    events = [activity for made in higgs.messages(folder, None if WHOLE else 5_000) for activity in made]
    authors = {event.actor for event in events}
    start = events[0].occurred_at or 0
    follows = [follow for follow in higgs.follows(folder) if WHOLE or follow.object in authors]
    graph = apart(follows, start - data.FOLLOWED_BEFORE_MS)

    model, pipeline, people = fate_of([*graph, *((event, event.occurred_at or 0) for event in events)], 4)

    assert check_same(model, pipeline, people) > 10_000


def test_slashdot_zoo(folder: Path) -> None:
    """
    Who is muted as a foe is not heard, who is followed as a friend is. (What people do is synthetic: each posts, and
    mentions everybody who has a word on them.)
    """
    now = 1_700_000_000_000
    edges = list(islice(data.slashdot(folder), None if WHOLE else 12_000))
    judges: dict[str, list[str]] = {}
    for edge in edges:
        judges.setdefault(edge.object or "", []).append(edge.user)
    posts = [
        Activity(f"p{person}.{at}", "post", person, f"e{person}.{at}", mentions=some[at : at + 50])
        for person, some in judges.items()
        for at in range(0, len(some), 50)
    ]

    model, pipeline, people = fate_of(
        [*apart(edges, now - data.FOLLOWED_BEFORE_MS), *((post, now) for post in posts)], 8
    )

    assert check_same(model, pipeline, people) > 15_000
    mutes = [edge for edge in edges if edge.kind == "mute"]
    muted = [n for (id_, fate), n in model.fates.items() if fate == "mute" and id_.startswith("p")]
    assert sum(muted) == len(mutes) > 1_000
