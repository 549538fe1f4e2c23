"""The checker of real runs notices each sort of wrong in an outcome of a few lines, and nothing where all is well."""

from typing import Any

from fanbell.projections.store import READ, SEEN
from fanbell.schemas.codec import encode_body
from fanbell.schemas.records import Activity, Content, Notice
from tests.cluster.faults.checker import check
from tests.cluster.faults.outcome import Counted, Outcome
from tests.simulation.history import History, Noticed, Op, Shown

SAID = [Activity("p1", "post", "ana", "post1"), Activity("p2", "post", "ana", "post2")]


def noticed(number: int) -> Noticed:
    said = SAID[number - 1]
    content = Content(said.id, "post", "ana", said.object, None, None, None, None, "normal", 1, None)
    before = number - 1 if number > 1 else -1
    record = Notice(number, 0, before, min(before, 0), number, "post", encode_body(content), ["bo"])
    return Noticed(0, number, record)


def row(number: int, **more: Any) -> Shown:
    said = SAID[number - 1]
    values = {"flags": 0, "count": 1} | more
    return Shown(number, said.id, "post", "post", said.object, None, actors=("ana",), **values)


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": SAID[number - 1].id, "cursor": number, "count": 1, "read": False} | more


def notification(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "notification", "item": item(number, **more), "cursor": number}


def page(*numbers: int, cursor: int = 0, after: int | None = None) -> dict[str, Any]:
    return {"type": "page", "items": [item(number) for number in numbers], "cursor": cursor, "next": after}


def counts(unread: int, unseen: int) -> dict[str, Any]:
    return {"type": "counts", "unread": unread, "unseen": unseen}


ALL_TOLD = [page(), notification(1), notification(2), counts(2, 2)]


def outcome(frames: list[dict[str, Any]] = ALL_TOLD, **more: Any) -> Outcome:
    """Two posts that bo was told of, and then whatever is wrong."""
    history = History(
        ops=[Op(said.id, said.kind, said.actor, said.object) for said in SAID],
        inboxes={"bo": [row(2), row(1)]},
        notices={0: [noticed(1), noticed(2)]},
    )
    values: dict[str, Any] = {
        "history": history, "acknowledged": {"p1", "p2"}, "taken": SAID, "frames": {"bo": frames},
        "told": {"bo": {("p1", "post"), ("p2", "post")}}, "counted": {"bo": Counted(2, 2)},
    }  # fmt: skip
    return Outcome(**(values | more))


def whats(made: Outcome) -> set[str]:
    return {wrong.what for wrong in check(made)}


def test_all_is_well() -> None:
    """
    Two posts that stand in the log, in the inbox and at the socket are nothing wrong.
    """
    assert check(outcome()) == []


def test_acknowledged_and_lost() -> None:
    """
    What was acknowledged and is not in the log: lost. With an unknown outcome it may be there or not.
    """
    assert whats(outcome(acknowledged={"p1", "p2", "p3"})) == {"lost"}
    assert whats(outcome(unknown={"p3"})) == set()
    assert whats(outcome(acknowledged={"p1"}, unknown={"p2"})) == set()


def test_never_published() -> None:
    """
    What is in the log though its producer gave it up for good, as by an aborted transaction: unwanted.
    """
    assert whats(outcome(acknowledged={"p1"})) == {"unwanted"}


def test_not_as_one_process_tells() -> None:
    """
    A row that one process does not make is unwanted, one that is missing is lost.
    """
    assert whats(outcome(told={"bo": {("p1", "post")}})) == {"unwanted"}
    assert whats(outcome(told={"bo": {("p1", "post"), ("p2", "post"), ("p3", "post")}})) == {"lost"}
    assert whats(outcome(told={"bo": {("p1", "post"), ("p2", "mention")}})) == {"lost", "unwanted"}


def test_a_mark_that_is_lost_or_nobody_made() -> None:
    """
    An acknowledged mark that does not show, and one that nobody made: counter drift.
    """
    assert whats(outcome(marked={"bo": {"p1"}})) == {"counter drift"}
    made = outcome()
    made.history.inboxes["bo"][1] = row(1, flags=READ | SEEN)
    assert "bo has p1 read, and never read it" in {wrong.detail for wrong in check(made)}


def test_lost_at_the_socket() -> None:
    """
    A notification that never comes: lost, also if another one comes after it.
    """
    assert whats(outcome([page(), notification(1), counts(2, 2)])) == {"lost"}
    assert "lost" in whats(outcome([page(), notification(2), counts(2, 2)]))


def test_shown_by_a_page() -> None:
    """
    What a fresh page shows need not be told, nor what is older than its last row.
    """
    assert whats(outcome([page(1, cursor=1), notification(2), counts(2, 2)])) == set()
    assert whats(outcome([page(2, cursor=2, after=2), counts(2, 2)])) == set()
    assert whats(outcome([page(2, cursor=2), counts(2, 2)])) == {"lost"}


def test_twice_at_the_socket() -> None:
    """
    The same notification again: twice.
    """
    assert whats(outcome([*ALL_TOLD, notification(1)])) == {"twice"}


def test_out_of_order_at_the_socket() -> None:
    """
    An older one after a newer one: out of order.
    """
    assert "out of order" in whats(outcome([page(), notification(2), notification(1), counts(2, 2)]))


def test_unwanted_at_the_socket() -> None:
    """
    A notification that no notice says: unwanted.
    """
    stray = notification(1) | {"item": item(1) | {"id": "p9", "cursor": 3}}
    assert whats(outcome([*ALL_TOLD, stray])) == {"unwanted"}


def test_a_client_that_has_something_else() -> None:
    """
    A row that the client has otherwise than the inbox: differs. One that it was told to drop: lost.
    """
    state = {"type": "state", "items": [item(1, read=True)], "cursor": 2}
    assert whats(outcome([*ALL_TOLD, state])) == {"differs"}
    assert whats(outcome([*ALL_TOLD, {"type": "kept", "ids": ["p1"]}])) == {"lost"}
    assert whats(outcome([*ALL_TOLD, {"type": "retract", "id": "p1", "cursor": 2}])) == {"lost"}


def test_counters_of_a_client() -> None:
    """
    The last counters that were told are not those of the inbox: counter drift.
    """
    assert whats(outcome([*ALL_TOLD, counts(1, 2)])) == {"counter drift"}


def test_a_log_that_cannot_be_folded() -> None:
    """
    What a judge cannot even read is said.
    """
    made = outcome()
    made.history.complaints.append(("stuck", "fan_out[0] cannot be folded again"))
    assert whats(made) == {"stuck"}
