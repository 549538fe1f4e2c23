"""`fanbell doctor` of a cluster: what it makes of what it sees."""

import pytest

from fanbell.infra.cli.doctor_cluster import CLOCK_MAX_MS, clock, lag_of, topics
from fanbell.streams.topics_kafka import Planned


def planned(name: str, **more: object) -> Planned:
    return Planned(**{"topic": name, "state": "ok", "partitions": 4, "replication_factor": 1} | more)  # type: ignore[arg-type]


def test_topics_as_they_must_be_pass() -> None:
    """
    Topics that need nothing are well; how many partitions there are is said.
    """
    found = topics([planned("activities"), planned("dead", partitions=1)])

    assert found.verdict == "ok"
    assert "4 partitions" in found.seen


@pytest.mark.parametrize(
    ("more", "seen", "hint"),
    [
        ({"state": "create"}, "missing: routed", "topics apply"),
        ({"state": "differs", "differs": {"retention.ms": ("1", "-1")}}, "otherwise", "topics apply"),
        ({"state": "differs", "left": ("4 partitions, not 8",)}, "routed: 4 partitions, not 8", "partitions"),
    ],
)
def test_a_topic_that_is_not_is_named_with_what_to_do(more: dict[str, object], seen: str, hint: str) -> None:
    """
    One topic that is missing, set otherwise or of other partitions fails the check, by name.
    """
    found = topics([planned("activities"), planned("routed", **more)])

    assert found.verdict == "bad"
    assert seen in found.seen
    assert "activities" not in found.seen
    assert hint in found.hint


@pytest.mark.parametrize("sign", [-1, 1])
def test_clocks_that_are_far_apart_are_told(sign: int) -> None:
    """
    A machine whose clock is some seconds off, in either direction, is told to keep time.
    """
    assert clock(sign * CLOCK_MAX_MS).verdict == "ok"
    found = clock(sign * (CLOCK_MAX_MS + 1))

    assert found.verdict == "bad"
    assert ("behind" if sign > 0 else "ahead") in found.seen
    assert "NTP" in found.hint


def test_the_stage_that_is_behind_most_is_named() -> None:
    """
    Lag is well up to what makes a process not ready, and beyond it the stage and the partition are named.
    """
    behind = {("route", 0): 3, ("fan_out", 2): 10, ("forward", 1): 0}

    assert lag_of(dict.fromkeys(behind, 0), 10).verdict == "ok"
    assert lag_of(behind, 10).verdict == "ok"
    found = lag_of(behind, 9)
    assert (found.verdict, "fan_out[2]" in found.seen) == ("bad", True)
    assert "fanbell worker" in found.hint
