"""The checker notices: three lines of history for each thing that can go wrong."""

from collections.abc import Sequence
from typing import Any

from fanbell.clients.marks import counts_of
from tests.clients.checker import History, Place, check
from tests.clients.told import row

ROWS = [row("b", 2), row("a", 1)]


def wrong(*heard: Place, written: Sequence[Place] = (("a", 1), ("b", 2)), **more: Any) -> set[str]:
    """What is wrong with one device that heard this."""
    shown = more.pop("shown", ROWS)
    history = History(
        written, frozenset(more.pop("retracted", ())), {"phone": heard}, {"phone": shown},
        {"phone": more.pop("counted", counts_of(shown))}, ROWS, counts_of(ROWS),
    )  # fmt: skip
    return {one.what for one in check(history)}


def test_nothing_is_wrong_with_what_is_right() -> None:
    """
    Each once, in order; of a group at least the last.
    """
    assert wrong(("a", 1), ("b", 2)) == set()
    assert wrong(("b", 2), ("a", 3), written=[("a", 1), ("b", 2), ("a", 3)]) == set()


def test_it_sees_what_was_lost() -> None:
    """
    What was never given out is lost, unless it was taken back.
    """
    assert wrong(("a", 1)) == {"lost"}
    assert wrong(("a", 1), written=[("a", 1), ("a", 3)]) == {"lost"}
    assert wrong(("a", 1), retracted=["b"]) == set()


def test_it_sees_what_came_twice() -> None:
    """
    The same place twice is once too often; a group that grew is another place.
    """
    assert wrong(("a", 1), ("b", 2), ("b", 2)) == {"twice"}


def test_it_sees_what_came_out_of_order() -> None:
    """
    Places only grow.
    """
    assert wrong(("b", 2), ("a", 1)) == {"out of order"}


def test_it_sees_what_nobody_wrote() -> None:
    """
    What is not in the log was not to be given out.
    """
    assert wrong(("a", 1), ("b", 2), ("c", 3)) == {"unwanted"}


def test_it_sees_lists_and_counters_that_differ() -> None:
    """
    The list is the inbox, row by row, and the counters are those of the list.
    """
    heard: tuple[Place, ...] = (("a", 1), ("b", 2))

    assert wrong(*heard, shown=ROWS[::-1]) == {"another list"}
    assert "another row" in wrong(*heard, shown=[ROWS[0] | {"read": True}, ROWS[1]], counted=counts_of(ROWS))
    assert "other counters" in wrong(*heard, counted=counts_of(ROWS[:1]))
    assert "counters are not of the list" in wrong(*heard, counted=counts_of(ROWS[:1]))
