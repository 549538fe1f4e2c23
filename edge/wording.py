"""What a record says to those whom it concerns: made once per locale, whoever hears it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeGuard

from fanbell.edge import frames
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.frames import Frame
from fanbell.edge.names import Names
from fanbell.edge.ports import Inbox
from fanbell.edge.ring import Entry
from fanbell.projections.apply import change_of, expiry, profile_of
from fanbell.projections.rows import shown
from fanbell.projections.store import Row
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Notice, Retraction, Told, Update, Wish

ITEMS_PER_FRAME: Final = 25  # whole rows in one state frame: some 15 KB
ALL_LOCALES: Final = "*"


class Wording:
    """Frames of records. `clock` gives Unix ms."""

    def __init__(
        self, epoch: str, inbox: Inbox, names: Names, keep_age_ms: int | None, clock: Callable[[], int]
    ) -> None:
        self._epoch = epoch
        self._inbox = inbox
        self._names = names
        self._keep_age_ms = keep_age_ms
        self.now_ms = clock

    def cursor(self, seq: int) -> str:
        return encode_cursor(self._epoch, seq)

    def at_once(self, entry: Entry, locale: str) -> Frame | None:
        """What a record says that needs no look at the rows as they are now; None for other records."""
        told = entry.told
        expires_ms = self.expires_ms(told)
        if expires_ms is not None and expires_ms <= self.now_ms():
            return self.over(told)
        return self.notification(entry, locale) if is_news(told) else self.plain(entry)

    def expires_ms(self, told: Told) -> int | None:
        """When the row that `told` makes or changes is over, Unix ms."""
        if not isinstance(told, Notice | Update):
            return None
        return expiry(content_of(told.content), self._keep_age_ms)

    def over(self, told: Told) -> Frame | None:
        """What a record says whose time is over: no page shows it, nor what a group was before it."""
        if not isinstance(told, Update):
            return None
        return frames.retract(told.id, self.cursor(told.seq), told.seq)

    def notification(self, entry: Entry, locale: str) -> Frame:
        """What a new or grown row says to each of its recipients; names are at hand."""
        frame = entry.frames.get(locale)
        if frame is None:
            told = entry.told
            assert isinstance(told, Notice | Update)
            item = self._inbox.item_of(told, self._names.known, locale)
            id_ = told.id if isinstance(told, Update) else content_of(told.content).id
            frame = frames.notification(item, id_, self.cursor(told.seq), told.seq)
            entry.frames[locale] = frame
        return frame

    def plain(self, entry: Entry) -> Frame | None:
        """What a retraction or a wish says; None for other records."""
        told = entry.told
        if not isinstance(told, Retraction | Wish):
            return None
        frame = entry.frames.get(ALL_LOCALES)
        if frame is None:
            if isinstance(told, Retraction):
                frame = frames.retract(told.id, self.cursor(told.seq), told.seq)
            else:
                frame = frames.framed(wish_message(told, self.cursor(told.seq)), told.seq)
            entry.frames[ALL_LOCALES] = frame
        return frame

    async def states(self, user: str, seq: int, rows: Sequence[Row], locale: str) -> list[Frame]:
        """The whole state of those of `rows` that have not expired, as frames. Raises StoreFailed."""
        items = await self._inbox.items(user, shown(rows, self.now_ms()), locale)
        return frames.states(items, self.cursor(seq), seq, ITEMS_PER_FRAME)


def is_news(told: Told) -> TypeGuard[Notice | Update]:
    """Whether `told` brings a row to the front."""
    return isinstance(told, Notice) or (isinstance(told, Update) and told.announces)


def is_put_back(told: Told) -> TypeGuard[Update]:
    """Whether `told` puts back a row that had been taken back, where it stood."""
    return isinstance(told, Update) and not told.announces and told.prev_row_seq == -1


def wish_message(wish: Wish, cursor: str) -> Mapping[str, Any]:
    """What the user's other devices hear of a change that took effect."""
    change = change_of(wish)
    message: dict[str, Any] = {"type": "wish", "kind": change.kind, "cursor": cursor}
    if change.object is not None:
        message["object"] = f"{change.aspect}:{change.object}" if change.aspect else change.object
    if change.preferences is not None:
        message["items"] = change.preferences
    if change.kind == "profile":
        message["profile"] = profile_of(change)
    return message
