"""What was told, and how long it can be taken back."""

from fanbell.schemas.records import Audience
from tests.streams.core.folds import Shard, limited, told


def test_a_single_is_found_by_all_it_tells_of() -> None:
    """
    A deleted entity takes back what told of it, as object or as target; in a group, its part.
    """
    shard = Shard()
    mention = Audience("mention", None, ["bob"])
    shard.tell("1", "comment", "ana", "c", mention, target="p")
    shard.tell("2", "comment", "ana", "d", mention, target="c")
    shard.tell("3", "comment", "ana", "e", mention, target="p")

    assert told(shard.delete("c")) == [("gone", 1, ["bob"]), ("gone", 2, ["bob"])]
    assert told(shard.delete("c")) == []


def test_a_group_about_the_deleted_is_gone_for_good() -> None:
    """
    Deleting what a group is about retracts it and closes it.
    """
    shard = Shard()
    shard.like("1", "ana")
    assert told(shard.delete("p")) == [("gone", 1, ["bob"])]

    assert told(shard.undo("like", "ana")) == []


def test_the_oldest_is_forgotten_first() -> None:
    """
    What can be taken back is bounded in number; what was forgotten is counted, and stays told.
    """
    shard = Shard(limited(told=2))
    shard.follow("bob")
    for number in range(3):
        shard.post(f"{number}", "ana", f"p{number}")

    assert told(shard.delete("p0")) == []
    assert told(shard.delete("p1")) != []
    assert shard.fold.book.forgotten == 1


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    """
    However often likes come and go, only what is bounded is kept.
    """
    shard = Shard(limited(told=10, group_actors=5))
    for number in range(200):
        shard.like(f"{number}", f"user{number}", object_=f"p{number // 3}")
        if number % 3 == 1:
            shard.undo("like", f"user{number}", f"p{number // 3}")
        if number % 5 == 4:
            shard.delete(f"p{number // 3}")

    book = shard.fold.book
    for index in (book.by_entity, book.by_actor, book.groups, book.open):
        assert len(index) <= 40, index
        assert all(
            told in book.order
            for found in index.values()
            for told in (found if isinstance(found, list) else [found])
        )


def test_what_is_gone_counts_for_the_bound_after_a_snapshot_too() -> None:
    """
    How soon something is forgotten does not hang on when a snapshot was taken.
    """
    shard = Shard(limited(told=2))
    shard.follow("bob")
    shard.post("1", "ana", "p1")
    shard.post("2", "ana", "p2")
    shard.delete("p2")
    again = shard.reopened()
    for each in (shard, again):
        each.post("3", "ana", "p3")

    assert told(shard.delete("p1")) == told(again.delete("p1")) == []
    assert shard.fold.dump() == again.fold.dump()
