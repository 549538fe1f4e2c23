"""The table of close codes, and what a client makes of it."""

from fanbell.edge.close_codes import CLOSE_CODES, WAIT_MS_MAX, comes_back, wait_ms


def test_codes_and_names_are_unique() -> None:
    """
    A code says one thing.
    """
    assert (
        len({row.code for row in CLOSE_CODES}) == len(CLOSE_CODES) == len({row.name for row in CLOSE_CODES})
    )


def test_our_codes_follow_their_ranges() -> None:
    """
    Of our own codes, 4000–4499 ask the client to stay away and 4500–4999 to come back, so that old clients know.
    """
    own = [row for row in CLOSE_CODES if row.code >= 4000]

    assert all(row.comes_back == (row.code >= 4500) for row in own)


def test_unknown_codes_go_by_their_range() -> None:
    """
    A client that meets a code of a later server still does the right thing.
    """
    assert comes_back(4777)
    assert not comes_back(4477)
    assert not comes_back(1008)
    assert comes_back(None)


def test_waits_grow_and_are_bounded() -> None:
    """
    Who fails again and again waits longer, but never much longer than half a minute.
    """
    waits = [wait_ms(1001, failures, 1.0) for failures in range(12)]

    assert waits == sorted(waits)
    assert waits[0] == 500
    assert waits[-1] == WAIT_MS_MAX


def test_a_slow_client_resumes_at_once() -> None:
    """
    Who was asked to resume need not wait the first time.
    """
    assert wait_ms(4500, 0, 1.0) == 0
    assert wait_ms(4500, 1, 1.0) > 0
