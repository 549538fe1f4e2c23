"""What an edge says, in few words."""

from typing import Any

from fanbell.edge.cursor import encode_cursor

LOG = "log-1"


def at(seq: int, log: str = LOG) -> str:
    return encode_cursor(log, seq)


def row(id_: str, seq: int, *, log: str = LOG, **more: Any) -> dict[str, Any]:
    """A row as the edge shows it."""
    flags = {"read": False, "seen": False, "archived": False, "clicked": False}
    return {"id": id_, "cursor": at(seq, log), "kind": "post", "scope": None, **flags, **more}


def hello(recovered: bool = False, unread: int = 0, **more: Any) -> dict[str, Any]:
    counts = {"unread": unread, "unseen": unread, "kinds": {"post": unread} if unread else {}, "scopes": {}}
    return {
        "type": "hello",
        "epoch": LOG,
        "recovered": recovered,
        "counts": counts,
        "cursor": None,
        "keep": 200,
        **more,
    }


def page(cursor: int, *rows: dict[str, Any], log: str = LOG, more: bool = False) -> dict[str, Any]:
    """A fresh page, newest first."""
    return {
        "type": "page",
        "items": list(rows),
        "cursor": at(cursor, log),
        "next": rows[-1]["cursor"] if more else None,
    }


def notification(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "notification", "item": item, "cursor": item["cursor"]}


def state(cursor: int, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"type": "state", "items": list(rows), "cursor": at(cursor)}


def retract(id_: str, cursor: int) -> dict[str, Any]:
    return {"type": "retract", "id": id_, "cursor": at(cursor)}
