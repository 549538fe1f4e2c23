"""Groups, through the shard that keeps them: when they grow, pace, close and shrink."""

import pytest

from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Audience, Update
from tests.streams.core.folds import Shard, limited, told


def liked(shard: Shard, *actors: str) -> None:
    """Each of them likes p, six seconds apart: nothing is held back."""
    for actor in actors:
        shard.like(f"by-{actor}", actor)
        shard.after(6)


def row_seq(out: list[object]) -> int:
    return next(record.row_seq for record in out if type(record) is Update)


def test_likes_of_one_thing_are_one_row() -> None:
    """
    A group keeps the id of its first activity; each new actor is counted once, the latest three are named.
    """
    shard = Shard()
    liked(shard, "ana", "cy", "di")

    out = shard.like("4", "ed")

    assert told(out) == [("grew", "by-ana", 4, ["ed", "di", "cy"], ["bob"])]
    update = out[0]
    assert (update.row_seq, update.announces, content_of(update.content).id) == (update.seq, True, "4")


def test_updates_are_paced_and_the_last_one_always_goes_out() -> None:
    """
    A group's updates go out at most once in 5 s of fold time, and what was held back goes out then.
    """
    shard = Shard()
    assert told(shard.like("1", "ana")) == [("grew", "1", 1, ["ana"], ["bob"])]
    assert told(shard.like("2", "cy")) == told(shard.like("3", "di")) == []
    assert told(shard.after(4.999)) == []

    assert told(shard.after(0.001)) == [("grew", "1", 3, ["di", "cy", "ana"], ["bob"])]
    assert told(shard.after(60)) == []


def test_an_update_that_went_out_late_counts_from_when_it_was_due() -> None:
    """
    Whenever the shard wakes up, its groups go on as if it had woken in time.
    """
    shard = Shard()
    shard.like("1", "ana")
    shard.like("2", "cy")
    shard.after(9)  # due after 5
    shard.now += 1_000

    assert told(shard.like("3", "di")) == [("grew", "1", 3, ["di", "cy", "ana"], ["bob"])]


def test_what_is_due_at_once_goes_out_in_the_order_it_began_to_wait() -> None:
    """
    Updates of one moment keep their order, also for recipients who were told apart since.
    """
    shard = Shard()
    for object_ in ("p", "q"):
        shard.like(f"1{object_}", "ana", "bob", "cy", object_=object_)
    for object_ in ("q", "p"):
        shard.like(f"2{object_}", "di", "bob", "cy", object_=object_)
    shard.like("3", "ed", "cy", object_="q")  # cy's row goes on without bob's

    ids_for_cy = [update[1] for update in told(shard.after(5)) if "cy" in update[4]]

    assert ids_for_cy == ["1q", "1p"]


def test_the_same_again_is_no_news() -> None:
    """
    Who is in the group already changes nothing by doing it again.
    """
    shard = Shard()
    liked(shard, "ana")

    assert told(shard.like("2", "ana")) == []


# Closing


@pytest.mark.parametrize("verb", ["read", "archive", "click"])
@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_read_group_is_closed(verb: str, all_of_it: bool) -> None:
    """
    A row that was read, archived or clicked grows no more: what comes then is a new row.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))
    shard.mark("bob", verb, up_to=seq) if all_of_it else shard.mark("bob", verb, ("1", seq))
    shard.after(6)

    assert told(shard.like("2", "cy")) == [("grew", "2", 1, ["cy"], ["bob"])]


@pytest.mark.parametrize("verb", ["seen", "unread", "unarchive"])
def test_other_marks_close_nothing(verb: str) -> None:
    """
    Only what shows that the row was read closes it.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))
    shard.mark("bob", verb, ("1", seq))
    shard.mark("bob", verb, up_to=seq)
    shard.after(6)

    assert told(shard.like("2", "cy")) == [("grew", "1", 2, ["cy", "ana"], ["bob"])]


def test_a_mark_on_what_was_shown_before_closes_nothing() -> None:
    """
    A row that moved since it was shown stays open.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))
    shard.after(6)
    shard.like("2", "cy")
    shard.mark("bob", "read", ("1", seq))
    shard.mark("bob", "read", up_to=seq)
    shard.after(6)

    assert told(shard.like("3", "di")) == [("grew", "1", 3, ["di", "cy", "ana"], ["bob"])]


@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_read_mark_leaves_open_what_has_grown_already(all_of_it: bool) -> None:
    """
    What a group gained since it was shown is news yet, and others may join until it is out.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana", "bob", "cy"))
    shard.like("2", "di", "bob", "cy")
    shard.mark("bob", "read", up_to=seq) if all_of_it else shard.mark("bob", "read", ("1", seq))
    shard.like("3", "ed", "bob", "cy")

    out = shard.after(5)

    grew = told(out)
    assert sorted(user for *_, users in grew for user in users) == ["bob", "cy"]
    assert all(update[:4] == ("grew", "1", 3, ["ed", "di", "ana"]) for update in grew)


