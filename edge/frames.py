"""JSON in and out of a socket: what clients say, as values; what we say, as bytes ready for the wire.

Frames of the server are not masked (RFC 6455, section 5.1), so one run of bytes, header included, serves
every recipient of a notice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from fanbell.projections.rows import Counts
from fanbell.schemas.limits import BATCH_MAX
from fanbell.schemas.parse import VERBS, Invalid, id_fault, parse_json

SUBPROTOCOL: Final = "fanbell.v1"
UNKEYED: Final = ""
TEXT_CHARS_MAX: Final = 8_192  # token, cursor
REF_CHARS_MAX: Final = 64
_FIN_TEXT: Final = 0x81


class Frame(Struct, frozen=True, gc=False):
    """What one session is sent, ready for the wire; shared by all who are sent the same."""

    seq: int
    """Seq of the record it tells of; -1 if of none."""
    key: str
    """A waiting frame of the same key is made useless by this one; `UNKEYED` makes none useless."""
    of_rows: bool
    """Whether all it says is of the inbox's rows, so that a page read after its record says it too."""
    data: bytes


class Malformed(ValueError):
    """A frame is not JSON of the shape that its type asks for."""


class UnknownType(ValueError):
    """A frame is of a type that we do not know."""


class Connect(Struct, frozen=True):
    """Who wants to hear, of what, and up to where they have heard. `user` may be left out where a token names one."""

    user: str | None = None
    token: str | None = None
    cursor: str | None = None
    locale: str | None = None


class Marks(Struct, frozen=True):
    """What a client marks. `cursors` are those the ids were shown with, if it says; `up_to` instead of ids."""

    verb: str
    ids: list[str] = []
    cursors: list[str] | None = None
    up_to: str | None = None
    ref: str | None = None


class Ping(Struct, frozen=True):
    ref: str | None = None


class Token(Struct, frozen=True):
    """A new token for the session that there is."""

    token: str
    ref: str | None = None


Said = Connect | Marks | Ping | Token
"""What a client can say."""


def parse(text: str | bytes) -> Said:
    """What the client's frame `text` says. Raises Malformed, UnknownType."""
    if isinstance(text, bytes):
        raise Malformed("frames are text")
    try:
        value = parse_json(text.encode())
    except (Invalid, UnicodeEncodeError) as error:
        raise Malformed(str(error)) from None
    if type(value) is not dict or type(value.get("type")) is not str:
        raise Malformed('a frame is a JSON object with a "type"')
    kind = value.pop("type")
    if kind == "connect":
        return _connect(value)
    if kind == "ping":
        return Ping(_text(value, "ref", REF_CHARS_MAX))
    if kind == "token":
        return _token(value)
    if kind in VERBS:
        return _marks(kind, value)
    raise UnknownType(f"type must be one of connect, ping, token, {', '.join(VERBS)}")


def _connect(value: dict[str, Any]) -> Connect:
    user = value.get("user")
    if user is not None and (fault := id_fault(user)):
        raise Malformed(f"user {fault}")
    return Connect(
        user,
        _text(value, "token", TEXT_CHARS_MAX),
        _text(value, "cursor", TEXT_CHARS_MAX),
        _text(value, "locale", REF_CHARS_MAX),
    )


def _token(value: dict[str, Any]) -> Token:
    token = _text(value, "token", TEXT_CHARS_MAX)
    if not token:
        raise Malformed("a token frame carries a token")
    return Token(token, _text(value, "ref", REF_CHARS_MAX))


def _marks(verb: str, value: dict[str, Any]) -> Marks:
    ref, up_to = _text(value, "ref", REF_CHARS_MAX), _text(value, "up_to", TEXT_CHARS_MAX)
    if up_to is not None:
        if "ids" in value:
            raise Malformed("a mark has ids or up_to, not both")
        return Marks(verb, up_to=up_to, ref=ref)
    ids, cursors = value.get("ids"), value.get("cursors")
    if type(ids) is not list or not 1 <= len(ids) <= BATCH_MAX:
        raise Malformed(f"ids must be an array of 1 to {BATCH_MAX} ids")
    for item in ids:
        if fault := id_fault(item):
            raise Malformed(f"ids: {fault}")
    if cursors is not None and (
        type(cursors) is not list
        or len(cursors) != len(ids)
        or not all(type(item) is str for item in cursors)
    ):
        raise Malformed("cursors must be an array of as many cursors as there are ids")
    return Marks(verb, ids, cursors, None, ref)


def _text(value: dict[str, Any], name: str, chars_max: int) -> str | None:
    text = value.get(name)
    if text is None:
        return None
    if type(text) is not str or len(text) > chars_max:
        raise Malformed(f"{name} must be a string of at most {chars_max} characters")
    return text


def wire(payload: bytes) -> bytes:
    """`payload` as one unmasked text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN_TEXT, size)) + payload
    if size < 65_536:
        return bytes((_FIN_TEXT, 126)) + size.to_bytes(2) + payload
    return bytes((_FIN_TEXT, 127)) + size.to_bytes(8) + payload


def payloads(data: bytes) -> Iterator[bytes]:
    """The payloads of the frames in `data`, each made by `wire`."""
    at = 0
    while at < len(data):
        size, at = data[at + 1], at + 2
        if size >= 126:
            length = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + length]), at + length
        yield data[at : at + size]
        at += size


_encode = msgspec.json.Encoder().encode


def framed(message: Mapping[str, Any], seq: int = -1, key: str = UNKEYED, of_rows: bool = False) -> Frame:
    """The frame that says `message`."""
    return Frame(seq, key, of_rows, wire(_encode(message)))


def notification(item: Mapping[str, Any] | bytes, id_: str, cursor: str, seq: int) -> Frame:
    """A row that is new, or has grown and moved to the front: its whole state, which may be JSON already."""
    said = msgspec.Raw(item) if isinstance(item, bytes) else item
    return framed({"type": "notification", "item": said, "cursor": cursor}, seq, f"n:{id_}", True)


def retract(id_: str, cursor: str, seq: int) -> Frame:
    """A row that is no more."""
    return framed({"type": "retract", "id": id_, "cursor": cursor}, seq, UNKEYED, True)


def gone(ids: Sequence[str]) -> Frame:
    """Rows that have left by themselves: their time is over."""
    return framed({"type": "gone", "ids": ids})


def kept(ids: Sequence[str]) -> Frame:
    """All rows that are shown: others have left. Useful where it stands, however many follow: an old row that is put
    back after it would be dropped by a client that has too many."""
    return framed({"type": "kept", "ids": ids})


def counts(counted: Counts) -> Frame:
    """The counters. One that waits is useless once there is a newer one."""
    return Frame(-1, "counts", False, wire(b'{"type":"counts",' + _encode(counted)[1:]))


def states(items: Sequence[Mapping[str, Any]], cursor: str, seq: int, per_frame: int) -> list[Frame]:
    """Rows whose marks or content changed where they stand: their whole state, the cursor with the last of them."""
    chunks = [items[i : i + per_frame] for i in range(0, len(items), per_frame)] or [[]]
    frames = [framed({"type": "state", "items": chunk}, seq, UNKEYED, True) for chunk in chunks[:-1]]
    last = {"type": "state", "items": chunks[-1], "cursor": cursor}
    return [*frames, framed(last, seq, UNKEYED, True)]
