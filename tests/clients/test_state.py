"""What a client makes of what an edge says."""

from collections.abc import Mapping, Sequence
from typing import Any

from fanbell.clients.state import State
from tests.clients.told import LOG, at, hello, notification, page, retract, row, state


def hear(client: State, *frames: Mapping[str, Any]) -> list[str]:
    """The ids of what is news in `frames`."""
    return [item["id"] for frame in frames for item in client.hear(frame)]


def ids(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def test_the_first_page_is_no_news() -> None:
    """
    What was there before is in the list, and is not given out as new; what comes then is.
    """
    client = State()

    assert hear(client, hello(unread=1), page(5, row("n1", 3))) == []
    assert hear(client, notification(row("n2", 6))) == ["n2"]
    assert ids(client.items) == ["n2", "n1"]
    assert client.cursor == at(6)
    assert client.live


def test_news_is_told_once() -> None:
    """
    A row that a page showed before its record was heard is not given out again when the record is.
    """
    client = State(at(2))

    assert hear(client, hello(), page(2, row("n3", 3))) == ["n3"]
    assert hear(client, hello(recovered=True), notification(row("n3", 3)), notification(row("n4", 4))) == [
        "n4"
    ]


def test_a_fresh_page_brings_what_was_missed() -> None:
    """
    Who was away too long is given out what is new on the fresh page, oldest first, and its list is the page.
    """
    client = State()
    hear(client, hello(), page(1), notification(row("n2", 2)), notification(row("n3", 3)))

    news = hear(client, hello(), page(9, row("n8", 8), row("n2", 7), row("n3", 3)))

    assert news == ["n2", "n8"]
    assert ids(client.items) == ["n8", "n2", "n3"]


def test_a_fresh_page_may_lack_news() -> None:
    """
    A page that does not reach down to what was told may lack news below it; a first page lacks none.
    """
    client = State()
    full = page(90, row("n90", 90), row("n80", 80), more=True)
    first = client.lacks(full)
    hear(client, hello(), page(1), notification(row("n2", 2)))

    assert not first
    assert client.lacks(full)
    assert not client.lacks(page(90, row("n90", 90), row("n2", 2), more=True))
    assert not client.lacks(page(90, row("n90", 90)))


def test_a_group_that_grew_is_news_again() -> None:
    """
    A row that moved to the front is given out once more, and stands there once.
    """
    client = State()
    hear(client, hello(), page(1), notification(row("g", 2)), notification(row("n3", 3)))

    assert hear(client, notification(row("g", 4))) == ["g"]
    assert ids(client.items) == ["g", "n3"]


def test_rows_change_where_they_stand() -> None:
    """
    A state changes a row in its place and is no news; one below all that is known is left out: the list has no holes.
    """
    client = State()
    hear(client, hello(), page(9, row("n8", 8), row("n5", 5), more=True))

    assert hear(client, state(10, row("n5", 5, read=True), row("n2", 2, read=True))) == []
    assert [(item["id"], item["read"]) for item in client.items] == [("n8", False), ("n5", True)]


def test_a_row_comes_back_to_its_place() -> None:
    """
    Archived rows leave the list, and come back to where they stood.
    """
    client = State()
    hear(client, hello(), page(9, row("n8", 8), row("n5", 5), row("n3", 3)))
    hear(client, state(10, row("n5", 5, archived=True)))
    without = ids(client.items)
    hear(client, state(11, row("n5", 5)))

    assert without == ["n8", "n3"]
    assert ids(client.items) == ["n8", "n5", "n3"]


def test_rows_below_the_oldest_of_the_inbox_are_dropped() -> None:
    """
    What a full inbox has pushed out goes with the hello of a resumed session, which says what its oldest row is.
    """
    client = State()
    hear(client, hello(keep=3), page(3, row("n8", 8), row("n5", 5), row("n3", 3)))
    hear(client, hello(keep=3, recovered=True, oldest=None))
    assert ids(client.items) == ["n8", "n5", "n3"]

    hear(client, hello(keep=3, recovered=True, oldest=at(5)))
    assert ids(client.items) == ["n8", "n5"]


def test_what_is_told_again_and_has_left_pushes_nothing_out() -> None:
    """
    A row that a full page does not show any more, told again after a cut, comes not in the place of one that it shows.
    """
    client = State()
    again = [notification(row(f"n{seq}", seq)) for seq in (4, 6)]
    hear(client, hello(keep=2), page(3, row("n8", 8), row("n5", 5)))

    assert hear(client, hello(keep=2, recovered=True), *again, retract("n6", 7)) == []
    assert "n5" in ids(client.items)
    assert hear(client, notification(row("n8", 8))) == []
    assert ids(client.items) == ["n8", "n5"]


def test_rows_leave() -> None:
    """
    Rows that were taken back, that have expired, and that a long absence has cost, are dropped.
    """
    client = State()
    hear(client, hello(), page(9, *(row(f"n{seq}", seq) for seq in (8, 7, 6, 5))))
    hear(client, retract("n8", 10), {"type": "gone", "ids": ["n7", "unknown"]})
    before = ids(client.items)
    hear(client, {"type": "kept", "ids": ["n5", "elsewhere"]})

    assert before == ["n6", "n5"]
    assert ids(client.items) == ["n5"]


def test_an_inbox_is_its_newest_rows() -> None:
    """
    Past as many rows as the edge says an inbox has, the oldest leave.
    """
    client = State()
    hear(client, hello(keep=2), page(0), *(notification(row(f"n{seq}", seq)) for seq in (1, 2, 3)))

    assert ids(client.items) == ["n3", "n2"]


def test_unknown_frames_change_nothing() -> None:
    """
    A frame of a later version does no harm.
    """
    client = State()
    hear(client, hello(), page(1, row("n1", 1)))

    assert hear(client, {"type": "of another day"}) == []
    assert (ids(client.items), client.cursor) == (["n1"], at(1))


def test_a_log_that_was_replaced() -> None:
    """
    In another log places begin anew: what is not at hand is news, and all that comes then.
    """
    client = State()
    hear(client, hello(), page(50, row("n50", 50)))

    news = hear(
        client,
        hello(epoch="log-2"),
        page(3, row("n3", 3, log="log-2"), row("n50", 2, log="log-2"), log="log-2"),
    )

    assert news == ["n3"]
    assert hear(client, notification(row("n4", 4, log="log-2"))) == ["n4"]


def test_a_log_that_lost_its_end() -> None:
    """
    After a log lost its end, what comes at places that were told before is news all the same.
    """
    client = State()
    hear(client, hello(), page(50, row("n50", 50), row("n40", 40)))

    assert hear(client, hello(), page(40, row("n40", 40))) == []
    assert hear(client, notification(row("n41", 41))) == ["n41"]


def test_an_edge_that_lags() -> None:
    """
    An edge that has heard less than the one before shows a page from the store; nothing on it is given out twice.
    """
    client = State()
    hear(client, hello(), page(7), notification(row("n8", 8)))

    assert hear(client, hello(), page(5, row("n9", 9), row("n8", 8))) == ["n9"]
    assert hear(client, notification(row("n10", 10))) == ["n10"]


def test_a_cursor_of_another_log_is_a_first_page() -> None:
    """
    A cursor that says nothing here gives the list, and no news.
    """
    for cursor in ("nonsense", "é" * 20, at(3, "another")):
        assert hear(State(cursor), hello(), page(9, row("n8", 8))) == []


def test_marks_show_at_once() -> None:
    """
    A mark shows in the list and the counters before anybody has answered.
    """
    client = State()
    hear(client, hello(unread=2), page(9, row("n8", 8), row("n5", 5)))
    client.mark("read", ["n8"])

    assert [item["read"] for item in client.items] == [True, False]
    assert client.counts == {"unread": 1, "unseen": 1, "kinds": {"post": 1}, "scopes": {}}


def test_a_refused_mark_is_taken_back() -> None:
    """
    List and counters are again what they were.
    """
    client = State()
    hear(client, hello(unread=1), page(9, row("n8", 8)))
    before = client.items, client.counts
    (mark,) = client.mark("archive", ["n8"])
    shown = client.items, client.counts["unread"]
    client.marks.drop(mark.ref)

    assert shown == ([], 0)
    assert (client.items, client.counts) == before


def test_an_accepted_mark_stays_until_it_is_shown() -> None:
    """
    Between the answer and the row's new state nothing flickers; then the edge's word counts, whoever spoke last.
    """
    client = State()
    hear(client, hello(unread=1), page(9, row("n8", 8)))
    (mark,) = client.mark("read", ["n8"])
    client.accepted(mark.ref)
    meanwhile = client.items[0]["read"]
    hear(client, state(10, row("n8", 8, read=True, seen=True)), state(11, row("n8", 8, seen=True)))

    assert meanwhile
    assert not client.items[0]["read"]


def test_a_mark_that_was_shown_before_its_answer_is_not_kept() -> None:
    """
    The state may come before the answer, and another device's mark right after it: the last word counts.
    """
    client = State()
    hear(client, hello(unread=1), page(9, row("n8", 8)))
    (mark,) = client.mark("read", ["n8"])
    mark.tried = True
    hear(client, state(10, row("n8", 8, read=True)), state(11, row("n8", 8)))
    client.accepted(mark.ref)

    assert not client.items[0]["read"]


def test_a_mark_leaves_what_a_group_gained() -> None:
    """
    A mark is of the row as it was shown; what it gained since is unread, here too.
    """
    client = State()
    hear(client, hello(unread=1), page(9, row("g", 8)))
    (mark,) = client.mark("read", ["g"])
    hear(client, notification(row("g", 10)))

    assert mark.frame()["cursors"] == [at(8)]
    assert not client.items[0]["read"]


def test_all_is_marked_up_to_what_is_shown() -> None:
    """
    "All" is everything up to the newest place that is known, rows that are not at hand included; not what comes later.
    """
    client = State()
    hear(client, hello(unread=70), page(7, row("n8", 8), row("n5", 5), more=True))
    (mark,) = client.mark("read", None)
    hear(client, notification(row("n10", 10)))

    assert mark.frame() == {"type": "read", "ref": mark.ref, "up_to": at(8)}
    assert client.counts["unread"] == 1
    assert [item["read"] for item in client.items] == [False, True, True]


def test_marks_of_a_log_that_is_no_more_are_taken_back() -> None:
    """
    Cursors of another log would be refused by a close code for good; marks that carry them are not sent.
    """
    client = State()
    hear(client, hello(unread=1), page(9, row("n8", 8)))
    known, unknown = client.mark("read", ["n8", "elsewhere"])

    assert client.foreign(LOG) == []
    assert client.foreign("log-2") == [known]
    assert client.marks.next() is unknown
