"""What is known of an inbox without reading it errs on the side of keeping rows."""

from hypothesis import given
from hypothesis import strategies as st

from fanbell.projections.cassandra_held import Exact, Person

KEEP = 3


@given(st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60))
def test_what_is_trimmed_had_left(steps: list[int | None]) -> None:
    """
    Whatever comes and goes, a place below which rows are trimmed has as many rows above it as are kept.
    """
    person, rows = Person("ben"), set[int]()
    for seq, gone in enumerate(steps, 1):
        if gone is None:
            below = person.put(seq, KEEP)
            if below is not None:
                assert sum(row >= below for row in rows) >= KEEP
                rows = {row for row in rows if row >= below}
            rows.add(seq)
        else:
            person.gone(gone)
            rows.discard(gone)


def test_rows_stored_are_bounded() -> None:
    """
    With nothing taken back, no more than twice what is kept is stored, and few trims are needed.
    """
    person, stored, trims = Person("ben"), set[int](), 0
    for seq in range(1, 101):
        below = person.put(seq, KEEP)
        if below is not None:
            trims += 1
            stored = {row for row in stored if row >= below}
        stored.add(seq)
        assert len(stored) <= 2 * KEEP
    assert trims <= 100 // KEEP


def test_an_inbox_followed_exactly() -> None:
    """
    What left an inbox stays out of it, and only a full one has a floor.
    """
    exact = Exact([5, 4], KEEP)
    assert exact.floor() is None
    exact.put(6)
    assert exact.floor() == 4
    exact.put(7)
    assert exact.seqs == {5, 6, 7}
    exact.put(2)  # restored below the floor: it has left at once
    assert exact.seqs == {5, 6, 7}
