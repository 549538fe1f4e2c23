"""Frames that wait for a slow client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.edge.frames import Frame
from fanbell.edge.mailbox import Mailbox


def frame(seq: int, key: str = "", size: int = 10) -> Frame:
    return Frame(seq, key, True, b"x" * size)


def taken(mailbox: Mailbox) -> list[int]:
    return [mailbox.take().seq for _ in range(len(mailbox))]


def test_frames_come_out_in_order() -> None:
    """
    What waits is read in the order in which it happened.
    """
    mailbox = Mailbox(10, 1_000)
    for seq in (1, 2, 3):
        assert mailbox.put(frame(seq))

    assert taken(mailbox) == [1, 2, 3]


def test_a_newer_state_makes_the_older_one_useless() -> None:
    """
    Of two waiting frames that tell a row's whole state only the newer is sent, in the newer one's place.
    """
    mailbox = Mailbox(10, 1_000)
    for seq, key in ((1, "n:a"), (2, "n:b"), (3, "n:a")):
        mailbox.put(frame(seq, key))

    assert taken(mailbox) == [2, 3]


def test_a_full_mailbox_takes_nothing_more() -> None:
    """
    The bound in frames holds, and what did not fit changes nothing.
    """
    mailbox = Mailbox(2, 1_000)
    mailbox.put(frame(1))
    mailbox.put(frame(2))

    assert not mailbox.put(frame(3))
    assert taken(mailbox) == [1, 2]


def test_a_mailbox_is_bounded_in_bytes() -> None:
    """
    The bound in bytes holds too.
    """
    mailbox = Mailbox(100, 25)
    assert mailbox.put(frame(1))
    assert mailbox.put(frame(2))
    assert not mailbox.put(frame(3))
    assert mailbox.bytes == 20


def test_replacing_frees_room_first() -> None:
    """
    A full mailbox still takes a frame that makes a waiting one useless.
    """
    mailbox = Mailbox(2, 1_000)
    mailbox.put(frame(1, "counts"))
    mailbox.put(frame(2))

    assert mailbox.put(frame(3, "counts"))
    assert taken(mailbox) == [2, 3]


def test_nothing_comes_out_of_an_empty_mailbox() -> None:
    """
    Taking from an empty mailbox is an error.
    """
    with pytest.raises(KeyError):
        Mailbox(1, 1).take()


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(1, 40)), max_size=60))
def test_bounds_and_order_hold_whatever_comes(puts: list[tuple[str, int]]) -> None:
    """
    Whatever is put: order of arrival, at most one frame per key, both bounds, and bytes that add up.
    """
    mailbox = Mailbox(8, 120)
    accepted = [
        frame(seq, key, size) for seq, (key, size) in enumerate(puts) if mailbox.put(frame(seq, key, size))
    ]
    waiting = list(mailbox)

    assert [one.seq for one in waiting] == sorted(one.seq for one in waiting)
    assert len(waiting) == len(mailbox) <= 8
    assert sum(len(one.data) for one in waiting) == mailbox.bytes <= 120
    keys = [one.key for one in waiting if one.key]
    assert len(keys) == len(set(keys))
    assert {one.seq for one in accepted if not one.key} == {one.seq for one in waiting if not one.key}
