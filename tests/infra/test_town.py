"""The synthetic town."""

from collections import Counter
from itertools import islice

from fanbell.infra.town import Happening, Town
from fanbell.schemas.parse import parse_activity
from fanbell.streams.core.kinds import default_source, parse_rules


def happenings(town: Town, moments: int) -> list[Happening]:
    return [one for moment in islice(town.happenings(), moments) for one in moment]


def test_a_seed_makes_a_town() -> None:
    """
    The same seed gives the same town and the same days; another seed gives others.
    """
    one, same, other = Town(1, "r"), Town(1, "r"), Town(2, "r")

    assert (one.people, one.follows) == (same.people, same.follows)
    assert happenings(one, 200) == happenings(same, 200)
    assert one.follows != other.follows


def test_everything_that_happens_is_accepted() -> None:
    """
    All of it is well formed, and as the default rules want it.
    """
    rules = parse_rules(default_source(), 1)
    town = Town(1, "r")

    for one in [*town.beginning(), *happenings(town, 3_000)]:
        assert rules.faults(parse_activity(one)) == []


def test_ids_are_used_once() -> None:
    """
    No id comes twice, and a second run has others.
    """
    town, second = Town(1, "r"), Town(1, "s")
    ids = [one["id"] for one in [*town.beginning(), *happenings(town, 2_000)]]

    assert len(set(ids)) == len(ids)
    assert not set(ids) & {one["id"] for one in second.beginning()}


def test_popularity_is_heavy_tailed() -> None:
    """
    A few are followed by very many, most by few.
    """
    followers = sorted(Counter(followed for _, followed in Town(1, "r").follows).values(), reverse=True)

    assert sum(followers[:24]) > sum(followers) / 4
    assert followers[0] > 6 * followers[len(followers) // 2]


def test_likes_come_in_waves() -> None:
    """
    Now and then many like the same post at once.
    """
    waves = [len(moment) for moment in islice(Town(1, "r").happenings(), 2_000)]

    assert max(waves) >= 10
    assert sorted(waves)[len(waves) // 2] == 1


def test_the_shown_person_hears_soon() -> None:
    """
    The first that happens concerns the person on the page, and much of the rest does.
    """
    town = Town(1, "r")
    first = town.beginning()[:60]
    later = happenings(town, 500)
    mine = {post.id for post in town.own}

    assert [one for one in first if one["kind"] == "follow" and one["object"] == town.shown.id]
    assert sum(bool({one.get("object"), one.get("target")} & mine) for one in later) > 50
    assert town.about()["user"] == town.shown.id


def test_it_is_labelled() -> None:
    """
    Whatever carries data says that it is synthetic.
    """
    kinds = {one["kind"] for one in happenings(Town(1, "r"), 500) if not one.get("data", {}).get("synthetic")}

    assert kinds <= {"follow"}
