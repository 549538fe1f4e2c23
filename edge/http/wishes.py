"""What a user wishes, and may wish: follows, mutes, blocks, preferences, profile. PUT and DELETE are idempotent."""

import secrets
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, id_parameter, whole_number
from fanbell.edge.http.calls import Answer, Call, Edge, accepted, to_json
from fanbell.edge.problems import fault, unprocessable
from fanbell.projections.store import Profile
from fanbell.schemas.limits import ID_BYTES_MAX
from fanbell.schemas.parse import ASPECTS, Invalid, id_fault, parse_preferences
from fanbell.schemas.parse_change import profile_shape_fault
from fanbell.schemas.records import Activity, Change

LISTS: Final = {
    "follows": ("follow", "unfollow"),
    "mutes": ("mute", "unmute"),
    "blocks": ("block", "unblock"),
}
"""List: the kinds of PUT and DELETE."""
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
PROFILE_FIELDS: Final = ("name", "avatar_url", "locale", "timezone")


def wish_call(what: str, kind: str) -> Callable[[Edge, Asked], Awaitable[Answer]]:
    """The call that makes one change of `kind` to the list `what`."""

    async def wish(edge: Edge, asked: Asked) -> Answer:
        user = asked.user_to_act_for()
        asked.query()
        named = mute_of(asked.param("id")) if what == "mutes" else (None, asked.id("id"))
        aspect, other = named
        change = Change(id=secrets.token_hex(16), kind=kind, user=user, object=other, aspect=aspect)
        whole = f"{aspect}:{other}" if aspect else other
        if faults := edge.backend.rules.faults(Activity(id=change.id, kind=kind, actor=user, object=whole)):
            raise unprocessable("This cannot be wished.", [fault("id", message) for _, message in faults])
        return await accepted(edge, await edge.backend.change([change]))

    wish.__name__ = f"{kind}_put" if kind in ("follow", "mute", "block") else f"{kind}_delete"
    return wish


def mute_of(text: str) -> tuple[str, str]:
    """(aspect, id) of what `aspect:id` mutes. Raises Problem. The id alone may be as long as any."""
    aspect, _, id_ = text.partition(":")
    if aspect not in ASPECTS:
        raise unprocessable(
            "The path names nothing to mute.",
            [fault("id", "must be author:ID, entity:ID, thread:ID or scope:ID")],
        )
    if wrong := id_fault(id_):
        raise unprocessable("The path names no possible id.", [fault("id", wrong)])
    return aspect, id_


