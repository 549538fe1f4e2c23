"""Bounds of one session and of one address."""

import pytest

from fanbell.edge.limits import Bucket, Places


def test_a_burst_and_then_the_rate() -> None:
    """
    After a silence a client may send its burst at once, and from then on the rate.
    """
    bucket = Bucket(2.0, 3, 100.0)

    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.5), bucket.take(100.5)] == [True, False]
    assert [bucket.take(1_000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_stands_gives_nothing() -> None:
    """
    Time that does not go on, or goes back, fills no bucket.
    """
    bucket = Bucket(1_000.0, 1, 100.0)

    assert [bucket.take(100.0), bucket.take(100.0), bucket.take(99.0)] == [True, False, False]


def test_places_are_counted_by_address() -> None:
    """
    An address has so many sessions and no more; others have their own; who leaves makes room, and leaves no trace.
    """
    places = Places(2)

    assert [places.enter(address) for address in ("a", "a", "a", "b")] == [True, True, False, True]
    places.leave("a")
    places.leave("a")
    assert places.enter("a")
    for address in ("a", "a", "b"):
        places.leave(address)
    assert len(places) == 0


@pytest.mark.parametrize("many", [1, 1_000])
def test_no_bound_of_sessions(many: int) -> None:
    """
    With 0 an address has as many sessions as it likes.
    """
    places = Places(0)

    assert all(places.enter("a") for _ in range(many))
