"""The models of OpenAPI: JSON Schemas of what is sent and answered, by name."""

from typing import Any, Final

from fanbell.edge.http.describe import ID, LOCALE, OFFSET, ref
from fanbell.schemas.limits import (
    BATCH_MAX,
    MENTIONS_MAX,
    PREFERENCES_MAX,
    PROFILE_BYTES_MAX,
    RECIPIENTS_MAX,
    TIME_MAX_MS,
)
from fanbell.schemas.parse import IMPORTANCES, VALUES

Schema = dict[str, Any]


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
        {"type": "integer", "minimum": 0, "exclusiveMaximum": TIME_MAX_MS},
    ],
    "description": "RFC 3339 with an offset, or Unix milliseconds; 1970 to 2100.",
}
_IDS: Final[Schema] = {"type": "array", "items": ID}
_LETTER: Final = {
    "offset": _WHOLE,
    "index": {"type": "integer"},
    "n": {"type": "integer"},
    "id": _TEXT,
    "reason": _TEXT,
    "detail": _TEXT,
    "time_ms": {"type": "integer"},
    "bytes": _WHOLE,
    "origin": _all({"topic": _TEXT, "partition": {"type": "integer"}, "offset": {"type": "integer"}}),
}
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
            "kind": {
                **ID,
                "description": "A declared kind, or follow, unfollow, mute, unmute, block, unblock, delete.",
            },
            "actor": ID,
            "object": {
                **ID,
                "description": "What it is done to; for a mute `author:ID`, `entity:ID`, `thread:ID` …",
            },
            "owner": _or_null({**ID, "description": "Owner of what is acted on, if you know it."}),
            "target": _or_null(
                {**ID, "description": "What a comment or reply answers; a message's conversation."}
            ),
            "thread": _or_null(ID),
            "scope": _or_null(ID),
            "mentions": _or_null({**_IDS, "maxItems": MENTIONS_MAX}),
            "recipients": _or_null({**_IDS, "maxItems": RECIPIENTS_MAX}),
            "data": _or_null(
                {"type": "object", "description": "What people wrote; at most 16 KiB, 16 deep."}
            ),
            "importance": {"anyOf": [{"enum": list(IMPORTANCES)}, {"type": "null"}]},
            "occurred_at": _or_null(_TIME),
            "deliver_at": {"type": "null", "description": "Not supported yet."},
            "expires_at": _or_null(_TIME),
        },
        "id kind actor object",
        closed=True,
    ),
    "Results": _all(
        {
            "results": {
                "type": "array",
                "items": _all({"id": ID, "status": {"enum": ["accepted", "duplicate"]}}),
            }
        },
    ),
    "Trace": _all(
        {
            "id": ID,
            "state": {"enum": ["accepted", "waiting", "routed", "dead"]},
            "heard": _WHOLE,
            "silenced": _NUMBERS,
            "stored": _FLAG,
            "reason": _or_null(_TEXT),
        }
    ),
    "Item": _all(
        {
            "id": ID,
            "cursor": _TEXT,
            "kind": _TEXT,
            "reason": _TEXT,
            "text": _TEXT,
            "url": _or_null(_TEXT),
            "actors": {
                "type": "array",
                "items": _all({"id": ID, "name": _or_null(_TEXT), "avatar_url": _or_null(_TEXT)}),
                "maxItems": 3,
            },
            "count": _WHOLE,
            "object": _TEXT,
            "target": _or_null(_TEXT),
            "scope": _or_null(_TEXT),
            "data": _or_null({"type": "object"}),
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
            "seen": _FLAG,
            "read": _FLAG,
            "archived": _FLAG,
            "clicked": _FLAG,
        }
    ),
    "Page": _all(
        {
            "items": {"type": "array", "items": ref("Item")},
            "cursor": _or_null(_TEXT),
            "next": _or_null(_TEXT),
            "prev": _or_null(_TEXT),
            "total": _WHOLE,
            "unread": _WHOLE,
            "unseen": _WHOLE,
        }
    ),
    "Counts": _all({"unread": _WHOLE, "unseen": _WHOLE, "kinds": _NUMBERS, "scopes": _NUMBERS}),
    "Marks": {
        "oneOf": [
            _object(
                {
                    "ids": {**_IDS, "maxItems": BATCH_MAX},
                    "cursors": {
                        "type": "array",
                        "items": _TEXT,
                        "maxItems": BATCH_MAX,
                        "description": "As many as ids: the `cursor` that each was shown with.",
                    },
                },
                "ids",
                closed=True,
            ),
            _object({"up_to": {"type": "string", "description": "A cursor."}}, "up_to", closed=True),
        ]
    },
    "Accepted": _all(
        {
            "status": {"const": "accepted"},
            "shown": {**_FLAG, "description": "Whether reading shows it already."},
        }
    ),
    "Marked": _all(
        {
            "status": {"const": "accepted"},
            "shown": _FLAG,
            "unknown": {**_IDS, "description": "Not in the inbox; ignored."},
        }
    ),
    "Presence": _all(
        {
            "user": ID,
            "online": _FLAG,
            "devices": _WHOLE,
            "since": _or_null({"type": "string", "format": "date-time"}),
            "last_active": _or_null({"type": "string", "format": "date-time"}),
        }
    ),
    "Ids": _all({"items": {"type": "array", "items": _TEXT}, "next": _or_null(_TEXT)}),
    "Preferences": _object(
        {
            "items": {
                "type": "array",
                "maxItems": PREFERENCES_MAX,
                "items": _object(
                    {
                        "kind": {**ID, "default": "*"},
                        "channel": {**ID, "default": "*"},
                        "scope": {**ID, "default": "*"},
                        "value": {"enum": list(VALUES)},
                    },
                    "value",
                    closed=True,
                ),
            }
        },
        "items",
        closed=True,
    ),
    "Choices": _all({"items": {"type": "array", "items": _all({"kind": ID, "channels": _IDS})}}),
    "Profile": _all({"id": ID, **_PROFILE}),
    "NewProfile": _object(_PROFILE, closed=True),
    "Status": _all({"status": _TEXT}),
    "Ready": _all({"status": {"enum": ["ready", "not ready"]}, "why": _TEXT}),
    "EdgePlace": _all({"url": _TEXT, "port": _WHOLE, "stream": _or_null(_TEXT)}),
    "NewTicket": _object({"user": ID}, closed=True),
    "Ticket": _all({"ticket": _TEXT, "expires_in_s": _WHOLE, "user": ID}),
    "Stats": {"type": "object"},
    "RulesSource": _object(
        {"source": {"type": "string", "description": "The text of a TOML file."}}, "source", closed=True
    ),
    "RulesInForce": _all({"version": _WHOLE, "kinds": _IDS, "source": _TEXT}),
    "RulesChecked": _all({"status": {"const": "good"}, "kinds": _IDS}),
    "RulesApplied": _all({"status": {"const": "accepted"}, "version": _WHOLE, "kinds": _IDS}),
    "Letters": _all({"items": {"type": "array", "items": _all(_LETTER)}, "next": _or_null(_WHOLE)}),
    "Letter": _all(
        {
            **_LETTER,
            "value_base64": _TEXT,
            "record": _or_null({"type": "object"}),
            "record_type": _or_null(_TEXT),
        }
    ),
    "Offsets": _object(
        {"offsets": {"type": "array", "items": OFFSET, "maxItems": BATCH_MAX}}, "offsets", closed=True
    ),
    "Retried": _all({"retried": _WHOLE}),
    "Dropped": _all({"dropped": _WHOLE}),
    "Problem": _all(
        {
            "type": {"type": "string", "description": "`fanbell:` and a word that stays the same."},
            "title": _TEXT,
            "status": _WHOLE,
            "detail": _TEXT,
            "errors": {
                "type": "array",
                "items": _object(
                    {"item": _or_null(_WHOLE), "field": _TEXT, "message": _TEXT, "line": {"type": "integer"}},
                    "item field message",
                ),
            },
        }
    ),
}
