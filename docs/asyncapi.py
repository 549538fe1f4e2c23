"""docs/asyncapi.yaml out of the tables in the code: `make docs`. Tests hold real frames, both ways, to what it says.

AsyncAPI 3.0. Each frame is a message whose payload is a JSON Schema; close codes are under `x-close-codes`.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from fanbell.edge.close_codes import CLOSE_CODES, WAIT_MS_MAX
from fanbell.edge.frames import REF_CHARS_MAX, SUBPROTOCOL, TEXT_CHARS_MAX
from fanbell.edge.http.describe import COUNTS, CURSOR_EXAMPLE, ID, ITEM
from fanbell.edge.http.models import MODELS
from fanbell.schemas.limits import BATCH_MAX, PREFERENCES_MAX
from fanbell.schemas.parse import VERBS

ASYNCAPI: Final = Path(__file__).parent / "asyncapi.yaml"
Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_REF: Final[Schema] = {
    "type": ["string", "null"],
    "maxLength": REF_CHARS_MAX,
    "description": "Comes back with the answer; without one there is no answer.",
}
_CURSOR: Final[Schema] = {
    "type": "string",
    "minLength": 12,
    "maxLength": TEXT_CHARS_MAX,
    "description": "Opaque; keep the latest, together with the rows.",
}
_OR_NO_CURSOR: Final[Schema] = {"type": ["string", "null"], "maxLength": TEXT_CHARS_MAX}
_GIVEN: Final[Schema] = {"type": ["string", "null"], "maxLength": TEXT_CHARS_MAX}
_IDS: Final[Schema] = {"type": "array", "items": ID}
_ITEM: Final[Schema] = {"$ref": "#/components/schemas/Item"}
_ITEMS: Final[Schema] = {"type": "array", "items": _ITEM}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 0}
_REFUSED_FOR: Final = ("busy", "unavailable", "unauthorized", "forbidden")
_PAGE: Final[dict[str, Schema]] = {
    "items": _ITEMS,
    "cursor": _CURSOR,
    "next": {
        **_OR_NO_CURSOR,
        "description": "`before` of `GET …/notifications` for the rows below; null if there are none.",
    },
    "prev": _OR_NO_CURSOR,
    "total": {"type": "integer", "minimum": 0},
    "unread": {"type": "integer", "minimum": 0},
    "unseen": {"type": "integer", "minimum": 0},
}


def frame(type_: str | tuple[str, ...], properties: dict[str, Schema], optional: str = "") -> Schema:
    """The schema of a frame; all its properties are required but for the `optional` ones."""
    one = {"const": type_} if isinstance(type_, str) else {"enum": list(type_)}
    required = ["type", *(name for name in properties if name not in optional.split())]
    return {"type": "object", "properties": {"type": one, **properties}, "required": required}


_MARK: Final[Schema] = {
    "type": "object",
    "properties": {"type": {"enum": list(VERBS)}, "ref": _REF},
    "required": ["type"],
    "oneOf": [
        {
            "properties": {
                "ids": {**_IDS, "minItems": 1, "maxItems": BATCH_MAX},
                "cursors": {
                    "type": ["array", "null"],
                    "items": _TEXT,
                    "description": "The `cursor` each item was shown with, as many as there are ids: "
                    "what a group has gained since stays as it is.",
                },
                "up_to": {"type": "null"},
            },
            "required": ["ids"],
        },
        {
            "properties": {"up_to": _CURSOR | {"minLength": 0}},
            "required": ["up_to"],
            "not": {"required": ["ids"]},
        },
    ],
}

CLIENT: Final[dict[str, tuple[str, Schema, Schema]]] = {
    "connect": (
        "The first frame: whose inbox, and up to where it is known.",
        frame(
            "connect",
            {
                "user": {
                    "anyOf": [ID, {"type": "null"}],
                    "description": "May be left out where a token names it (`sub`).",
                },
                "token": {
                    **_GIVEN,
                    "description": "A JWT; or in the handshake's `Authorization: Bearer` header.",
                },
                "cursor": {**_GIVEN, "description": "The latest cursor, if rows are kept."},
                "locale": {
                    "type": ["string", "null"],
                    "maxLength": REF_CHARS_MAX,
                    "description": "Of texts; else the profile's.",
                },
            },
            "user token cursor locale",
        ),
        {
            "type": "connect",
            "user": "ana",
            "token": "eyJhbGciOiJIUzI1NiJ9.…",
            "cursor": CURSOR_EXAMPLE,
            "locale": "de",
        },
    ),
    "token": (
        "A new token for the same user, before the old one ends.",
        frame(
            "token",
            {"token": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX}, "ref": _REF},
            "ref",
        ),
        {"type": "token", "token": "eyJhbGciOiJIUzI1NiJ9.…", "ref": "t1"},
    ),
    "mark": (
        "Mark rows: ids as they were shown, or all up to a cursor.",
        _MARK,
        {"type": "read", "ids": ["a1"], "cursors": [CURSOR_EXAMPLE], "ref": "m1"},
    ),
    "ping": (
        "Answered by `pong`, whose cursor grows for quiet users too.",
        frame("ping", {"ref": _REF}, "ref"),
        {"type": "ping", "ref": "p1"},
    ),
}
"""What a client may send: (summary, schema, example) by message."""

SERVER: Final[dict[str, tuple[str, Schema, Schema]]] = {
    "hello": (
        "The first frame. `recovered`: what was missed follows; else a `page` does.",
        frame(
            "hello",
            {
                "user": {**ID, "description": "Whose inbox this is."},
                "epoch": {**_TEXT, "description": "Names the log; another one makes all cursors worthless."},
                "keep": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "An inbox is its newest so many: drop rows beyond.",
                },
                "cursor": {**_OR_NO_CURSOR, "description": "The client's own, if it could be honoured."},
                "recovered": {"type": "boolean"},
                "oldest": {
                    **_OR_NO_CURSOR,
                    "description": "Rows whose cursor is below it have left: drop them. Null before a page.",
                },
                "counts": {"$ref": "#/components/schemas/Counts"},
            },
        ),
        {
            "type": "hello",
            "user": "ana",
            "epoch": "log",
            "keep": 200,
            "cursor": None,
            "recovered": False,
            "oldest": None,
            "counts": COUNTS,
        },
    ),
    "page": (
        "The newest rows; replaces all that the client has.",
        frame("page", _PAGE),
        {
            "type": "page",
            "items": [ITEM],
            "cursor": CURSOR_EXAMPLE,
            "next": None,
            "prev": None,
            "total": 1,
            "unread": 1,
            "unseen": 1,
        },
    ),
    "notification": (
        "A row that is new or has grown: first in the list, in place of one with the same id.",
        frame("notification", {"item": _ITEM, "cursor": _CURSOR}),
        {"type": "notification", "item": ITEM, "cursor": CURSOR_EXAMPLE},
    ),
    "state": (
        "Rows whose marks or content changed, or that were put back, where they stand.",
        frame("state", {"items": _ITEMS, "cursor": _CURSOR}, "cursor"),
        {"type": "state", "items": [ITEM | {"seen": True, "read": True}], "cursor": CURSOR_EXAMPLE},
    ),
    "retract": (
        "A row that is no more.",
        frame("retract", {"id": ID, "cursor": _CURSOR}),
        {"type": "retract", "id": "a1", "cursor": CURSOR_EXAMPLE},
    ),
    "gone": (
        "Rows that left by themselves, because their time is over: drop them.",
        frame("gone", {"ids": _IDS}),
        {"type": "gone", "ids": ["a1"]},
    ),
    "kept": (
        "Drop every row that is not among these.",
        frame("kept", {"ids": _IDS}),
        {"type": "kept", "ids": ["a1", "a2"]},
    ),
    "counts": (
        "The counters, at most every 100 ms, the last always.",
        {"allOf": [{"$ref": "#/components/schemas/Counts"}, frame("counts", {})]},
        {"type": "counts", **COUNTS},
    ),
    "wish": (
        "A follow, mute, block, preference or profile changed, perhaps on another device.",
        frame(
            "wish",
            {
                "kind": {
                    "enum": [
                        "follow",
                        "unfollow",
                        "mute",
                        "unmute",
                        "block",
                        "unblock",
                        "preferences",
                        "profile",
                    ]
                },
                "object": {**_TEXT, "description": "A user or entity; of a mute, `author:ID`, `entity:ID` …"},
                "items": {"type": "array", "maxItems": PREFERENCES_MAX, "items": {"type": "object"}},
                "profile": {"type": ["object", "null"]},
                "cursor": _CURSOR,
            },
            "object items profile",
        ),
        {"type": "wish", "kind": "mute", "object": "author:ben", "cursor": CURSOR_EXAMPLE},
    ),
    "accepted": (
        "A mark with this ref is in the log; a token with this ref is in force.",
        frame("accepted", {"ref": _TEXT}),
        {"type": "accepted", "ref": "m1"},
    ),
    "refused": (
        "What came with this ref did not take effect. `busy` and `unavailable`: try again later.",
        frame(
            "refused",
            {
                "ref": _TEXT,
                "reason": {"enum": list(_REFUSED_FOR)},
                "retry_after_s": _SECONDS,
                "detail": _TEXT,
            },
            "retry_after_s detail",
        ),
        {"type": "refused", "ref": "m1", "reason": "busy", "retry_after_s": 2},
    ),
    "pong": (
        "The answer to `ping`.",
        frame("pong", {"ref": _TEXT, "cursor": _CURSOR}, "ref cursor"),
        {"type": "pong", "ref": "p1", "cursor": CURSOR_EXAMPLE},
    ),
}
"""What the server sends: (summary, schema, example) by frame type."""

_CLOSE_EVENT: Final = (
    "Event streams only: the last event before the server ends the stream; what a close code says on a WebSocket.",
    {
        "type": "object",
        "properties": {
            "code": {"type": "integer"},
            "reason": _TEXT,
            "comes_back": {"type": "boolean"},
            "after_ms": {"type": "integer", "minimum": 0},
        },
        "required": ["code", "reason", "comes_back", "after_ms"],
    },
    {"code": 1001, "reason": "the server stops or restarts", "comes_back": True, "after_ms": 500},
)

DESCRIPTION: Final = """\
One session is one inbox. Frames are JSON objects with a `type`, as text. The client says `connect`; the server says
`hello`, then what was missed or a `page`, then what happens. Clients ignore frame types and fields that they do not
know; the server closes on types that it does not know (4404). edge.md, beside this file, explains it in full.
"""


def messages() -> Schema:
    """All messages, by name."""
    made = {name: _message(name, *row) for name, row in (CLIENT | SERVER).items()}
    return made | {"close": _message("close", *_CLOSE_EVENT)}


def _message(name: str, summary: str, schema: Schema, example: Schema) -> Schema:
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": schema,
        "examples": [{"payload": example}],
    }


def _refs(where: str, names: Any) -> list[Schema]:
    return [{"$ref": f"#/{where}/messages/{name}"} for name in names]


def _channel(address: str, server: str, names: Any, **more: Any) -> Schema:
    of_all = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": address, "servers": [{"$ref": f"#/servers/{server}"}], "messages": of_all, **more}


def close_codes() -> list[Schema]:
    """The table, for programs."""
    return [
        {
            "code": row.code,
            "name": row.name,
            "reason": row.reason,
            "comes_back": row.comes_back,
            "after_ms": row.after_ms,
        }
        for row in CLOSE_CODES
    ]


def document() -> Schema:
    """The whole description."""
    socket = {"headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"const": SUBPROTOCOL}}}}
    by_events = [name for name in SERVER if name not in ("accepted", "refused", "pong")]
    secured = [{"$ref": "#/components/securitySchemes/token"}]
    user = {"user": {"description": "Whose inbox."}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Fanbell, a live inbox", "version": "1.0.0", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "edge": {
                "host": "127.0.0.1:8788",
                "protocol": "ws",
                "description": "`GET /v1/edge` says where it is; `wss` with TLS.",
                "security": secured,
            },
            "api": {
                "host": "127.0.0.1:8787",
                "protocol": "http",
                "description": "The same frames as Server-Sent Events, where proxies break WebSockets.",
                "security": secured,
            },
        },
        "channels": {
            "inbox": _channel("/", "edge", [*CLIENT, *SERVER], bindings={"ws": socket}),
            "stream": _channel("/v1/users/{user}/stream", "api", [*by_events, "close"], parameters=user),
        },
        "operations": {
            "say": {
                "action": "receive",
                "channel": {"$ref": "#/channels/inbox"},
                "summary": "What the server takes from a client.",
                "messages": _refs("channels/inbox", CLIENT),
            },
            "hear": {
                "action": "send",
                "channel": {"$ref": "#/channels/inbox"},
                "summary": "What the server sends to a client.",
                "messages": _refs("channels/inbox", SERVER),
            },
            "hearEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "summary": "The same, an event each: `event` is the type, `id` the cursor, `data` the frame.",
                "bindings": {"http": {"method": "GET"}},
                "messages": _refs("channels/stream", [*by_events, "close"]),
            },
        },
        "components": {
            "messages": messages(),
            "schemas": {name: MODELS[name] for name in ("Item", "Counts")},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "In the header, or as `token` of `connect`; never in an address.",
                }
            },
        },
        "x-subprotocol": SUBPROTOCOL,
        "x-wait-ms-max": WAIT_MS_MAX,
        "x-close-codes": close_codes(),
    }


class _Plain(yaml.SafeDumper):
    """Without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def asyncapi() -> str:
    """The file."""
    head = "# Written by `make docs` from the tables in the code; a test fails when the two differ.\n"
    return head + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
