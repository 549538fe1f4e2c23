"""A user's inbox: pages, counters, marks."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast, get_args

from fanbell.edge.backend import Places
from fanbell.edge.cursor import BadCursor, decode_cursor
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, id_parameter, locale_parameter, one_of, whole_number, yes_or_no
from fanbell.edge.http.calls import Answer, Call, Edge, accepted, polled, to_json
from fanbell.edge.problems import bad_request, fault, unprocessable
from fanbell.projections.rows import LIMIT_DEFAULT, LIMIT_MAX, Archived, Query
from fanbell.schemas.limits import BATCH_MAX
from fanbell.schemas.parse import VERBS, id_fault
from fanbell.schemas.records import Change

PARAMETERS: Final = ("limit", "before", "after", "unread", "kind", "scope", "locale", "archived")
ARCHIVED: Final[tuple[str, ...]] = get_args(Archived)


async def get_notifications(edge: Edge, asked: Asked) -> Answer:
    """A page of the inbox."""
    user = asked.user_to_reach()
    given = asked.query(PARAMETERS)
    query = page_query(given, edge.backend.epoch) if given else Query()
    locale = locale_parameter(given) if given else None
    return await polled(edge, asked, user, (query, locale), lambda: edge.inbox.page(user, query, locale))


def page_query(given: dict[str, str], epoch: str) -> Query:
    """What the query parameters ask for. Raises Problem."""
    if "before" in given and "after" in given:
        raise bad_request(
            "The query cannot be used.", [fault("after", "must not be given together with before")]
        )
    return Query(
        limit=whole_number(given, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX),
        before=_cursor(given.get("before"), "before", epoch),
        after=_cursor(given.get("after"), "after", epoch),
        unread=yes_or_no(given, "unread") if "unread" in given else None,
        kind=id_parameter(given, "kind"),
        scope=id_parameter(given, "scope"),
        archived=cast(Archived, one_of(given, "archived", ARCHIVED, "exclude")),
    )


def _cursor(text: str | None, name: str, epoch: str) -> int | None:
    if text is None:
        return None
    try:
        return decode_cursor(text, epoch)
    except BadCursor as error:
        raise bad_request("The cursor cannot be used.", [fault(name, str(error))]) from None


async def get_counts(edge: Edge, asked: Asked) -> Answer:
    """The counters of the inbox."""
    user = asked.user_to_reach()
    asked.query()

    async def counted() -> bytes:
        return to_json(await edge.inbox.counts(user)).body

    return await polled(edge, asked, user, "counts", counted)


def mark_call(verb: str) -> Callable[[Edge, Asked], Awaitable[Answer]]:
    """The call that marks notifications with `verb`."""

    async def mark(edge: Edge, asked: Asked) -> Answer:
        user = asked.user_to_reach()
        asked.query()
        shown, up_to = what_to_mark(await asked.json_object(("ids", "cursors", "up_to")), edge.backend.epoch)
        found = await edge.backend.store.seqs_of(user, list(shown)) if shown else {}
        seqs = {id_: seq if (told := shown[id_]) is None else told for id_, seq in found.items()}
        places: Places = {}
        if seqs or up_to is not None:
            change = Change(
                id=secrets.token_hex(16),
                kind="mark",
                user=user,
                side="user",
                verb=verb,
                ids=list(seqs),
                seqs=list(seqs.values()),
                up_to=up_to,
            )
            places = await edge.backend.change([change])
        return await accepted(edge, places, unknown=[id_ for id_ in shown if id_ not in seqs])

    mark.__name__ = f"mark_{verb}"
    return mark


def what_to_mark(body: dict[str, Any], epoch: str) -> tuple[dict[str, int | None], int | None]:
    """(by id the seq that it was shown with, None where that is not said) or ({}, up to which seq). Raises Problem."""
    if ("ids" in body) == ("up_to" in body):
        raise unprocessable(
            "The body must have either ids or up_to.", [fault("ids", "must be given, or up_to instead")]
        )
    if "up_to" in body:
        if "cursors" in body:
            raise unprocessable(
                "The cursors cannot be used.", [fault("cursors", "belong to ids, not to up_to")]
            )
        if type(body["up_to"]) is not str:
            raise unprocessable("The cursor cannot be used.", [fault("up_to", "must be a cursor, a string")])
        return {}, _cursor(body["up_to"], "up_to", epoch)
    ids = body["ids"]
    if type(ids) is not list or len(ids) > BATCH_MAX:
        raise unprocessable(
            "The ids cannot be used.", [fault("ids", f"must be an array of at most {BATCH_MAX} ids")]
        )
    errors = [fault("ids", wrong, item) for item, id_ in enumerate(ids) if (wrong := id_fault(id_))]
    if errors:
        raise unprocessable("The ids cannot be used.", errors)
    if "cursors" not in body:
        return dict.fromkeys(ids), None
    return dict(zip(ids, _shown_with(body["cursors"], len(ids), epoch), strict=True)), None


def _shown_with(cursors: Any, count: int, epoch: str) -> list[int | None]:
    """The seqs of `cursors`, one for each id. Raises Problem."""
    right = type(cursors) is list and len(cursors) == count and all(type(one) is str for one in cursors)
    if not right:
        detail = "must be an array of as many cursors as there are ids"
        raise unprocessable("The cursors cannot be used.", [fault("cursors", detail)])
    return [_cursor(cursor, "cursors", epoch) for cursor in cursors]


_MEANING: Final = {
    "read": "Mark as read (and seen)",
    "unread": "Mark as unread",
    "seen": "Mark as seen",
    "archive": "Put into the archive (also read)",
    "unarchive": "Take out of the archive",
    "click": "Mark as clicked (also read)",
}
_USER: Final = d.path("user", "Id of the user.")
_SAME: Final[d.Schema] = {"description": "As the client has it; no body."}
_HAD: Final = (
    d.header("If-None-Match", "The `ETag` of what the client has."),
    d.header("If-Modified-Since", "Its `Last-Modified`; not looked at beside `If-None-Match`."),
)

CALLS = (
    Call(
        "GET",
        "/v1/users/{user}/notifications",
        get_notifications,
        "A page of the inbox",
        "Newest first. `next` goes in as `before` for the page below, `prev` as `after` for the page above. "
        "`total` counts what the filter matches; `unread` and `unseen` count the whole inbox.",
        "inbox",
        {200: d.json("The page.", "Page", d.PAGE), 304: _SAME, **d.problems(400, 401, 403, 422, 429, 503)},
        parameters=(
            _USER,
            *_HAD,
            d.query(
                "limit",
                "Rows of the page.",
                {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
            ),
            d.query("before", "Cursor: only what is older."),
            d.query("after", "Cursor: only what is newer, the oldest of it. Not together with `before`."),
            d.query("unread", "true: only what is unread; false: only what is read.", {"type": "boolean"}),
            d.query("kind", "Only this kind.", d.ID),
            d.query("scope", "Only this scope.", d.ID),
            d.query("locale", "Language of the texts; the profile's without it.", d.LOCALE),
            d.query(
                "archived",
                "What to do with archived rows.",
                {"type": "string", "enum": list(ARCHIVED), "default": "exclude"},
            ),
        ),
    ),
    Call(
        "GET",
        "/v1/users/{user}/counts",
        get_counts,
        "Counters of the inbox",
        "How many are unread and unseen; of the unread, how many by kind and by scope. Equal to the list.",
        "inbox",
        {
            200: d.json("The counters.", "Counts", d.COUNTS),
            304: _SAME,
            **d.problems(400, 401, 403, 422, 429, 503),
        },
        parameters=(_USER, *_HAD),
    ),
    *(
        Call(
            "POST",
            f"/v1/users/{{user}}/notifications/{verb}",
            mark_call(verb),
            _MEANING[verb],
            "Either `ids`: with `cursors`, those that each was shown with, what a group has gained since stays unread; "
            "without, as shown now. Ids not in the inbox are ignored and told in `unknown`. Or "
            "`up_to`, a cursor: every row up to it. All devices hear of it.",
            "inbox",
            {
                202: d.json("In the log.", "Marked", {"status": "accepted", "shown": True, "unknown": []}),
                **d.problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
            },
            parameters=(_USER,),
            body=d.body(
                d.ref("Marks"),
                {
                    "as shown": {"ids": ["a1"], "cursors": [d.CURSOR_EXAMPLE]},
                    "ids": {"ids": ["a1"]},
                    "up to": {"up_to": d.CURSOR_EXAMPLE},
                },
            ),
        )
        for verb in VERBS
    ),
)
