"""What this client reads out of a cursor: of two rows of one log, which stands above the other.

To people's programs a cursor is opaque. This client ships with the edge that makes them: one byte for the form, eight
that grow with the place, then the log's name, all as base64url.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

_HEAD_CHARS: Final = 12  # nine bytes
_FORM: Final = 1


class Place(NamedTuple):
    """`seq` grows within one `log`; between logs nothing is said."""

    log: str
    seq: int


NOWHERE: Final = Place("", 0)
"""Before all places, of no log."""


def place_of(cursor: str | None) -> Place:
    """The place that `cursor` names; NOWHERE if it is none that this client can read."""
    if cursor is None or len(cursor) < _HEAD_CHARS or not cursor.isascii():
        return NOWHERE
    try:
        head = urlsafe_b64decode(cursor[:_HEAD_CHARS])
    except ValueError:
        return NOWHERE
    return Place(cursor[_HEAD_CHARS:], int.from_bytes(head[1:])) if head[:1] == bytes((_FORM,)) else NOWHERE


def log_of(epoch: str) -> str:
    """What `Place.log` is in cursors of the log named `epoch`."""
    return urlsafe_b64encode(epoch.encode()).rstrip(b"=").decode()