def list_call(what: str) -> Callable[[Edge, Asked], Awaitable[Answer]]:
    """The call that lists what the user follows, mutes or blocks."""

    async def listed(edge: Edge, asked: Asked) -> Answer:
        user = asked.user_to_reach()
        query = asked.query(("limit", "after"))
        limit = whole_number(query, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
        after = _after(query, what)
        ids = await edge.backend.store.listed(user, what, after, limit + 1)
        return to_json({"items": ids[:limit], "next": ids[limit - 1] if len(ids) > limit else None})

    listed.__name__ = f"list_{what}"
    return listed


def _after(query: dict[str, str], what: str) -> str | None:
    text = query.get("after")
    if text is not None and what == "mutes" and ":" in text:
        mute_of(text)
        return text
    return id_parameter(query, "after")


async def get_preferences(edge: Edge, asked: Asked) -> Answer:
    """The user's preferences."""
    user = asked.user_to_reach()
    asked.query()
    return to_json({"items": await edge.backend.store.preferences(user)})


async def put_preferences(edge: Edge, asked: Asked) -> Answer:
    """Replace the user's preferences."""
    user = asked.user_to_act_for()
    asked.query()
    body = await asked.json_object(("items",))
    try:
        items = parse_preferences(body.get("items"))
    except Invalid as error:
        raise unprocessable(
            "The preferences are refused.", [fault(f, message) for f, message in error.errors]
        ) from None
    change = Change(id=secrets.token_hex(16), kind="preferences", user=user, preferences=items)
    return await accepted(edge, await edge.backend.change([change]))


async def get_users_kinds(edge: Edge, asked: Asked) -> Answer:
    """The kinds about which a user can decide. What the rules are beyond that is for operators."""
    asked.user_to_reach()
    asked.query()
    kinds = edge.backend.rules.kinds.values()
    choices = [kind for kind in kinds if not kind.mandatory and kind.undoes is None]
    return to_json({"items": [{"kind": kind.name, "channels": kind.channels} for kind in choices]})


async def get_profile(edge: Edge, asked: Asked) -> Answer:
    """The user's profile; all null for a user without one."""
    user = asked.user_to_reach()
    asked.query()
    profile = (await edge.backend.store.profiles([user])).get(user, Profile())
    return to_json({"id": user, **{name: getattr(profile, name) for name in PROFILE_FIELDS}})


async def put_profile(edge: Edge, asked: Asked) -> Answer:
    """Replace the user's profile."""
    user = asked.user_to_act_for()
    asked.query()
    body = await asked.json_object(PROFILE_FIELDS)
    faults = [
        fault(name, wrong)
        for name, value in body.items()
        if value is not None and (wrong := profile_fault(name, value))
    ]
    if faults:
        raise unprocessable("The profile is refused.", faults)
    change = Change(id=secrets.token_hex(16), kind="profile", user=user, **body)
    return await accepted(edge, await edge.backend.change([change]))


def profile_fault(name: str, value: Any) -> str | None:
    """What is wrong with `value` as the field `name` of a profile; None if nothing is."""
    if wrong := profile_shape_fault(name, value):
        return wrong
    if name == "timezone" and (zones := _zones()) and value not in zones:
        return "must be an IANA time zone such as Europe/Berlin"
    return None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """The zones this machine knows; empty on a machine without time-zone data, where any name passes."""
    return frozenset(available_timezones())


_USER: Final = d.path("user", "Id of the user.")
_ACCEPTED: Final[d.Answers] = {202: d.json("In the log.", "Accepted", {"status": "accepted", "shown": True})}
_OTHER: Final = {
    "follows": d.path("id", "Whom or what to follow: a user, a scope, an entity."),
    "mutes": d.path(
        "id",
        "What to mute: `author:ID`, `entity:ID`, `thread:ID` or `scope:ID`.",
        {
            "type": "string",
            "pattern": "^(author|entity|thread|scope):[\\s\\S]+$",
            "maxLength": ID_BYTES_MAX + 7,
        },
    ),
    "blocks": d.path("id", "Whom to block."),
}
_MEANING: Final = {
    "follow": ("Follow", "The other person hears of it once, however often it is put."),
    "unfollow": (
        "Follow no longer",
        "Retracts what the other person heard of it. Fine where nothing was followed.",
    ),
    "mute": ("Mute", "For the future only: what is in the inbox stays."),
    "unmute": ("Mute no longer", "Fine where nothing was muted."),
    "block": ("Block", "Neither hears of the other any more, and follows end both ways."),
    "unblock": ("Block no longer", "Follows that the block ended do not come back."),
}


def _calls_of(what: str) -> tuple[Call, ...]:
    put, delete = LISTS[what]
    refusals = d.problems(400, 401, 403, 422, 429, 503)
    both = (_USER, _OTHER[what])
    path = f"/v1/users/{{user}}/{what}"
    pages = (
        d.query(
            "limit",
            "At most so many.",
            {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        ),
        d.query("after", "`next` of the page before."),
    )
    listed: d.Answers = {
        200: d.json("In the order of ids.", "Ids", {"items": ["ben"], "next": None}),
        **refusals,
    }
    return (
        Call(
            "PUT",
            f"{path}/{{id}}",
            wish_call(what, put),
            *_MEANING[put],
            "wishes",
            {**_ACCEPTED, **refusals},
            both,
        ),
        Call(
            "DELETE",
            f"{path}/{{id}}",
            wish_call(what, delete),
            *_MEANING[delete],
            "wishes",
            {**_ACCEPTED, **refusals},
            both,
        ),
        Call(
            "GET", path, list_call(what), f"List {what}", "A page of ids.", "wishes", listed, (_USER, *pages)
        ),
    )


_READ: Final = d.problems(400, 401, 403, 422, 429, 503)
_WRITTEN: Final[d.Answers] = {**_ACCEPTED, **d.problems(400, 401, 403, 408, 413, 415, 422, 429, 503)}

CALLS = (
    *(call for what in LISTS for call in _calls_of(what)),
    Call(
        "GET",
        "/v1/users/{user}/preferences",
        get_preferences,
        "Preferences",
        "What the user wants to hear, and where.",
        "wishes",
        {200: d.json("All of them.", "Preferences", d.PREFERENCES), **_READ},
        (_USER,),
    ),
    Call(
        "PUT",
        "/v1/users/{user}/preferences",
        put_preferences,
        "Replace the preferences",
        "`*`, or leaving a key away, is any. Of those that match, the more specific counts: scope first, "
        "then kind, then channel. Inbox off is: no row, no badge.",
        "wishes",
        _WRITTEN,
        (_USER,),
        d.body(d.ref("Preferences"), {"quiet": d.PREFERENCES}),
    ),
    Call(
        "GET",
        "/v1/users/{user}/kinds",
        get_users_kinds,
        "What can be preferred",
        "The kinds that preferences can turn on and off, with the channels that each can go to, in the order of the "
        "rules. Without those that are mandatory, or only take others back.",
        "wishes",
        {200: d.json("All of them.", "Choices", d.CHOICES), **_READ},
        (_USER,),
    ),
    Call(
        "GET",
        "/v1/users/{user}",
        get_profile,
        "Profile",
        "How the user is shown to others; null is not said.",
        "wishes",
        {200: d.json("The profile.", "Profile", d.PROFILE), **_READ},
        (_USER,),
    ),
    Call(
        "PUT",
        "/v1/users/{user}",
        put_profile,
        "Replace the profile",
        "A field left away is cleared.",
        "wishes",
        _WRITTEN,
        (_USER,),
        d.body(d.ref("NewProfile"), {"Ana": {k: v for k, v in d.PROFILE.items() if k != "id"}}),
    ),
)
