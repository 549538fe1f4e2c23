import pytest

from fanbell.streams.agents.checked import CHECKED, LEANED_ON, FaustChanged, check
from fanbell.streams.sources import name_of


def test_the_installed_faust_is_the_one_that_was_read() -> None:
    """
    What batches lean on in Faust is, to the letter, what they were written for.
    """
    check()


def test_all_that_is_leaned_on_was_read() -> None:
    """
    The table of what was read names what is leaned on, no more and no less.
    """
    assert {name_of(function) for function in LEANED_ON} == set(CHECKED)


def test_a_changed_function_is_named() -> None:
    """
    A Faust whose consumer works otherwise is refused, and the message says where, and what would be right.
    """

    def _drain_messages() -> None:
        """As another release may have it."""

    _drain_messages.__module__ = "faust.transport.consumer"
    _drain_messages.__qualname__ = "Consumer._drain_messages"

    with pytest.raises(
        FaustChanged, match=r"Consumer\._drain_messages \(\w{8}\): install faust-streaming==0.15.3"
    ):
        check([*LEANED_ON[:3], _drain_messages])


def test_what_the_worker_leans_on_is_read_too() -> None:
    """
    How Faust says that it crashed, that it gives out partitions, and how its services wait, is among what is checked.
    """
    names = {name.removeprefix("faust.app.base.").removeprefix("mode.services.") for name in CHECKED}
    assert names >= {
        "Service._crash", "Service.crash_reason", "Service.wait", "Service.wait_first", "App.on_rebalance_start",
        "App.on_rebalance_end",
    }  # fmt: skip