@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_read_mark_counts_when_the_growth_is_taken_back(all_of_it: bool) -> None:
    """
    If what was on its way is undone before it went out, the row stands as it was read, and is closed.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))
    shard.like("2", "cy")
    shard.mark("bob", "read", up_to=seq) if all_of_it else shard.mark("bob", "read", ("1", seq))
    shard.undo("like", "cy")
    shard.after(6)

    assert told(shard.like("3", "di")) == [("grew", "3", 1, ["di"], ["bob"])]


def test_a_read_mark_closes_a_group_that_only_shrinks() -> None:
    """
    A correction on its way is no news: a mark by cursor closes the group all the same.
    """
    shard = Shard()
    liked(shard, "ana")
    seq = row_seq(shard.like("2", "cy"))
    shard.undo("like", "cy")
    shard.mark("bob", "read", up_to=seq)

    assert told(shard.like("4", "ed")) == [("grew", "4", 1, ["ed"], ["bob"])]


def test_a_cursor_from_the_future_closes_only_what_there_is() -> None:
    """
    "All" means all that there is when the mark comes, whatever the cursor says.
    """
    shard = Shard()
    shard.mark("bob", "read", up_to=10**9)
    liked(shard, "ana")

    assert told(shard.like("2", "cy")) == [("grew", "by-ana", 2, ["cy", "ana"], ["bob"])]


def test_who_reads_parts_from_the_rest() -> None:
    """
    One recipient's mark closes the group for nobody else.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana", "bob", "cy"))
    shard.mark("bob", "read", ("1", seq))
    shard.after(6)

    assert sorted(told(shard.like("2", "di", "bob", "cy"))) == [
        ("grew", "1", 2, ["di", "ana"], ["cy"]),
        ("grew", "2", 1, ["di"], ["bob"]),
    ]


def test_a_group_closes_a_window_after_its_first() -> None:
    """
    A group stays open for its window from the first activity on, in fold time.
    """
    shard = Shard(limited(window_ms=60_000))
    shard.like("1", "ana")
    shard.after(59)
    assert told(shard.like("2", "cy")) == [("grew", "1", 2, ["cy", "ana"], ["bob"])]
    shard.after(1)

    assert told(shard.like("3", "di")) == [("grew", "3", 1, ["di"], ["bob"])]


def test_a_full_group_stays_closed() -> None:
    """
    A group is closed by its last actor, whoever leaves it later.
    """
    shard = Shard(limited(group_actors=2))
    liked(shard, "ana", "cy")
    shard.undo("like", "cy")
    shard.after(6)

    assert told(shard.like("3", "di")) == [("grew", "3", 1, ["di"], ["bob"])]


# Undo


def test_an_undo_corrects_quietly() -> None:
    """
    Who takes a like back leaves the count, quietly: the row stays where it is.
    """
    shard = Shard()
    liked(shard, "ana", "cy")

    out = shard.undo("like", "cy")

    assert told(out) == [("quiet", "by-ana", 1, ["ana"], ["bob"])]
    assert out[0].row_seq == out[0].prev_row_seq < out[0].seq
    assert content_of(out[0].content).id == "by-ana"


def test_at_none_the_row_is_gone() -> None:
    """
    When nobody is left, the row is retracted at once.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))

    assert told(shard.undo("like", "ana")) == [("gone", seq, ["bob"])]
    assert told(shard.undo("like", "ana")) == []


def test_a_like_after_an_unlike_is_quiet() -> None:
    """
    Who took a like back and likes again neither announces nor makes unread; a retracted row comes back where it was.
    """
    shard = Shard()
    seq = row_seq(shard.like("1", "ana"))
    shard.after(6)
    shard.undo("like", "ana")

    out = shard.like("2", "ana")

    assert told(out) == [("quiet", "1", 1, ["ana"], ["bob"])]
    assert (out[0].row_seq, out[0].prev_row_seq) == (seq, -1)


def test_what_was_never_announced_is_new_when_it_comes_again() -> None:
    """
    A like taken back before anybody heard of it counts as new the next time.
    """
    shard = Shard()
    shard.like("1", "ana")
    shard.like("2", "cy")
    shard.undo("like", "cy")
    assert told(shard.after(5)) == [("quiet", "1", 1, ["ana"], ["bob"])]
    shard.after(5)

    assert told(shard.like("3", "cy")) == [("grew", "1", 2, ["cy", "ana"], ["bob"])]


def test_the_actors_named_are_those_of_the_latest_that_stand() -> None:
    """
    When an actor's latest comment is taken back, the actor stands where the one before it does.
    """
    shard = Shard()
    for id_, actor in (("c1", "ana"), ("c2", "cy"), ("c3", "ana")):
        shard.tell(id_, "comment", actor, id_, Audience("comment", None, ["bob"]), target="p")
        shard.after(6)

    out = shard.delete("c3")

    assert told(out) == [("quiet", "c1", 2, ["cy", "ana"], ["bob"])]
    assert content_of(out[0].content).id == "c2"


def test_groups_are_the_same_after_a_snapshot() -> None:
    """
    What is open, held back, read and taken back outlives a snapshot, byte for byte.
    """
    shard = Shard()
    shard.like("1", "ana", "bob", "cy")
    shard.like("2", "di", "bob", "cy")
    shard.mark("bob", "read", up_to=2)
    shard.undo("like", "ana")
    again = shard.reopened()

    assert again.fold.dump() == shard.fold.dump()
    assert again.after(5) == shard.after(5)
    assert again.like("3", "ana", "bob", "cy") == shard.like("3", "ana", "bob", "cy")
    assert again.fold.dump() == shard.fold.dump()


def test_what_is_held_back_goes_out_though_it_is_forgotten() -> None:
    """
    A group that was pushed out of memory before its update was due still has it, also across a snapshot.
    """
    shard = Shard(limited(told=1))
    shard.like("1", "ana")
    shard.like("2", "cy")
    shard.like("3", "di", object_="q")  # only so much is remembered
    again = shard.reopened()

    for one in (shard, again):
        assert told(one.after(5)) == [("grew", "1", 2, ["cy", "ana"], ["bob"])]
    assert again.fold.dump() == shard.fold.dump()
