"""Dead letters: what could not go through, with origin and reason; listed, shown, retried, dropped."""

import re
from base64 import b64encode
from typing import Any, Final

from msgspec import json as msgspec_json
from msgspec.structs import asdict

from fanbell.edge.backend import Letter
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, whole_number
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.edge.http.operate import ALL, BODY, operators_only
from fanbell.edge.problems import fault, not_found, unprocessable
from fanbell.schemas.codec import Undecodable, decode
from fanbell.schemas.limits import BATCH_MAX

LETTERS_DEFAULT: Final = 100
LETTERS_MAX: Final = 1_000
_OFFSET: Final = re.compile("[0-9]{1,18}")


async def list_dead(edge: Edge, asked: Asked) -> Answer:
    """Dead letters, oldest first."""
    operators_only(asked)
    query = asked.query(("after", "limit"))
    limit = whole_number(query, "limit", LETTERS_DEFAULT, 1, LETTERS_MAX)
    after = whole_number(query, "after", -1, 0, d.OFFSET_MAX)
    letters = await edge.backend.dead_letters(after, limit + 1)
    more = len(letters) > limit
    items = [letter_of(letter) for letter in letters[:limit]]
    return to_json({"items": items, "next": letters[limit - 1].offset if more else None})


async def show_dead(edge: Edge, asked: Asked) -> Answer:
    """One dead letter with what it carries."""
    operators_only(asked)
    asked.query()
    text = asked.param("offset")
    if not _OFFSET.fullmatch(text) or int(text) > d.OFFSET_MAX:
        raise unprocessable("The path names no offset.", [fault("offset", "must be a whole number")])
    letters = await edge.backend.dead_letters(int(text) - 1, 1)
    if not letters or letters[0].offset != int(text):
        raise not_found("There is no such dead letter; it may have been retried or dropped.")
    letter = letters[0]
    return to_json({**letter_of(letter), **_carried(letter.dead.value)})


def letter_of(letter: Letter) -> dict[str, Any]:
    """A dead letter without what it carries."""
    fields = asdict(letter.dead)
    size = len(fields.pop("value"))
    origin = {
        "topic": fields.pop("topic"),
        "partition": fields.pop("partition"),
        "offset": fields.pop("offset"),
    }
    return {"offset": letter.offset, **fields, "origin": origin, "bytes": size}


def _carried(value: bytes) -> dict[str, Any]:
    """What a letter carries: the bytes, and the record that they are if they are one."""
    told: dict[str, Any] = {"value_base64": b64encode(value).decode(), "record": None, "record_type": None}
    try:
        record = decode(value)
        # Bytes inside a record become base64, and what cannot be JSON at all stays in value_base64.
        told["record"] = msgspec_json.decode(msgspec_json.encode(record))
        told["record_type"] = type(record).__name__
    except (Undecodable, UnicodeEncodeError):
        pass  # a letter may have died of exactly that
    return told


async def retry_dead(edge: Edge, asked: Asked) -> Answer:
    """Send dead letters through once more."""
    operators_only(asked)
    asked.query()
    return to_json({"retried": await edge.backend.retry_dead(await _offsets(asked))}, 202)


async def drop_dead(edge: Edge, asked: Asked) -> Answer:
    """Forget dead letters."""
    operators_only(asked)
    asked.query()
    return to_json({"dropped": await edge.backend.drop_dead(await _offsets(asked))}, 202)


async def _offsets(asked: Asked) -> list[int]:
    offsets = (await asked.json_object(("offsets",))).get("offsets")
    if type(offsets) is not list or len(offsets) > BATCH_MAX:
        message = f"must be an array of at most {BATCH_MAX} offsets"
        raise unprocessable("The offsets cannot be used.", [fault("offsets", message)])
    errors = [
        fault("offsets", "must be a whole number, 0 or more", item)
        for item, offset in enumerate(offsets)
        if type(offset) is not int or not 0 <= offset <= d.OFFSET_MAX
    ]
    if errors:
        raise unprocessable("The offsets cannot be used.", errors)
    return list(dict.fromkeys(offsets))


_OFFSETS: Final = d.body(d.ref("Offsets"), {"two": {"offsets": [0, 3]}})

CALLS = (
    Call(
        "GET",
        "/v1/dead",
        list_dead,
        "Dead letters",
        "What could not go through, oldest first, with origin and reason.",
        "operation",
        {200: d.json("A page.", "Letters", None), **ALL},
        (
            d.query("after", "`next` of the page before.", d.OFFSET),
            d.query(
                "limit",
                "At most so many.",
                {"type": "integer", "minimum": 1, "maximum": LETTERS_MAX, "default": LETTERS_DEFAULT},
            ),
        ),
    ),
    Call(
        "GET",
        "/v1/dead/{offset}",
        show_dead,
        "One dead letter",
        "With what it carries.",
        "operation",
        {200: d.json("The letter.", "Letter", None), **d.problems(400, 401, 403, 404, 422, 429, 503)},
        (d.path("offset", "Its place in `dead`.", d.OFFSET),),
    ),
    Call(
        "POST",
        "/v1/dead/retry",
        retry_dead,
        "Retry dead letters",
        "They go through once more, as if they had just come.",
        "operation",
        {202: d.json("How many.", "Retried", {"retried": 2}), **BODY},
        body=_OFFSETS,
    ),
    Call(
        "POST",
        "/v1/dead/drop",
        drop_dead,
        "Drop dead letters",
        "They are listed no more.",
        "operation",
        {202: d.json("How many.", "Dropped", {"dropped": 2}), **BODY},
        body=_OFFSETS,
    ),
)
