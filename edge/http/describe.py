"""The words in which OpenAPI tells of the calls: parameters, bodies, answers, examples.

Written by hand, because requests are parsed by `schemas/parse.py` and answers are bytes: no model stands
between. tests/edge/http/test_describe.py holds what is said here to what is answered.
"""

from base64 import urlsafe_b64encode
from typing import Any, Final

from fanbell.edge.problems import CONTENT_TYPE
from fanbell.schemas.limits import (
    BATCH_MAX,
    ID_BYTES_MAX,
    MENTIONS_MAX,
    PREFERENCES_MAX,
    PROFILE_BYTES_MAX,
    RECIPIENTS_MAX,
)
from fanbell.schemas.parse import ASPECTS, IMPORTANCES, VALUES

Schema = dict[str, Any]

__all__ = ["ASPECTS"]

# A JSON Schema counts characters and we count bytes, so maxLength is what all-ASCII ids may have.
ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": ID_BYTES_MAX,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
}
LOCALE: Final[Schema] = {
    "type": "string",
    "maxLength": 35,
    "pattern": "^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$",
}
OFFSET: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 10**17}
CURSOR_EXAMPLE: Final = urlsafe_b64encode(b"\x01" + (42).to_bytes(8)).decode() + "bG9n"

ACTIVITY: Final = {
    "id": "a1", "kind": "post", "actor": "ana", "object": "post-1", "data": {"title": "Hello"},
    "occurred_at": "2026-01-31T12:00:00Z",
}  # fmt: skip
TRACE: Final = {
    "id": "a1",
    "state": "routed",
    "heard": 12,
    "silenced": {"mutes": 1},
    "stored": True,
    "reason": None,
}
COUNTS: Final = {"unread": 2, "unseen": 1, "kinds": {"like": 2}, "scopes": {"project-1": 1}}
PREFERENCES: Final = {"items": [{"kind": "like", "channel": "inbox", "scope": "*", "value": "off"}]}
PROFILE: Final = {
    "id": "ana", "name": "Ana", "avatar_url": "https://example.org/ana.png", "locale": "de", "timezone": "Europe/Berlin",
}  # fmt: skip
ITEM: Final = {
    "id": "a1", "cursor": CURSOR_EXAMPLE, "kind": "like", "reason": "like", "text": "Ana and Ben liked your post",
    "url": "/posts/post-1", "actors": [{"id": "ana", "name": "Ana", "avatar_url": None}, {"id": "ben", "name": "Ben", "avatar_url": None}],
    "count": 2, "object": "post-1", "target": None, "scope": None, "data": None, "created_at": "2026-01-31T12:00:00.000Z",
    "updated_at": "2026-01-31T12:05:00.000Z", "seen": False, "read": False, "archived": False, "clicked": False,
}  # fmt: skip
PAGE: Final = {
    "items": [ITEM], "cursor": CURSOR_EXAMPLE, "next": None, "prev": None, "total": 1, "unread": 1, "unseen": 1,
}  # fmt: skip


