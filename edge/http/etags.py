"""Validators for who polls: an answer that the client has already is 304, and mostly not even made.

The ETag is a hash of the body, so it is exact, and the same at every process. Hashing costs 30 µs for a page of 50 rows
(a tenth of making it), and is spared to who asks again: a tag is kept with the inbox's stamp from before its body was
made, and as long as the stamp is the same, so is the body. A stamp changes with whatever may change a page, and with
some things that do not; then the body is made and hashed again.

Last-Modified is when this process first made the body, rounded up. Dates have whole seconds and processes their own
clocks, so a date is given only once it has lain back for `SETTLED_S`, and counts only if it is the very one that was
given: it cannot be that of an older body as long as no process hears of news so much later than another.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from email.utils import formatdate, mktime_tz, parsedate_tz
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from fanbell.edge.http.asked import Asked

TAGS_MAX: Final = 20_000  # of pages and counters asked for lately, about 400 bytes each
SETTLED_S: Final = 5
TAG_BYTES: Final = 16  # no two bodies of a user ever have the same
_LISTED: Final = re.compile(r'\s*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*)?(?:,|$)')


class Tag(Struct, frozen=True):
    """What is told of a body: its hash, and since which second it has been so here."""

    hash: str
    since_s: int


class Tags:
    """The tags of what was asked for lately. `clock`: Unix seconds that never go back."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        began_s = time.time() - time.monotonic()
        self._clock = clock or (lambda: began_s + time.monotonic())
        self._kept: OrderedDict[Hashable, tuple[tuple[int, ...], Tag]] = OrderedDict()

    def known(self, asked_for: Hashable, stamp: tuple[int, ...]) -> Tag | None:
        """The tag of what would be answered, if that was made since the inbox had this stamp."""
        found = self._kept.get(asked_for)
        if found is None or found[0] != stamp:
            return None
        self._kept.move_to_end(asked_for)
        return found[1]

    def made(self, asked_for: Hashable, stamp: tuple[int, ...], body: bytes) -> Tag:
        """The tag of `body`, which was made after the inbox had this stamp."""
        hash_ = blake2b(body, digest_size=TAG_BYTES).hexdigest()
        before = self._kept.pop(asked_for, None)
        tag = before[1] if before is not None and before[1].hash == hash_ else Tag(hash_, self._next_s())
        self._kept[asked_for] = (stamp, tag)
        if len(self._kept) > TAGS_MAX:
            self._kept.popitem(last=False)
        return tag

    def _next_s(self) -> int:
        return int(self._clock()) + 1

    def modified_s(self, tag: Tag) -> int | None:
        """The date to tell, Unix s; None as long as another body may have been given the same."""
        return tag.since_s if self._clock() >= tag.since_s + SETTLED_S else None

    def has_it(self, asked: Asked, tag: Tag) -> bool:
        """Whether who asks has this body, by what they say (RFC 9110, section 13.2.2: an ETag outranks a date)."""
        tags = asked.header(b"if-none-match")
        if tags is not None:
            return lists(tags, tag.hash)
        date = asked.header(b"if-modified-since")
        return (
            date is not None and (said_s := seconds_of(date)) is not None and said_s == self.modified_s(tag)
        )

    def headers(self, tag: Tag) -> tuple[tuple[bytes, bytes], ...]:
        """What goes with the body, or stands for it."""
        modified_s = self.modified_s(tag)
        dated = (
            () if modified_s is None else ((b"last-modified", formatdate(modified_s, usegmt=True).encode()),)
        )
        return (
            (b"etag", f'"{tag.hash}"'.encode()),
            *dated,
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"authorization, origin"),
        )


def lists(tags: str, hash_: str) -> bool:
    """Whether `tags`, an If-None-Match, names the hash, strongly or weakly, or anything. What is malformed does not."""
    if tags.strip() == "*":
        return True
    at = 0
    found = False
    while at < len(tags):
        one = _LISTED.match(tags, at)
        if one is None:
            return False
        found, at = found or one[1] == hash_, one.end()
    return found


def seconds_of(date: str) -> int | None:
    """Unix seconds of an HTTP date; None if it is none."""
    parsed = parsedate_tz(date)
    try:
        return None if parsed is None else int(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None
