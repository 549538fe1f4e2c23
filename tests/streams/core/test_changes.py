import pytest

from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.changes import change_of, fault_of, placed

ANA, BOB = "ana", next(f"bob{i}" for i in range(99) if partition_of(f"bob{i}", 8) != partition_of("ana", 8))


@pytest.mark.parametrize("kind", ["follow", "unfollow", "block", "unblock"])
def test_what_concerns_two_people_goes_to_both(kind: str) -> None:
    """
    A follow or block goes to the partition of each of the two, told apart by its side; to one that holds both, once.
    """
    change = Change("1", kind, ANA, object=BOB)

    assert [(p, copy.side) for p, copy in placed(change, 8)] == [
        (partition_of(ANA, 8), "user"), (partition_of(BOB, 8), "other"),
    ]  # fmt: skip
    assert [(p, copy.side) for p, copy in placed(change, 1)] == [(0, "both")]


@pytest.mark.parametrize("kind", ["mute", "unmute", "preferences", "profile", "mark"])
def test_a_wish_goes_home(kind: str) -> None:
    """
    What is one user's alone goes to that user's partition.
    """
    assert [p for p, _ in placed(Change("1", kind, ANA, object=BOB), 8)] == [partition_of(ANA, 8)]


def test_a_published_mute_names_its_aspect() -> None:
    """
    A mute published as an activity says what it mutes as `aspect:id`; the id may have colons itself.
    """
    change = change_of(Activity("1", "mute", ANA, "thread:a:b", occurred_at=5))

    assert change == Change("1", "mute", ANA, object="a:b", aspect="thread", occurred_at=5)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Change("1", "dance", ANA, object=BOB), "kind"),
        (Change("1", "follow", ANA), "object"),
        (Change("1", "block", ANA, object=ANA), "object"),
        (Change("1", "mute", ANA, object="x", aspect="keyword"), "aspect"),
        (Change("1", "mute", ANA, object="x"), "aspect"),
        (Change("1", "mark", ANA, verb="burn", up_to=3), "verb"),
        (Change("1", "mark", ANA, verb="read", ids=["1"]), "seqs"),
    ],
)
def test_what_keeps_a_change_from_taking_effect_is_named(change: Change, field: str) -> None:
    """
    Whoever wrote it, a change that makes no sense is named by its field.
    """
    assert (fault_of(change) or "").startswith(f"{field}: ")


def test_nothing_is_wrong_with_a_change_that_makes_sense() -> None:
    """
    Marks, wishes and edges pass.
    """
    fine = [Change("1", "mark", ANA, verb="read", ids=["1"], seqs=[4]), Change("1", "profile", ANA)]
    fine += [Change("1", "preferences", ANA), Change("1", "mute", ANA, object=BOB, aspect="author")]
    fine += [Change("1", kind, ANA, object=BOB) for kind in ("follow", "unfollow", "block", "unblock")]

    assert [fault_of(change) for change in fine] == [None] * 8
