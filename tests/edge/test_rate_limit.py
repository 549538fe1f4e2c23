import pytest

from fanbell.edge.rate_limit import BURST_S, RateLimit


def test_burst_passes_and_what_is_above_waits() -> None:
    """
    A full bucket lets a burst through, then refuses, and says when to come again.
    """
    limit = RateLimit(2.0)
    burst = [limit.take("ana", 0.0) for _ in range(2 * BURST_S)]
    refused = limit.take("ana", 0.0)

    assert all(allowance.allowed for allowance in burst)
    assert (refused.allowed, refused.remaining, refused.retry_after_s) == (False, 0, 1)


def test_bucket_refills() -> None:
    """
    After waiting as long as it was told, the next request passes.
    """
    limit = RateLimit(0.5)
    while limit.take("ana", 0.0).allowed:
        pass
    wait_s = limit.take("ana", 0.0).retry_after_s

    assert limit.take("ana", float(wait_s)).allowed


def test_names_do_not_share() -> None:
    """
    One name's requests take nothing from another's.
    """
    limit = RateLimit(0.2)
    limit.take("ana", 0.0)

    assert not limit.take("ana", 0.0).allowed
    assert limit.take("ben", 0.0).allowed


def test_numbers_tell_the_bucket() -> None:
    """
    Limit, remaining and reset are what the bucket holds at most, still holds, and needs to be full.
    """
    allowance = RateLimit(2.0).take("ana", 0.0)

    assert (allowance.limit, allowance.remaining, allowance.reset_s) == (10, 9, 1)


def test_table_is_bounded() -> None:
    """
    However many names come, only so many are remembered, the latest ones.
    """
    limit = RateLimit(1.0, names_max=3)
    for n in range(10):
        limit.take(str(n), 0.0)

    assert len(limit) == 3
    assert limit.take("9", 0.0).remaining == 3
    assert limit.take("0", 0.0).remaining == 4


def test_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    """
    A bucket never refills by a clock that runs backwards.
    """
    limit = RateLimit(0.2)
    limit.take("ana", 100.0)

    assert not limit.take("ana", 50.0).allowed


def test_limit_of_nothing_is_a_mistake() -> None:
    """
    A limit of zero is not made by accident.
    """
    with pytest.raises(ValueError, match="above zero"):
        RateLimit(0)
