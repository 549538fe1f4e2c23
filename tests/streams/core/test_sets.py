from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from fanbell.streams.core import sets
from fanbell.streams.core.sets import TUPLE_MAX, Ordinals, bitmap


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80))
def test_a_set_in_any_form_is_a_set(calls: list[tuple[bool, int]]) -> None:
    """
    Whatever is put in and taken out, a set of ordinals holds what a plain set holds, before and after a snapshot.
    """
    table: dict[str, Ordinals] = {}
    plain: set[int] = set()
    for puts, ordinal in calls:
        before = ordinal in plain
        if puts:
            assert sets.add(table, "a", ordinal) is not before
            plain.add(ordinal)
        else:
            assert sets.discard(table, "a", ordinal) is before
            plain.discard(ordinal)
        table = sets.loaded(sets.dumped(table))
        assert set(bitmap(table.get("a"))) == plain
        assert all(sets.contains(table.get("a"), other) is (other in plain) for other in range(31))
    assert ("a" in table) is bool(plain)


def test_a_set_takes_the_smallest_form() -> None:
    """
    One ordinal is an int, a few are a tuple, many a bitmap; none take no place.
    """
    table: dict[str, Ordinals] = {}
    forms = []
    for ordinal in range(TUPLE_MAX + 1):
        sets.add(table, "a", ordinal)
        forms.append(type(table["a"]))

    assert forms == [int] + [tuple] * (TUPLE_MAX - 1) + [BitMap]
    for ordinal in range(TUPLE_MAX + 1):
        sets.discard(table, "a", ordinal)
    assert table == {}
