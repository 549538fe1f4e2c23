"""Pages and counters are the same rows, seen by the same functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.projections.rows import Query, counts, expires_next, matching, page
from fanbell.projections.store import ARCHIVED, READ, SEEN, Row


def row(
    seq: int, flags: int = 0, kind: str = "post", scope: str | None = None, expires_at: int | None = None
) -> Row:
    return Row(seq, seq, flags, kind, scope, expires_at, seq)


TEN = [row(seq) for seq in range(10, 0, -1)]

inboxes = st.builds(
    lambda found: [row(seq, *rest) for seq, *rest in sorted(found, key=lambda fields: -fields[0])],
    st.lists(
        st.tuples(
            st.integers(1, 40),
            st.integers(0, 15),
            st.sampled_from(("post", "like")),
            st.sampled_from((None, "room")),
            st.sampled_from((None, 5, 10, 15)),
        ),
        unique_by=lambda fields: fields[0],
    ),
)
filters = st.builds(
    Query,
    limit=st.integers(1, 7),
    unread=st.sampled_from((None, True, False)),
    kind=st.sampled_from((None, "post", "like", "other")),
    scope=st.sampled_from((None, "room")),
    archived=st.sampled_from(("exclude", "include", "only")),
)


def with_cursor(query: Query, before: int | None = None, after: int | None = None) -> Query:
    fields = {name: getattr(query, name) for name in query.__struct_fields__}
    return Query(**(fields | {"before": before, "after": after}))


def seqs(rows: list[Row]) -> list[int]:
    return [found.seq for found in rows]


def test_first_page_is_the_newest() -> None:
    """
    Without a cursor a page is the newest rows, and says where to go on.
    """
    found = page(TEN, Query(limit=3), 0)
    assert (seqs(found.rows), found.total, found.next, found.prev) == ([10, 9, 8], 10, 8, None)


def test_page_below_a_cursor() -> None:
    """
    `before` gives the rows directly below it.
    """
    found = page(TEN, Query(limit=3, before=8), 0)
    assert (seqs(found.rows), found.next, found.prev) == ([7, 6, 5], 5, 7)


def test_page_above_a_cursor_is_the_one_directly_above() -> None:
    """
    `after` gives the rows directly above it, still newest first.
    """
    found = page(TEN, Query(limit=3, after=4), 0)
    assert (seqs(found.rows), found.next, found.prev) == ([7, 6, 5], 5, 7)


def test_last_page_has_no_next() -> None:
    """
    Where nothing is further down or up, there is no cursor for it.
    """
    assert page(TEN, Query(limit=3, before=3), 0).next is None
    assert page(TEN, Query(limit=3, after=8), 0).prev is None
    assert page([], Query(), 0).next is None


def test_empty_page_goes_on_from_its_cursor() -> None:
    """
    A page beyond the end says the way back.
    """
    below = page(TEN, Query(before=1), 0)
    assert (below.rows, below.next, below.prev) == ([], None, 0)
    above = page(TEN, Query(after=10), 0)
    assert (above.rows, above.next, above.prev) == ([], 11, None)


def test_cursor_need_not_be_a_row() -> None:
    """
    A cursor whose row is gone still stands for its place.
    """
    rows = [found for found in TEN if found.seq not in (5, 6)]
    assert seqs(page(rows, Query(limit=2, before=6), 0).rows) == [4, 3]
    assert seqs(page(rows, Query(limit=2, after=5), 0).rows) == [8, 7]


def test_expired_rows_are_nowhere() -> None:
    """
    An expired row is on no page and in no counter, from its very millisecond on.
    """
    rows = [row(2, expires_at=100), row(1)]
    assert seqs(page(rows, Query(), 99).rows) == [2, 1]
    assert (seqs(page(rows, Query(), 100).rows), counts(rows, 100).unread) == ([1], 1)
    assert (expires_next(rows, 99), expires_next(rows, 100)) == (100, None)


def test_archived_rows_show_where_asked_for() -> None:
    """
    Archived rows are left out unless asked for, and never counted.
    """
    rows = [row(2, ARCHIVED), row(1)]
    assert [seqs(matching(rows, Query(archived=how), 0)) for how in ("exclude", "include", "only")] == [
        [1],
        [2, 1],
        [2],
    ]  # type: ignore[arg-type]
    assert (counts(rows, 0).unread, counts(rows, 0).unseen) == (1, 1)


def test_counters_by_kind_and_scope_are_of_the_unread() -> None:
    """
    Kinds and scopes count what is unread.
    """
    rows = [
        row(4, 0, "like", "room"),
        row(3, SEEN, "post", "room"),
        row(2, READ | SEEN, "like", "room"),
        row(1),
    ]
    found = counts(rows, 0)
    assert (found.unread, found.unseen) == (3, 2)
    assert (found.kinds, found.scopes) == ({"like": 1, "post": 2}, {"room": 2})


@pytest.mark.parametrize(("limit", "length"), [(0, 1), (1_000, 200)])
def test_limit_is_bounded(limit: int, length: int) -> None:
    """
    No page is empty for its limit, nor longer than 200 rows.
    """
    assert len(page([row(seq) for seq in range(300, 0, -1)], Query(limit=limit), 0).rows) == length


@given(inbox=inboxes, query=filters)
def test_pages_downward_are_the_list(inbox: list[Row], query: Query) -> None:
    """
    Going from page to page downward, and back up, meets every row that the filter matches, once, in order.
    """
    expected = seqs(matching(inbox, query, 7))
    first = found = page(inbox, query, 7)
    down = seqs(found.rows)
    while found.next is not None:
        found = page(inbox, with_cursor(query, before=found.next), 7)
        assert found.rows
        down += seqs(found.rows)
    up = [found]
    while found.prev is not None:
        found = page(inbox, with_cursor(query, after=found.prev), 7)
        up.insert(0, found)
    assert down == expected
    assert [seq for one in up for seq in seqs(one.rows)] == expected
    assert {one.total for one in up} == {len(expected)}
    assert first.prev is None


@given(inbox=inboxes, now_ms=st.integers(0, 20))
def test_counters_equal_the_list(inbox: list[Row], now_ms: int) -> None:
    """
    The counters are what going through the list counts.
    """
    found = page(inbox, Query(limit=200), now_ms)
    assert found.unread == sum(not shown.flags & READ for shown in found.rows)
    assert found.unseen == sum(not shown.flags & SEEN for shown in found.rows)
    assert found.unread == page(inbox, Query(unread=True), now_ms).total
    for kind, count in counts(inbox, now_ms).kinds.items():
        assert count == page(inbox, Query(unread=True, kind=kind), now_ms).total
    for scope, count in counts(inbox, now_ms).scopes.items():
        assert count == page(inbox, Query(unread=True, scope=scope), now_ms).total
