"""What each record of the topic `notices` means for inboxes, lists and traces.

Takes records; returns rows, bodies and flags. Every adapter of the store applies these meanings, each in its own way:
the memory one as it stands here, SQLite in statements held to the same by the contract suite.
"""

from typing import Final, NamedTuple

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Body, Profile, Row
from fanbell.schemas.codec import content_of, decode_body
from fanbell.schemas.records import Change, Content, Notice, Preference, Update, Wish

RESTORED_FLAGS: Final = SEEN | READ
"""Of a row that was retracted and is put back: it is no news."""

MARKS: Final[dict[str, tuple[int, int]]] = {
    "read": (READ | SEEN, 0),
    "unread": (0, READ),
    "seen": (SEEN, 0),
    "archive": (ARCHIVED | READ | SEEN, 0),
    "unarchive": (0, ARCHIVED),
    "click": (CLICKED | READ | SEEN, 0),
}
"""The flags that a mark sets and clears, by verb."""

ACTORS_SHOWN: Final = 3


def marked(flags: int, verb: str) -> int:
    """`flags` after the mark `verb`."""
    sets, clears = MARKS[verb]
    return (flags | sets) & ~clears


def expiry(content: Content, keep_age_ms: int | None) -> int | None:
    """When a row showing `content` stops being shown, Unix ms: as its kind says, or when it is past the inbox's age."""
    if keep_age_ms is None:
        return content.expires_at
    aged = content.at_ms + keep_age_ms
    return aged if content.expires_at is None else min(aged, content.expires_at)


def body_of(record: Notice | Update) -> Body:
    """What `record` shows to each of its recipients."""
    content = content_of(record.content)
    if isinstance(record, Notice):
        return Body(content.id, record.reason, 1, (content.actor,), content.at_ms, content)
    actors = tuple(record.actors[:ACTORS_SHOWN])
    return Body(record.id, record.reason, record.count, actors, record.created_ms, content)


def row_of(record: Notice | Update, seq: int, flags: int, keep_age_ms: int | None) -> Row:
    """The row at `seq` that shows `record`."""
    content = content_of(record.content)
    return Row(seq, record.seq, flags, content.kind, content.scope, expiry(content, keep_age_ms), record.seq)


class Listing(NamedTuple):
    """That `item` stands, or no longer stands, in one of the lists of `user`."""

    what: str
    user: str
    item: str
    stands: bool


def change_of(wish: Wish) -> Change:
    """The change that took effect."""
    return decode_body(Change, wish.change)


def listings(change: Change) -> list[Listing]:
    """What `change` does to lists, of those who live in the partition that this copy of it is in.

    A block also ends the follows between the two; each follow is struck where the one who follows lives.
    """
    user, other = change.user, change.object
    if other is None:
        return []
    here, there = change.side != "other", change.side != "user"
    if change.kind in ("follow", "unfollow"):
        return [Listing("follows", user, other, change.kind == "follow")] if here else []
    if change.kind in ("mute", "unmute"):
        return [Listing("mutes", user, f"{change.aspect}:{other}", change.kind == "mute")] if here else []
    found = []
    if change.kind in ("block", "unblock") and here:
        found.append(Listing("blocks", user, other, change.kind == "block"))
    if change.kind == "block":
        found += [Listing("follows", user, other, False)] if here else []
        found += [Listing("follows", other, user, False)] if there else []
    return found


def profile_of(change: Change) -> Profile | None:
    """The profile that `change` puts in place of the user's; None if it is about something else."""
    if change.kind != "profile" or change.side == "other":
        return None
    return Profile(change.name, change.avatar_url, change.locale, change.timezone)


def preferences_of(change: Change) -> list[Preference] | None:
    """The preferences that `change` puts in place of the user's; None if it is about something else."""
    if change.kind != "preferences" or change.side == "other":
        return None
    return change.preferences or []
