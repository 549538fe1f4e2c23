"""The embedded runner: one order, whatever the number of partitions."""

import pytest

from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.kinds import default_source
from tests.streams.pipeline import Pipeline

NOW_MS = 1_760_000_000_000


def heard(pipeline: Pipeline, user: str) -> list[tuple[str, int]]:
    """(kind, count) of what the user's inbox shows, newest first."""
    return [(item["kind"], item["count"]) for item in pipeline.inbox(user)]


@pytest.mark.parametrize("partitions", [1, 2, 8])
def test_what_is_released_together_goes_home_in_order(partitions: int) -> None:
    """
    Several answers that waited for one comment all reach their thread, each partition's records in their order.
    """
    pipeline = Pipeline(default_source(), partitions)
    pipeline.take(Activity("1", "post", "ana", "p"), NOW_MS)
    pipeline.take(Activity("2", "comment", "di", "c0", target="p"), NOW_MS)
    for id_, actor in (("3", "bo"), ("4", "cy")):
        pipeline.take(Activity(id_, "comment", actor, f"c{id_}", target="c"), NOW_MS)
    pipeline.take(Activity("5", "like", "ana", "c3"), NOW_MS)

    pipeline.take(Activity("6", "comment", "ed", "c", target="p"), NOW_MS)
    pipeline.tick(NOW_MS + 5_000)

    assert heard(pipeline, "ed") == [("comment", 2)]
    assert heard(pipeline, "di") == [("comment", 2), ("comment", 1)]
    assert heard(pipeline, "bo")[:1] == [("like", 1)]
    assert pipeline.dead() == []


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_tick_does_not_run_ahead_of_fold_time_where_only_some_lag(partitions: int) -> None:
    """
    A tick that finds nothing due but in partitions that lag brings those up, and leaves fold time where it was.
    """
    pipeline = Pipeline(default_source(), partitions)
    pipeline.take(Activity("1", "post", "ana", "p"), NOW_MS)
    for id_ in ("2", "3"):
        pipeline.take(Activity(id_, "like", f"user{id_}", "p"), NOW_MS)
    elsewhere = next(
        name for name in ("bo", "cy", "di", "ed") if partition_of(name, 8) != partition_of("ana", 8)
    )
    pipeline.take(Change("4", "profile", elsewhere), NOW_MS + 6_000)

    pipeline.tick(NOW_MS + 60_000)

    assert pipeline.runner.clock_ms == NOW_MS + 6_000
    assert heard(pipeline, "ana") == [("like", 2)]


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_tick_goes_on_to_what_is_due_after_those_that_lag(partitions: int) -> None:
    """
    One tick brings up what lags and wakes what is due since.
    """
    pipeline = Pipeline(default_source(), partitions)
    pipeline.take(Activity("1", "like", "ana", "p"), NOW_MS)
    pipeline.take(Activity("2", "like", "bob", "p"), NOW_MS + 5_000)
    pipeline.take(Change("3", "profile", "cy"), NOW_MS + 601_000)

    pipeline.tick(NOW_MS + 700_000)

    assert pipeline.dead() == [("1", "unknown_entity"), ("2", "unknown_entity")]
