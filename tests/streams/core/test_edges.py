from hypothesis import given
from hypothesis import strategies as st

from fanbell.streams.core.edges import BUCKETS, MANY, Edges

HASHES = st.sampled_from([5, 5 + BUCKETS, 6, 2**64 - 1])  # two that share a bucket


@given(st.lists(st.tuples(st.booleans(), HASHES, st.integers(0, 9)), max_size=120))
def test_edges_are_a_set_for_each_id(calls: list[tuple[bool, int, int]]) -> None:
    """
    Edges hold what a plain set of pairs holds, before and after a snapshot.
    """
    edges, plain = Edges(), set[tuple[int, int]]()
    for adds, hash_, ordinal in calls:
        before = (hash_, ordinal) in plain
        if adds:
            assert edges.add(hash_, ordinal) is not before
            plain.add((hash_, ordinal))
        else:
            assert edges.discard(hash_, ordinal) is before
            plain.discard((hash_, ordinal))
    loaded = Edges.load(edges.dump())

    assert loaded.dump() == edges.dump()
    for some in (edges, loaded):
        assert len(some) == len(plain)
        for hash_ in {hash_ for _, hash_, _ in calls}:
            expected = {ordinal for other, ordinal in plain if other == hash_}
            assert set(some.get(hash_) or ()) == expected
            assert all(some.has(hash_, ordinal) is (ordinal in expected) for ordinal in range(10))


def test_an_id_with_many_edges_changes_form_and_back() -> None:
    """
    Above the bound a set is a bitmap, well below it an array again; what it holds is the same, its neighbours stay.
    """
    edges = Edges()
    for neighbour in (1, 1 + 2 * BUCKETS):
        edges.add(neighbour, 7)
    id_ = 1 + BUCKETS

    for count in range(1, 2 * MANY):
        assert edges.add(id_, 3 * count)
        assert not edges.add(id_, 3 * count)
        assert list(edges.get(id_) or ()) == [3 * number for number in range(1, count + 1)]
    edges = Edges.load(edges.dump())
    for count in range(1, 2 * MANY):
        assert edges.discard(id_, 3 * count)
        assert not edges.discard(id_, 3 * count)
        assert list(edges.get(id_) or ()) == [3 * number for number in range(count + 1, 2 * MANY)]

    assert edges.get(id_) is None
    assert edges.has(1, 7)
    assert edges.has(1 + 2 * BUCKETS, 7)
    assert len(edges) == 2
