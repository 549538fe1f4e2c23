"""Random histories for the pipeline and the model: few people and things, so that everything meets everything."""

import random
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from hypothesis import strategies as st

from fanbell.schemas.records import Activity, Change, Preference
from fanbell.streams.core.kinds import default_source

LIMITS = {
    "waiting_ms": 20_000, "waiting_per_entity": 3, "window_ms": 60_000, "update_every_ms": 5_000, "group_actors": 3,
    "thread_members": 3, "dedupe_ms": 120_000,
}  # fmt: skip
MORE_KINDS = """
[kinds.news]
creates = true
target = "none"
mandatory = true
expires_after = "30s"
audience = [{ to = "followers_of_actor", reason = "post" }, { to = "followers_of_scope", reason = "follow" }]

[kinds.answer]
creates = true
target = "required"
joins_thread = true
groups_by = "target"
channels = ["push"]
audience = [
    { to = "owner", reason = "reply" }, { to = "thread", reason = "thread" },
    { to = "followers_of_actor", reason = "post" }, { to = "followers_of_target", reason = "follow" },
]

[kinds.nudge]
target = "none"
groups_by = "recipient"
window = "10s"
audience = [{ to = "object", reason = "like" }, { to = "followers_of_object", reason = "follow" }]
"""


def small_rules() -> str:
    """The kinds that ship, a few that use what those do not, and limits that a short history reaches."""
    limits = "".join(f"{name} = {value}\n" for name, value in LIMITS.items())
    shipped = default_source()
    return f"[limits]\n{limits}\n{shipped[shipped.index('[locales.en]') :]}\n{MORE_KINDS}"


RULES = small_rules()
START_MS = 1_700_000_000_000
USERS = [f"u{number}" for number in range(5)]
POSTS = ["p0", "p1", "p2"]
NEW = ["c0", "c1", "c2", "c3"]
SCOPES = ["s0", "s1"]
WAITS_MS = [0, 0, 0, 1, 700, 2_000, 4_999, 5_000, 6_000, 21_000, 60_000, 125_000]
SKEWS_MS = [None, None, None, None, -1_000, -3_000, -40_000, 2_000, 400_000]
VERBS = ["read", "unread", "seen", "archive", "unarchive", "click"]


@dataclass(frozen=True)
class Look:
    """The user looks at the inbox; stale marks name what was shown then."""

    user: str


@dataclass(frozen=True)
class Marks:
    """The user looks, or, `stale`, goes by the last look, and marks rows: all up to one, or two of them by id."""

    user: str
    verb: str
    first: int
    second: int
    up_to: bool
    stale: bool = False


Item = Activity | Change | Look | Marks | None


FOCUS = {
    "all": "post post post comment comment comment reply reply like like unlike repost unrepost mention message delete "
    "news answer nudge",
    "groups": "like like like like unlike unlike comment message delete nudge repost",
    "threads": "post comment comment comment reply answer answer delete like mention",
    "people": "post like comment message mention news",
}
"""What a history is mostly about, and what people do in it."""


