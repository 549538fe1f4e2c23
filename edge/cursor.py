"""Cursors: a position (epoch, seq) as clients see it, opaque.

Base64url without padding of one version byte, the seq (8 bytes, big endian) and the epoch (UTF-8). Nine bytes
make twelve characters, so the epoch's part is the same for all cursors of one log and is made once. The
partition is not in it: a cursor belongs to one user, and a user lives in one partition.
"""

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from functools import lru_cache
from typing import Final

CURSOR_CHARS_MAX: Final = 256  # an epoch is a short name; longer is not ours, and is not worth decoding
SEQ_MAX: Final = 2**63 - 1  # an Avro long
_VERSION: Final = b"\x01"
_HEAD_CHARS: Final = 12
_URL_SAFE: Final = str.maketrans("-_", "+/")


class BadCursor(ValueError):
    """The text is no cursor of ours; the message says so in words for whoever sent it."""


class ForeignCursor(BadCursor):
    """A cursor of another log: the log was replaced since it was handed out. Begin anew without a cursor."""


@lru_cache(maxsize=64)  # one epoch in a process, a few in tests
def _epoch_part(epoch: str) -> str:
    return urlsafe_b64encode(epoch.encode()).rstrip(b"=").decode()


def encode_cursor(epoch: str, seq: int) -> str:
    """The cursor of `seq` (0 to 2**63 - 1) in the log named `epoch`."""
    return urlsafe_b64encode(_VERSION + seq.to_bytes(8)).decode() + _epoch_part(epoch)


def decode_cursor(text: str, epoch: str) -> int:
    """The seq that the cursor `text` names in the log named `epoch`. Raises BadCursor, ForeignCursor."""
    if not _HEAD_CHARS <= len(text) <= CURSOR_CHARS_MAX or not text.isascii():
        raise BadCursor("is not a cursor; pass one as it was given")
    try:
        head = b64decode(text[:_HEAD_CHARS].translate(_URL_SAFE), validate=True)
    except (Base64Error, ValueError):
        raise BadCursor("is not a cursor; pass one as it was given") from None
    seq = int.from_bytes(head[1:])
    if head[:1] != _VERSION or seq > SEQ_MAX:
        raise BadCursor("is not a cursor; pass one as it was given")
    if text[_HEAD_CHARS:] != _epoch_part(epoch):
        raise ForeignCursor("is a cursor of another log; begin anew without one")
    return seq
