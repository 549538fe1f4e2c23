import pytest

from fanbell.schemas.records import Audience, Preference
from fanbell.streams.core.hears import RULES
from tests.streams.core.folds import NOW_MS, Shard, limited, silenced, told

BOB = Audience("comment", None, ["bob"])


def comment(shard: Shard, actor: str = "ana", **fields: object) -> list[object]:
    """ana comments on p, which concerns bob."""
    given = {"target": "p", "thread": "root", "scope": "team"} | fields
    return shard.tell("1", "comment", actor, "c", BOB, **given)


def test_the_rules_stand_in_the_order_of_the_design() -> None:
    """
    One ordered list of named rules; places are kept for those still to come.
    """
    assert [rule.name for rule in RULES] == [
        "expired", "oneself", "block", "mute", "stranger", "preference", "quiet_hours", "cap", "channel",
    ]  # fmt: skip
    assert [rule.name for rule in RULES if rule.silences is None] == [
        "stranger",
        "quiet_hours",
        "cap",
        "channel",
    ]


def test_without_a_wish_one_hears() -> None:
    """
    Whoever is concerned and said nothing hears.
    """
    assert told(comment(Shard())) == [("grew", "1", 1, ["ana"], ["bob"])]


def test_nobody_hears_of_themselves() -> None:
    """
    What one did oneself is no news.
    """
    out = comment(Shard(), actor="bob")

    assert (told(out), silenced(out)) == ([], [("oneself", 1)])


@pytest.mark.parametrize(("user", "blocked"), [("bob", "ana"), ("ana", "bob")])
def test_a_block_works_both_ways(user: str, blocked: str) -> None:
    """
    Whoever blocked whom, neither hears of the other; an unblock ends it.
    """
    shard = Shard()
    shard.change("block", user, blocked)
    assert silenced(comment(shard)) == [("block", 1)]

    shard.change("unblock", blocked, user)  # not theirs to lift
    assert silenced(comment(shard)) == [("block", 1)]
    shard.change("unblock", user, blocked)
    assert told(comment(shard)) != []


@pytest.mark.parametrize(
    ("aspect", "what"),
    [("author", "ana"), ("entity", "c"), ("entity", "p"), ("thread", "root"), ("scope", "team")],
)
def test_each_mute_silences_its_aspect(aspect: str, what: str) -> None:
    """
    An author, an entity (made or answered), a thread and a scope can be muted, and heard again after an unmute.
    """
    shard = Shard()
    for other in ("author", "entity", "thread", "scope"):
        shard.change("mute", "bob", "somethingelse", aspect=other)
    shard.change("mute", "bob", what, aspect=aspect)
    assert silenced(comment(shard)) == [("mute", 1)]

    shard.change("unmute", "bob", what, aspect=aspect)
    assert told(comment(shard)) != []


def test_an_unwanted_kind_is_silent_unless_mandatory() -> None:
    """
    A preference keeps a kind from the inbox; a mandatory kind passes it, but never a block.
    """
    shard = Shard(
        limited() + '[kinds.terms]\nmandatory = true\naudience = [{ to = "object", reason = "message" }]\n'
    )
    shard.change("preferences", "bob", preferences=[Preference("*", "inbox", "*", "off")])
    assert silenced(comment(shard)) == [("preference", 1)]

    terms = Audience("message", None, ["bob"])
    assert told(shard.tell("2", "terms", "ana", "bob", terms)) == [("new", "2", ["bob"])]
    shard.change("block", "bob", "ana")
    assert silenced(shard.tell("3", "terms", "ana", "bob", terms)) == [("block", 1)]


def test_what_expired_is_silent() -> None:
    """
    What is not worth hearing any more in fold time is not announced.
    """
    assert silenced(comment(Shard(), expires_at=NOW_MS)) == [("expired", 1)]
    assert told(comment(Shard(), expires_at=NOW_MS + 1)) != []


def test_the_first_rule_that_silences_is_the_reason() -> None:
    """
    Blocked, muted and unwanted at once counts as blocked; each recipient counts once.
    """
    shard = Shard()
    shard.change("block", "bob", "ana")
    for user in ("bob", "cy"):
        shard.change("mute", user, "ana", aspect="author")
        shard.change("preferences", user, preferences=[Preference("*", "*", "*", "off")])

    out = shard.tell(
        "1", "comment", "ana", "c", Audience("comment", None, ["bob"]), Audience("thread", None, ["cy", "di"])
    )

    assert silenced(out) == [("block", 1), ("mute", 1)]
    assert told(out) == [("grew", "1", 1, ["ana"], ["di"])]
