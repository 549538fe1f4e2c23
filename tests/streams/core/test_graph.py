import pytest
from pyroaring import BitMap

from fanbell.schemas.codec import pack
from fanbell.schemas.records import Preference
from fanbell.streams.core.graph import Graph, Wishes

ANA, BOB, CY = pack("ana"), pack("bob"), pack("cy")


def blocked() -> Graph:
    """bob has blocked ana; both live here."""
    graph = Graph()
    graph.add(graph.blocked_by, ANA, graph.names.ordinal(BOB))
    graph.add(graph.blocking, BOB, graph.names.ordinal(ANA))
    return graph


def test_a_follow_is_new_once() -> None:
    """
    Following twice changes nothing, and is announced once; after an unfollow it is new again.
    """
    graph = Graph()

    assert graph.follow(ANA, BOB)
    assert not graph.follow(ANA, BOB)
    assert graph.announce_follow(ANA, BOB)
    assert not graph.announce_follow(ANA, BOB)
    assert graph.unfollow(ANA, BOB)
    assert graph.forget_follow(ANA, BOB)
    assert not graph.unfollow(ANA, BOB)
    assert not graph.unfollow(CY, BOB)
    assert graph.follow(ANA, BOB)
    assert graph.announce_follow(ANA, BOB)


@pytest.mark.parametrize(("user", "followed"), [(ANA, BOB), (BOB, ANA)])
def test_nobody_follows_across_a_block(user: bytes, followed: bytes) -> None:
    """
    Whoever blocked whom, neither follows the other.
    """
    graph = blocked()

    assert not graph.follow(user, followed)
    assert not graph.announce_follow(user, followed)


@pytest.mark.parametrize(
    ("items", "hears"),
    [
        ([], True),
        ([("*", "*", "*", "off")], False),
        ([("*", "*", "*", "off"), ("like", "*", "*", "on")], True),
        ([("*", "inbox", "*", "on"), ("like", "*", "*", "off")], False),
        ([("like", "*", "*", "off"), ("like", "inbox", "*", "on")], True),
        ([("like", "inbox", "*", "on"), ("*", "*", "team", "off")], False),
        ([("*", "inbox", "team", "off"), ("like", "*", "team", "on")], True),
        ([("like", "push", "*", "off"), ("post", "*", "*", "off"), ("*", "*", "other", "off")], True),
        ([("*", "*", "*", "digest")], True),
    ],
)
def test_the_most_specific_wish_decides(items: list[tuple[str, str, str, str]], hears: bool) -> None:
    """
    Scope counts before kind, kind before channel; a digest is no "off"; what is about something else says nothing.
    """
    wishes = Wishes()
    wishes.replace(7, [Preference(*item) for item in items])

    unwilling = wishes.unwilling(BitMap([7]), "like", "inbox", "team", True)

    assert (not unwilling) is hears


def test_without_a_wish_the_kind_decides() -> None:
    """
    A kind that does not go to the inbox by default goes to those alone who asked for it.
    """
    wishes = Wishes()
    assert set(wishes.unwilling(BitMap([1, 2]), "job", "inbox", None, False)) == {1, 2}

    wishes.replace(1, [Preference("job", "*", "*", "on")])
    assert set(wishes.unwilling(BitMap([1, 2]), "job", "inbox", None, False)) == {2}


def test_preferences_replace_all() -> None:
    """
    New preferences replace all earlier ones; the same again are no change.
    """
    wishes = Wishes()
    off = [Preference("*", "*", "*", "off")]

    assert wishes.replace(1, off)
    assert not wishes.replace(1, off)
    assert wishes.replace(1, [])
    assert not wishes.unwilling(BitMap([1]), "like", "inbox", None, True)


def test_a_graph_is_the_same_after_a_snapshot() -> None:
    """
    Names, edges, wishes and announced follows outlive a snapshot.
    """
    graph = blocked()
    graph.follow(CY, BOB)
    graph.announce_follow(CY, BOB)
    graph.mute(CY, "thread", pack("p"))
    graph.wishes.replace(2, [Preference("*", "*", "*", "off")])

    loaded = Graph.load(graph.dump())

    assert loaded.dump() == graph.dump()
    assert not loaded.follow(CY, BOB)
    assert not loaded.announce_follow(CY, BOB)
    assert loaded.names.names([0, 1, 2]) == ["bob", "ana", "cy"]
