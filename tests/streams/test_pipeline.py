"""The whole pipeline against the brute-force model, on random histories.

FANBELL_TEST_EXAMPLES=5000 looks for longer than `make test` does.
"""

import os
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.streams import folds
from fanbell.streams.folds import Folds
from tests.streams.expected import Expected
from tests.streams.histories import RULES, SCOPES, START_MS, USERS, Item, histories, play
from tests.streams.pipeline import Pipeline

EXAMPLES = int(os.environ.get("FANBELL_TEST_EXAMPLES", "300"))
PEOPLE = [*USERS, *SCOPES, "p0"]  # what is followed hears of it, whatever it is
FORGETFUL = RULES.replace("[limits]", "[limits]\ntold = 6")
"""So little can be taken back that much is forgotten."""
History = list[tuple[Item, int]]
some = settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(some, max_examples=EXAMPLES)


DELETED_WHILE_WAITING: History = [
    (activity, START_MS)
    for activity in (
        Activity("a", "post", "u0", "p0"),
        Activity("b", "comment", "u1", "c0", target="p0"),
        Activity("c", "comment", "u0", "c2", target="c1", thread="p0"),
        Activity("d", "delete", "u2", "c1"),
        Activity("e", "comment", "u2", "c1", target="p0"),
    )
]
"""c and d wait for c1, and the thread p0 hears of c only after d: d takes that back too."""


def seen_by(taker: Any) -> dict[str, list[dict[str, Any]]]:
    """Every inbox, without places: partitions count them apart."""
    return {user: [{**item, "place": None} for item in taker.inbox(user)] for user in PEOPLE}


def became_of(history: History, model: Expected) -> dict[str, Any]:
    """Of each activity: how many heard, and how many each rule silenced."""
    ids = {item.id for item, _ in history if isinstance(item, Activity | Change)}
    fates = {
        id_: Counter({fate: n for (other, fate), n in model.fates.items() if other == id_}) for id_ in ids
    }
    return {id_: (fate.pop("heard", 0), fate) for id_, fate in fates.items()}


def check_same(model: Expected, pipeline: Pipeline, history: History) -> None:
    assert seen_by(model) == seen_by(pipeline)
    assert sorted(model.dead) == sorted(pipeline.dead())
    expected = became_of(history, model)
    assert expected == {id_: pipeline.traced(id_) for id_ in expected}


def told(history: History) -> None:
    """Hypothesis shows it with a failure."""
    for item, at in history:
        note(f"{at - START_MS:>9} {item}")


@many
@given(histories())
@example(DELETED_WHILE_WAITING)
def test_inboxes_are_what_the_model_says(history: History) -> None:
    """
    Whatever happens, in whatever order, inboxes are what the design's words say, however many partitions there are.
    """
    told(history)
    for partitions in (1, 2, 8):
        model, pipeline = Expected(RULES), Pipeline(RULES, partitions)
        play(history, model, pipeline)
        check_same(model, pipeline, history)


def elsewhere(key: str, partitions: int) -> int:
    """Where a producer puts it that computes partitions in another way."""
    return (partition_of(key, partitions) + 1) % partitions


_catch_up = Folds._catch_up


def catch_up_all(self: Folds, replica: Any, own_ms: int, timestamp_ms: int) -> None:
    """As `Folds` does it, for every partition that what is put into one may be sent on to."""
    for each in self.routes if replica in self.routes else (replica,):
        _catch_up(self, each, own_ms, timestamp_ms)


@some
@given(histories())
@example(DELETED_WHILE_WAITING)
def test_inboxes_are_the_same_wherever_producers_put_things(history: History) -> None:
    """
    With every activity in another partition than its entity's, inboxes are what the model says, and all are counted.
    """
    told(history)
    for partitions in (2, 8):
        model, pipeline = Expected(RULES), Pipeline(RULES, partitions)
        with (
            patch.object(folds, "partition_of", elsewhere),
            patch.object(Folds, "_catch_up", catch_up_all),
        ):
            play(history, model, pipeline)
            check_same(model, pipeline, history)
        activities = [item for item, _ in history if isinstance(item, Activity)]
        assert sum(route.fold.strays for route in pipeline.runner.routes) == len(activities)


@some
@given(histories(), st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=4))
def test_reopened_from_snapshots_is_never_stopped(history: History, stops: list[tuple[int, bool]]) -> None:
    """
    Stopped and opened again, from snapshots and the log or from the log alone, everything goes on to the same bytes.
    """
    told(history)
    steady, stopped = Pipeline(FORGETFUL, 2), Pipeline(FORGETFUL, 2)
    at_stop = dict(stops)

    class Stopping:
        """Takes what `stopped` takes, and stops it on the way."""

        taken = 0
        inbox = staticmethod(stopped.inbox)

        def take(self, item: Activity | Change | None, at: int) -> None:
            stopped.take(item, at)
            self.taken += 1
            saves = at_stop.get(self.taken)
            if saves is not None:
                before = [replica.fold.dump() for replica in stopped.runner.replicas]
                if saves:
                    stopped.save()
                stopped.reopen()
                assert before == [replica.fold.dump() for replica in stopped.runner.replicas]
                if saves:  # a snapshot that cannot be loaded would be passed over, and the log folded anew
                    assert all(replica.saved == replica.offset for replica in stopped.runner.replicas)

    play(deepcopy(history), steady, Stopping())
    assert steady.notices() == stopped.notices()
    assert seen_by(steady) == seen_by(stopped)
    assert steady.dead() == stopped.dead()


OUTPUTS = """
from hashlib import sha256
from tests.streams.histories import RULES, lively, play
from tests.streams.pipeline import Pipeline
pipeline = Pipeline(RULES, 2)
play(lively(400), pipeline)
states = [replica.fold.dump() for replica in pipeline.runner.replicas]
print(sum(map(len, pipeline.notices())), sha256(repr((pipeline.notices(), states)).encode()).hexdigest())
"""


def test_outputs_do_not_hang_on_the_order_of_sets() -> None:
    """
    Two processes that hash strings differently put out the same bytes and save the same states.
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-c", OUTPUTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    one, other = (process.communicate()[0].split() for process in running)

    assert one == other
    assert int(one[0]) > 400
