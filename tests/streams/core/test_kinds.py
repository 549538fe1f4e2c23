import re

import pytest

from fanbell.schemas.records import Activity
from fanbell.streams.core.kinds import GRAPH, RANK, BadRules, default_source, parse_rules

DEFAULT = parse_rules(default_source(), 1)


def kind(body: str) -> str:
    """A rules file with one more kind."""
    return f"[kinds.post]\naudience = []\n\n[kinds.job]\n{body}\n"


def test_the_kinds_that_ship_are_those_of_the_design() -> None:
    """
    The rules that ship parse, and declare the kinds of the design's table and their undoing.
    """
    assert set(DEFAULT.kinds) == {
        "follow", "post", "comment", "reply", "like", "unlike", "repost", "unrepost", "mention", "message",
    }  # fmt: skip
    assert DEFAULT.kinds["comment"].audience == (("owner", "comment"), ("thread", "thread"))
    assert DEFAULT.kinds["message"].groups_by == "target"
    assert DEFAULT.kinds["unlike"].undoes == "like"


def test_every_kind_that_is_heard_has_a_text_and_every_locale_its_people() -> None:
    """
    Whatever is heard can be shown, in each of the locales that ship.
    """
    for kind in DEFAULT.kinds.values():
        if kind.audience or kind.name == "mention":
            assert set(kind.text) == set(DEFAULT.people) == {"en", "de", "fr", "es"}, kind.name


@pytest.mark.parametrize(
    ("source", "line", "key", "right"),
    [
        ("[kinds.a\n", 1, "", "not valid TOML"),
        ("", 1, "kinds", "declare at least one kind"),
        ("[kind.post]\n", 1, "kind", "known are limits, locales, kinds"),
        ("kinds = 3\n", 1, "kinds", "must be a table"),
        ("[kinds]\npost = 3\n", 2, "kinds.post", "must be a table"),
        ("[limits]\nwindow = 3\n[kinds.a]\n", 2, "limits.window", "known are waiting_ms"),
        ("[limits]\nwindow_ms = 0\n[kinds.a]\n", 2, "limits.window_ms", "whole number from 1"),
        ("[limits]\nwindow_ms = true\n[kinds.a]\n", 2, "limits.window_ms", "whole number"),
        ("[locales.en]\npeople = ['{0}']\n[kinds.a]\n", 2, "locales.en.people", "three strings"),
        (
            "[locales.en]\npeople = ['{0}', '{x}', '{n}']\n[kinds.a]\n",
            2,
            "locales.en.people",
            "{0}, {1} and {n} only",
        ),
        ("[kinds.Post]\n", 1, "kinds.Post", "a-z, 0-9 and _"),
        ("[kinds.delete]\n", 1, "kinds.delete", "built in"),
        ("[kinds.mute]\n", 1, "kinds.mute", "built in"),
        ("[kinds.follow]\naudience = []\n", 1, "kinds.follow.change", "must be true for follow"),
        (kind("change = true"), 5, "kinds.job.change", "only follow"),
        (kind("audiences = []"), 5, "kinds.job.audiences", "known are audience"),
        (kind("creates = 1"), 5, "kinds.job.creates", "true or false"),
        (kind("target = 'maybe'"), 5, "kinds.job.target", "one of none, required, optional"),
        (kind("groups_by = 'actor'"), 5, "kinds.job.groups_by", "one of object, target, recipient"),
        (kind("importance = 'huge'"), 5, "kinds.job.importance", "one of "),
        (kind("window = '5 minutes'"), 5, "kinds.job.window", '"24h"'),
        (kind("window = '0s'"), 5, "kinds.job.window", '"24h"'),
        (kind("undoes = 'job'"), 5, "kinds.job.undoes", "another kind"),
        (kind("undoes = 'jobs'"), 5, "kinds.job.undoes", "not declared"),
        (kind("channels = 'inbox'"), 5, "kinds.job.channels", '["inbox", "push"]'),
        (kind("audience = ['owner']"), 5, "kinds.job.audience", 'exactly "to" and "reason"'),
        (kind("audience = [{ to = 'all', reason = 'post' }]"), 5, "kinds.job.audience", "one of owner"),
        (kind("audience = [{ to = 'owner', reason = 'job' }]"), 5, "kinds.job.audience", "one of message"),
        (kind("url = '{{ x'"), 5, "kinds.job.url", "not a valid template"),
        (kind("text.en = 3"), 5, "kinds.job.text.en", "must be a string"),
        (kind("[kinds.job.text]\nen = '{% if %}'"), 6, "kinds.job.text.en", "not a valid template"),
    ],
)
def test_a_fault_names_line_key_and_what_would_be_right(source: str, line: int, key: str, right: str) -> None:
    """
    A rules file that cannot be used is refused with the line, the key, and what would be right.
    """
    with pytest.raises(BadRules, match=re.escape(right)) as caught:
        parse_rules(source)

    assert (caught.value.line, caught.value.key) == (line, key)


def test_the_strongest_reason_comes_first() -> None:
    """
    However a file orders an audience, its strongest reason leads.
    """
    rules = parse_rules(
        kind('audience = [{ to = "thread", reason = "thread" }, { to = "owner", reason = "reply" }]')
    )

    assert rules.kinds["job"].audience == (("owner", "reply"), ("thread", "thread"))
    assert sorted(RANK, key=lambda reason: RANK[reason])[0] == "message"


def test_a_file_replaces_limits_it_names_and_no_other() -> None:
    """
    A limit that a rules file does not name keeps its default.
    """
    limits = parse_rules("[limits]\nwindow_ms = 7\n[kinds.a]\n").limits

    assert (limits.window_ms, limits.update_every_ms) == (7, 5_000)


@pytest.mark.parametrize(
    ("activity", "field"),
    [
        (Activity("1", "shout", "ana", "p"), "kind"),
        (Activity("1", "comment", "ana", "c"), "target"),
        (Activity("1", "like", "ana", "p", target="q"), "target"),
        (Activity("1", "comment", "ana", "c", target="c"), "target"),
        (Activity("1", "delete", "ana", "p", target="mine"), "target"),
        (Activity("1", "message", "ana", "m", target="talk"), "recipients"),
        (Activity("1", "mention", "ana", "p"), "mentions"),
        (Activity("1", "post", "ana", "p", deliver_at=5), "deliver_at"),
        (Activity("1", "mute", "ana", "bob"), "object"),
        (Activity("1", "mute", "ana", "author:"), "object"),
        (Activity("1", "unmute", "ana", "author:ana"), "object"),
        *((Activity("1", kind, "ana", "ana"), "object") for kind in GRAPH if "mute" not in kind),
    ],
)
def test_what_an_activity_lacks_is_named_by_field(activity: Activity, field: str) -> None:
    """
    What the rules have against an activity is said by field; nobody can follow, mute or block themselves.
    """
    assert [name for name, _ in DEFAULT.faults(activity)] == [field]


def test_nothing_is_wrong_with_what_is_right() -> None:
    """
    A delete, a mute of each aspect and a post pass.
    """
    fine = [Activity("1", "delete", "ana", "p"), Activity("1", "post", "ana", "p")]
    fine += [
        Activity("1", "mute", "ana", f"{aspect}:bob") for aspect in ("author", "entity", "thread", "scope")
    ]

    assert [DEFAULT.faults(activity) for activity in fine] == [[]] * 6