def ref(name: str) -> Schema:
    """A reference to the model `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def path(name: str, description: str, schema: Schema = ID) -> Schema:
    """A path parameter. Percent-encode everything but letters, digits and `-_~`; `/` as %2F, `.` as %2E."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def query(name: str, description: str, schema: Schema | None = None) -> Schema:
    """A query parameter."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": schema or {"type": "string", "maxLength": 512},
    }


def json(description: str, model: str, example: Any) -> Schema:
    """An answer in JSON of the form `model`."""
    content: Schema = {"schema": ref(model)}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


def body(schema: Schema, examples: dict[str, Any]) -> Schema:
    """A required body in JSON."""
    named = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": named}}}


_WHY: Final = {
    400: "The request cannot be read: malformed path, query or JSON.",
    401: "A token is needed, or this one does not count.",
    403: "The token, or the web origin, may not do this.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "An id was used before with another body.",
    413: "Too large.",
    415: "The body must be application/json.",
    422: "Understood and refused; `errors` names each item and field.",
    429: "Too many requests; see Retry-After.",
    503: "Cannot be done now: the backlog is past its bound, or the log cannot be written. See Retry-After.",
}


def problems(*statuses: int) -> dict[int, Schema]:
    """Answers that are problems, by status. 421 (another Host) is possible everywhere."""
    content = {CONTENT_TYPE: {"schema": ref("Problem")}}
    return {
        **{status: {"description": _WHY[status], "content": content} for status in statuses},
        421: {"description": "The Host header does not name this server.", "content": content},
    }


def _object(properties: dict[str, Schema], required: str = "", closed: bool = False) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required.split()
    if closed:
        schema["additionalProperties"] = False
    return schema


def _all(properties: dict[str, Schema]) -> Schema:
    return _object(properties, " ".join(properties))


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_NUMBERS: Final[Schema] = {"type": "object", "additionalProperties": _WHOLE}
_TIME: Final[Schema] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 0, "exclusiveMaximum": 4_102_444_800_000},
    ],
    "description": "RFC 3339 with an offset, or Unix milliseconds; 1970 to 2100.",
}
_IDS: Final[Schema] = {"type": "array", "items": ID}
_LETTER: Final = {
    "offset": _WHOLE, "index": {"type": "integer"}, "n": {"type": "integer"}, "id": _TEXT, "reason": _TEXT, "detail": _TEXT,
    "time_ms": {"type": "integer"}, "bytes": _WHOLE,
    "origin": _all({"topic": _TEXT, "partition": {"type": "integer"}, "offset": {"type": "integer"}}),
}  # fmt: skip
_PROFILE: Final = {
    "name": _or_null({"type": "string", "minLength": 1, "maxLength": PROFILE_BYTES_MAX}),
    "avatar_url": _or_null(
        {"type": "string", "minLength": 1, "maxLength": PROFILE_BYTES_MAX, "format": "uri-reference"}
    ),
    "locale": _or_null(LOCALE),
    "timezone": _or_null({"type": "string", "description": "IANA name."}),
}


MODELS: Final[dict[str, Schema]] = {
    "Activity": _object(
        {
            "id": {**ID, "description": "Of your choosing; unique. Publishing it again is a duplicate."},
            "kind": {**ID, "description": "A declared kind, or follow, unfollow, mute, unmute, block, unblock, delete."},
            "actor": ID,
            "object": {**ID, "description": "What it is done to; for a mute `author:ID`, `entity:ID`, `thread:ID` or `scope:ID`."},
            "owner": _or_null({**ID, "description": "Owner of what is acted on, if you know it."}),
            "target": _or_null({**ID, "description": "What a comment or reply answers; a message's conversation."}),
            "thread": _or_null(ID),
            "scope": _or_null(ID),
            "mentions": _or_null({**_IDS, "maxItems": MENTIONS_MAX}),
            "recipients": _or_null({**_IDS, "maxItems": RECIPIENTS_MAX}),
            "data": _or_null({"type": "object", "description": "What people wrote; at most 16 KiB, 16 deep."}),
            "importance": {"anyOf": [{"enum": list(IMPORTANCES)}, {"type": "null"}]},
            "occurred_at": _or_null(_TIME),
            "deliver_at": {"type": "null", "description": "Not supported yet."},
            "expires_at": _or_null(_TIME),
        },
        "id kind actor object",
        closed=True,
    ),
    "Results": _all(
        {"results": {"type": "array", "items": _all({"id": ID, "status": {"enum": ["accepted", "duplicate"]}})}},
    ),
    "Trace": _all(
        {
            "id": ID, "state": {"enum": ["accepted", "waiting", "routed", "dead"]}, "heard": _WHOLE, "silenced": _NUMBERS,
            "stored": _FLAG, "reason": _or_null(_TEXT),
        }
    ),
    "Item": _all(
        {
            "id": ID, "cursor": _TEXT, "kind": _TEXT, "reason": _TEXT, "text": _TEXT, "url": _TEXT,
            "actors": {"type": "array", "items": _all({"id": ID, "name": _or_null(_TEXT), "avatar_url": _or_null(_TEXT)}), "maxItems": 3},
            "count": _WHOLE, "object": _TEXT, "target": _or_null(_TEXT), "scope": _or_null(_TEXT),
            "data": _or_null({"type": "object"}), "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"}, "seen": _FLAG, "read": _FLAG, "archived": _FLAG, "clicked": _FLAG,
        }
    ),
    "Page": _all(
        {
            "items": {"type": "array", "items": ref("Item")}, "cursor": _or_null(_TEXT), "next": _or_null(_TEXT),
            "prev": _or_null(_TEXT), "total": _WHOLE, "unread": _WHOLE, "unseen": _WHOLE,
        }
    ),
    "Counts": _all({"unread": _WHOLE, "unseen": _WHOLE, "kinds": _NUMBERS, "scopes": _NUMBERS}),
    "Marks": {
        "oneOf": [
            _object({"ids": {**_IDS, "maxItems": BATCH_MAX}}, "ids", closed=True),
            _object({"up_to": {"type": "string", "description": "A cursor."}}, "up_to", closed=True),
        ]
    },
    "Accepted": _all({"status": {"const": "accepted"}, "shown": {**_FLAG, "description": "Whether reading shows it already."}}),
    "Marked": _all({"status": {"const": "accepted"}, "shown": _FLAG, "unknown": {**_IDS, "description": "Not in the inbox; ignored."}}),
    "Ids": _all({"items": {"type": "array", "items": _TEXT}, "next": _or_null(_TEXT)}),
    "Preferences": _object(
        {
            "items": {
                "type": "array",
                "maxItems": PREFERENCES_MAX,
                "items": _object(
                    {"kind": {**ID, "default": "*"}, "channel": {**ID, "default": "*"}, "scope": {**ID, "default": "*"}, "value": {"enum": list(VALUES)}},
                    "value",
                    closed=True,
                ),
            }
        },
        "items",
        closed=True,
    ),
    "Profile": _all({"id": ID, **_PROFILE}),
    "NewProfile": _object(_PROFILE, closed=True),
    "Status": _all({"status": _TEXT}),
    "Ready": _all({"status": {"enum": ["ready", "not ready"]}, "why": _TEXT}),
    "EdgePlace": _all({"url": _TEXT, "port": _WHOLE}),
    "Stats": {"type": "object"},
    "RulesSource": _object({"source": {"type": "string", "description": "The text of a TOML file."}}, "source", closed=True),
    "RulesInForce": _all({"version": _WHOLE, "kinds": _IDS, "source": _TEXT}),
    "RulesChecked": _all({"status": {"const": "good"}, "kinds": _IDS}),
    "RulesApplied": _all({"status": {"const": "accepted"}, "version": _WHOLE, "kinds": _IDS}),
    "Letters": _all({"items": {"type": "array", "items": _all(_LETTER)}, "next": _or_null(_WHOLE)}),
    "Letter": _all({**_LETTER, "value_base64": _TEXT, "record": _or_null({"type": "object"}), "record_type": _or_null(_TEXT)}),
    "Offsets": _object({"offsets": {"type": "array", "items": OFFSET, "maxItems": BATCH_MAX}}, "offsets", closed=True),
    "Retried": _all({"retried": _WHOLE}),
    "Dropped": _all({"dropped": _WHOLE}),
    "Problem": _all(
        {
            "type": {"type": "string", "description": "`fanbell:` and a word that stays the same."},
            "title": _TEXT, "status": _WHOLE, "detail": _TEXT,
            "errors": {
                "type": "array",
                "items": _object(
                    {"item": _or_null(_WHOLE), "field": _TEXT, "message": _TEXT, "line": {"type": "integer"}}, "item field message",
                ),
            },
        }
    ),
}  # fmt: skip
