"""The words in which OpenAPI tells of the calls: parameters, bodies, answers, examples.

Written by hand, because requests are parsed by `schemas/parse.py` and answers are bytes: no model stands
between. tests/edge/http/test_describe.py holds what is said here to what is answered.
"""

from base64 import urlsafe_b64encode
from typing import Any, Final

from fanbell.edge.problems import CONTENT_TYPE
from fanbell.schemas.limits import ID_BYTES_MAX

Schema = dict[str, Any]
Answers = dict[int | str, Schema]
"""Answers by status, as FastAPI takes them."""

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
OFFSET_MAX: Final = 10**17  # a billion records a second for three years
OFFSET: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX}
CURSOR_EXAMPLE: Final = urlsafe_b64encode(b"\x01" + (42).to_bytes(8)).decode() + "bG9n"

TICKET_EXAMPLE: Final = "kZ3l0Y2pWm8sUe5rJt1oQvXbN7aHfG6dC4iLxT9yRzE.1800000000000"

ACTIVITY: Final = {
    "id": "a1",
    "kind": "post",
    "actor": "ana",
    "object": "post-1",
    "data": {"title": "Hello"},
    "occurred_at": "2026-01-31T12:00:00Z",
}
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
EDGE_PLACE: Final = {
    "url": "ws://127.0.0.1:8788/?p=7",
    "port": 8788,
    "stream": "/v1/users/ana/stream?p=7",
}
CHOICES: Final = {"items": [{"kind": "like", "channels": ["inbox"]}]}
PROFILE: Final = {
    "id": "ana",
    "name": "Ana",
    "avatar_url": "https://example.org/ana.png",
    "locale": "de",
    "timezone": "Europe/Berlin",
}
ITEM: Final = {
    "id": "a1",
    "cursor": CURSOR_EXAMPLE,
    "kind": "like",
    "reason": "like",
    "text": "Ana and Ben liked your post",
    "url": "/posts/post-1",
    "actors": [
        {"id": "ana", "name": "Ana", "avatar_url": None},
        {"id": "ben", "name": "Ben", "avatar_url": None},
    ],
    "count": 2,
    "object": "post-1",
    "target": None,
    "scope": None,
    "data": None,
    "created_at": "2026-01-31T12:00:00.000Z",
    "updated_at": "2026-01-31T12:05:00.000Z",
    "seen": False,
    "read": False,
    "archived": False,
    "clicked": False,
}
PAGE: Final = {
    "items": [ITEM],
    "cursor": CURSOR_EXAMPLE,
    "next": None,
    "prev": None,
    "total": 1,
    "unread": 1,
    "unseen": 1,
}


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


def header(name: str, description: str) -> Schema:
    """A header that a request may have."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


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
    505: "This needs HTTP/1.1.",
}


def problems(*statuses: int) -> Answers:
    """Answers that are problems, by status. 421 (another Host) is possible everywhere."""
    content = {CONTENT_TYPE: {"schema": ref("Problem")}}
    return {
        **{status: {"description": _WHY[status], "content": content} for status in statuses},
        421: {"description": "The Host header does not name this server.", "content": content},
    }
