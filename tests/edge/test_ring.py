"""The recent notices of one partition."""

import pytest

from fanbell.edge.ring import Gap, Ring
from fanbell.schemas.records import Notice, Told


def notice(seq: int, names: int = 1) -> tuple[int, Told]:
    return seq + 9, Notice(0, 0, -1, -1, seq, "post", b"", [f"u{i}" for i in range(names)])


def seqs(entries: object) -> list[int]:
    assert isinstance(entries, list)
    return [entry.told.seq for entry in entries]


def test_records_are_taken_once() -> None:
    """
    A record that is told twice counts once.
    """
    ring = Ring()
    ring.take([notice(1), notice(2)])

    assert seqs(ring.take([notice(1), notice(2), notice(3)])) == [3]
    assert ring.seq == 3
    assert ring.offset == 12


def test_a_gap_is_seen_before_anything_is_taken() -> None:
    """
    A missing record is noticed, and the offset to read on from is named.
    """
    ring = Ring()
    ring.take([notice(1)])

    with pytest.raises(Gap) as gap:
        ring.take([notice(2), notice(4)])
    assert gap.value.offset == 11
    assert ring.seq == 1


def test_what_came_since_is_given_in_order() -> None:
    """
    A resuming client is given the records above its cursor, in order.
    """
    ring = Ring()
    ring.take([notice(seq) for seq in range(1, 6)])

    assert seqs(ring.since(3)) == [4, 5]
    assert ring.since(5) == []


def test_what_was_dropped_is_said_to_be_missing() -> None:
    """
    A ring that no longer has everything since a cursor says so, instead of giving a part.
    """
    ring = Ring(records_max=2)
    ring.take([notice(seq) for seq in range(1, 6)])

    assert len(ring) == 2
    assert seqs(ring.since(3)) == [4, 5]
    assert ring.since(2) is None


def test_a_ring_is_bounded_in_names() -> None:
    """
    Notices with very many recipients leave the ring sooner.
    """
    ring = Ring(records_max=100, names_max=10)
    ring.take([notice(1, 6), notice(2, 6), notice(3, 3)])

    assert seqs(ring.since(1)) == [2, 3]
    assert ring.since(0) is None


def test_one_huge_notice_stays() -> None:
    """
    A single notice larger than the bound is still there for who resumes just before it.
    """
    ring = Ring(names_max=10)
    ring.take([notice(1, 50)])

    assert seqs(ring.since(0)) == [1]


def test_a_ring_can_begin_anywhere() -> None:
    """
    A ring that begins in the middle of the log takes the next record and has none before.
    """
    ring = Ring()
    ring.stand_at(15, 6)
    ring.take([notice(7)])

    assert seqs(ring.since(6)) == [7]
    assert ring.since(5) is None