@st.composite
def steps(draw: Any, focus: str) -> tuple[int, Any]:
    """(ms since the step before, what happens); the id of an activity is given later."""
    pick = lambda values: draw(st.sampled_from(values))  # noqa: E731
    user, wait = pick(USERS), pick(WAITS_MS if focus == "all" else WAITS_MS[:-3])
    skews = SKEWS_MS if focus == "all" else [*[None] * 9, -1_000, -3_000]  # time far ahead holds nothing back
    what = draw(st.integers(0, 99))
    if (focus == "groups" and 22 <= what < 48) or (focus == "threads" and what < 40):
        what = 99  # something about what it is mostly about
    if what < 8:
        return wait, Look(user)
    if what < 18:
        first, second = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        return wait, Marks(user, pick(VERBS), first, second, draw(st.booleans()), stale=draw(st.booleans()))
    if what < 22:
        return wait, None
    if what < 26:
        items = [
            Preference(
                pick(["*", "comment", "like", "post", "news"]), pick(["*", "inbox", "push"]), scope, value
            )
            for scope, value in draw(
                st.dictionaries(
                    st.sampled_from(["*", *SCOPES]), st.sampled_from(["on", "off", "digest"]), max_size=3
                )
            ).items()
        ]
        return wait, Change("", "preferences", user, preferences=items, occurred_at=pick(skews))
    if what < 48:
        kind = pick(
            ["follow"] * 6
            + ["unfollow"] * 3
            + ["block"] * 3
            + ["unblock"] * 2
            + ["mute"] * 3
            + ["unmute"] * 2
        )
        aspect = pick(["author", "entity", "thread", "scope"])
        whom = pick([other for other in USERS if other != user])
        things = {"author": [whom], "entity": POSTS + NEW, "thread": POSTS, "scope": SCOPES}[aspect]
        if kind in ("mute", "unmute"):
            object_ = pick(things)
        else:
            aspect, object_ = None, pick([whom, whom, whom, *SCOPES, "p0"]) if "follow" in kind else whom
        if draw(st.booleans()):
            return wait, Change("", kind, user, object=object_, aspect=aspect, occurred_at=pick(skews))
        return wait, Activity(
            "", kind, user, f"{aspect}:{object_}" if aspect else object_, occurred_at=pick(skews)
        )
    kind = pick(FOCUS[focus].split())
    fields: dict[str, Any] = {"occurred_at": pick(skews)}
    if kind in ("comment", "reply", "answer", "message"):
        fields["target"] = pick(["m0", "m0", "p0"] if kind == "message" else POSTS + NEW[:2])
        object_ = pick([name for name in NEW if name != fields["target"]])
    elif kind == "nudge":
        object_ = pick(USERS)
    else:
        new = NEW[:1] if kind in ("post", "news") else [] if focus == "groups" else NEW
        object_ = pick(POSTS[:2] + new)
    few = st.lists(st.sampled_from(USERS), max_size=3, unique=draw(st.booleans()))
    if kind == "mention" or draw(st.integers(0, 5)) == 0:
        fields["mentions"] = draw(few) or [user]
    if kind == "message":
        fields["recipients"] = draw(few) or USERS[:2]
    if draw(st.integers(0, 5)) == 0:
        fields["scope"] = pick(SCOPES)
    if kind in ("comment", "like", "repost", "answer") and draw(st.integers(0, 4)) == 0:
        fields["owner"] = pick(USERS)
    if draw(st.integers(0, 9)) == 0:
        fields["thread"] = pick(POSTS)
    if draw(st.integers(0, 9)) == 0:
        fields["expires_at"] = pick([-1, 10_000])
    if kind == "delete":
        fields["by_operator"] = draw(st.booleans())
    return wait, Activity("", kind, user, object_, **fields)


PLOTS = ("a!b", "a!ba", "aAa", "a!Aa", "abBb", "abB!b", "ab!Ba", "ab!Bb", "wab", "wawb", "mab", "amab")
"""What matters in a row: a and b act on somebody's post (a capital takes it back), who marks (!), wishes or mutes."""
UNDOES = {"like": "unlike", "repost": "unrepost", "comment": "delete"}


@st.composite
def wishes(draw: Any, user: str, kind: str, scope: str) -> Change:
    """Preferences that contradict each other, so that the most specific one makes the difference."""
    places = draw(st.permutations([*product([kind, "*"], ["inbox", "*"], [scope, "*"])]))
    values = draw(st.sampled_from([("on", "off"), ("off", "on"), ("digest", "off")]))
    some = zip(places[: draw(st.integers(2, 4))], values * 2, strict=False)
    return Change("", "preferences", user, preferences=[Preference(*place, value) for place, value in some])


@st.composite
def plots(draw: Any, focus: str) -> list[tuple[int, Any]]:
    """One of the plots, step by step."""
    pick = lambda values: draw(st.sampled_from(values))  # noqa: E731
    owner, post = pick([*zip(USERS, POSTS, strict=False)])
    others = draw(st.permutations([user for user in USERS if user != owner]))
    plot = pick(
        [plot for plot in PLOTS if focus not in ("people", "groups") or ("w" in plot) == (focus == "people")]
    )
    kind = "comment" if focus == "threads" else pick(["like", "repost"])
    about: dict[str, Any] = {"owner": owner}
    if "w" in plot or draw(st.integers(0, 5)) == 0:
        about["scope"] = pick(SCOPES)
    if "w" in plot:  # whatever became of the post, who is mentioned hears
        about["mentions"] = [owner]
    happens: list[Any] = []
    for letter in plot:
        which = "ab".find(letter.lower())
        thing = NEW[which] if kind == "comment" else post
        if letter == "!":
            verb = pick(["read", "read", "archive", "click", "seen"])
            happens.append(Marks(owner, verb, 0, draw(st.integers(0, 1)), draw(st.booleans())))
        elif letter == "m":
            aspect, what = pick([("author", others[0]), ("entity", post), ("thread", post)])
            happens.append(Change("", "mute", owner, object=what, aspect=aspect))
        elif letter == "w":
            happens.append(draw(wishes(owner, kind, about["scope"])))
        elif letter.isupper():
            happens.append(Activity("", UNDOES[kind], others[which], thing))
        else:
            target = post if kind == "comment" else None
            happens.append(Activity("", kind, others[which], thing, target=target, **about))
    first, waits = pick([0, 6_000]), pick([[0, 700], WAITS_MS[:-3]])  # a row updated long ago is so at once
    return [(pick(waits) if number else first, what) for number, what in enumerate(happens)]


@st.composite
def histories(draw: Any, at_most: int = 30) -> list[tuple[Item, int]]:
    """(what, append time in ms) in publishing order; sometimes an id comes again, with the same body or another."""
    focus, now = draw(st.sampled_from(list(FOCUS))), START_MS
    at_least = draw(st.sampled_from([0, at_most // 4, at_most * 2 // 3]))  # alone, most would be short
    posts = [Activity(f"b{post}", "post", user, post) for user, post in zip(USERS, POSTS, strict=False)]
    history: list[tuple[Item, int]] = [(post, now) for post in posts if focus == "groups"]
    alone = steps(focus).map(lambda step: [step])
    happens = draw(
        st.lists(st.one_of(alone, alone, alone, plots(focus)), min_size=at_least, max_size=at_most)
    )
    for number, (wait, item) in enumerate(chain(*happens)):
        now += wait
        published = [other for other, _ in history if isinstance(other, Activity)]
        again = draw(st.integers(0, 24)) if published else 24
        if isinstance(item, Activity | Change):
            item.id = f"a{number}"
            if item.occurred_at is not None:
                item.occurred_at += now
            if isinstance(item, Activity) and item.expires_at is not None:
                item.expires_at += now
        if again < 2:
            item = draw(st.sampled_from(published))
            if again == 1:
                item = Activity(
                    **{name: getattr(item, name) for name in item.__struct_fields__} | {"data": b"{}"}
                )
        history.append((item, now))
    return history


def marked(shown: list[tuple[str, int]], marks: Marks, number: int) -> Change | None:
    """The mark on what was `shown`, (id, seq) newest first; None if nothing was."""
    if not shown:
        return None
    first, second = shown[marks.first % len(shown)], shown[marks.second % len(shown)]
    if marks.up_to:
        return Change(f"k{number}", "mark", marks.user, verb=marks.verb, up_to=first[1])
    some = list(dict.fromkeys((first, second)))
    return Change(
        f"k{number}",
        "mark",
        marks.user,
        verb=marks.verb,
        ids=[id_ for id_, _ in some],
        seqs=[seq for _, seq in some],
    )


def play(history: list[tuple[Item, int]], *takers: Any) -> None:
    """Let every taker (model, pipelines) take the history; each marks what it has shown itself. Then time passes."""
    shown: dict[tuple[int, str], list[tuple[str, int]]] = {}
    for number, (item, at) in enumerate(history):
        for taker in takers:
            if isinstance(item, Look) or (isinstance(item, Marks) and not item.stale):
                shown[id(taker), item.user] = [(row["id"], row["place"]) for row in taker.inbox(item.user)]
            if isinstance(item, Marks):
                mark = marked(shown.get((id(taker), item.user), []), item, number)
                if mark is not None:
                    taker.take(mark, at)
            elif not isinstance(item, Look):
                taker.take(item, at)
    end = max([at for _, at in history], default=START_MS) + 10_000_000
    for taker in takers:
        taker.take(None, end)


def lively(count: int, seed: int = 1) -> list[tuple[Item, int]]:
    """A history without Hypothesis: the same in every process."""
    random_ = random.Random(seed)
    history: list[tuple[Item, int]] = []
    for number in range(count):
        user, other, post, new = (random_.choice(names) for names in (USERS, USERS, POSTS, NEW))
        item: Item = random_.choice(
            [
                Activity(f"a{number}", "post", user, post, mentions=[other]),
                Activity(f"a{number}", "comment", user, new, target=post),
                Activity(f"a{number}", "reply", user, f"r{number}", target=new),
                Activity(f"a{number}", "like", user, post),
                Activity(f"a{number}", "unlike", user, post),
                Activity(f"a{number}", "message", user, f"m{number}", target="m", recipients=USERS),
                Activity(f"a{number}", "delete", user, new, by_operator=number % 7 == 0),
                Change(
                    f"a{number}",
                    random_.choice(["follow", "follow", "unfollow", "block", "unblock"]),
                    user,
                    object=other,
                ),
                Change(f"a{number}", "mute", user, object=post, aspect="thread"),
                Look(user),
                Marks(user, random_.choice(VERBS), 0, 1, number % 2 == 0),
            ]
        )
        history.append((item, START_MS + number * 1_500))
    return [(item, at) for item, at in history if not (isinstance(item, Change) and item.user == item.object)]
