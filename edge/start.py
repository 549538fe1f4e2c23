"""How a session starts: with what it missed, or with a fresh page.

Takes a feed that the session has joined and the cursor it came with; returns the frames that go before the
first live one, and the seq up to which they cover everything. In this order, cheapest and fullest first:

1. the ring has every record since the cursor: those that concern the user are told again, as they were;
2. the log has them, within a bound: the same;
3. the inbox still shows whatever has come since: the ids of all its rows (the client drops others), the state of the
   old rows that changed, then the new ones;
4. a fresh page, said as such (`recovered` false): without a cursor, with one of another log, or when too much came.

Rows that a full inbox has pushed out are below the oldest one that it has, which `hello` says: whether a client that
was cut off had been told of them nobody knows.

A frame's cursor is never ahead of what was sent before it, so a client that is cut off half way loses
nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fanbell.edge import frames
from fanbell.edge.cursor import BadCursor, decode_cursor
from fanbell.edge.feed import Feed
from fanbell.edge.frames import Frame
from fanbell.edge.hub import Hub
from fanbell.edge.reread import concerned
from fanbell.edge.ring import Entry
from fanbell.edge.steps import Opened
from fanbell.edge.wording import ITEMS_PER_FRAME, is_news, is_put_back
from fanbell.projections.rows import Query, shown
from fanbell.projections.store import Row
from fanbell.schemas.records import Retraction, Told, Update

LOG_RECORDS_MAX: Final = 4_096  # read for one resuming client; past it the inbox's rows are far fewer
FRAMES_MAX: Final = 128  # told one by one; past it a page says more with less
PAGE_ROWS: Final = 50
FEW: Final = 16  # recipients that are looked through as fast as a set is asked


async def start(hub: Hub, feed: Feed, cursor: str | None, locale: str) -> Opened:
    """How the session that has just joined `feed` starts. Nothing may be awaited between joining and this
    call.

    Raises StoreFailed.
    """
    ring = feed.partition.ring
    since = _since(hub, cursor, ring.seq)
    recent = ring.since(since) if since is not None else None
    at = feed.told if since is None else max(feed.told, since)  # what comes after is told live
    now_ms = hub.now_ms()
    if feed.ready is not None:
        await asyncio.shield(feed.ready)  # others wait for it too
    if since is not None:
        missed = await _missed(hub, feed, locale, since, at, recent)
        if missed is not None:
            hub.leaver.watch(feed, now_ms, at)
            return Opened(at, [_hello(hub, feed, cursor, at, recovered=True), *missed])
    page = await hub.inbox.answer(feed.user, Query(limit=PAGE_ROWS), locale)
    shown_to = decode_cursor(page["cursor"], hub.backend.epoch)
    frame = frames.framed({"type": "page", **page, "cursor": hub.wording.cursor(at)})
    hub.leaver.watch(feed, now_ms, at, shown_to)
    return Opened(at, [_hello(hub, feed, None, at, recovered=False), frame], shown_to)


def _since(hub: Hub, cursor: str | None, at: int) -> int | None:
    """The seq that the client has everything up to; None if that helps nothing."""
    if cursor is None:
        return None
    try:
        seq = decode_cursor(cursor, hub.backend.epoch)
    except BadCursor:
        return None
    return seq if seq <= at else None  # ahead of us: of a log that lost its end


def _hello(hub: Hub, feed: Feed, cursor: str | None, at: int, *, recovered: bool) -> Frame:
    counts = feed.tally.counts(hub.now_ms())
    oldest = feed.tally.oldest(at) if recovered else None
    return frames.framed(
        {
            "type": "hello",
            "user": feed.user,
            "epoch": hub.backend.epoch,
            "keep": hub.keep,
            "cursor": cursor,
            "recovered": recovered,
            "oldest": None if oldest is None else hub.wording.cursor(oldest),
            "counts": counts,
        }
    )


async def _missed(
    hub: Hub, feed: Feed, locale: str, since: int, at: int, recent: list[Entry] | None
) -> Sequence[Frame] | None:
    mine = await _records(hub, feed, since, at, recent)
    if mine is not None and len(mine) <= FRAMES_MAX:
        told = await _told_again(hub, feed, locale, since, mine)
        return [*await _kept(hub, feed, mine), *told]
    rows = feed.tally.changed_since(since)
    if len(rows) <= FRAMES_MAX and feed.tally.is_whole_since(since):
        return await _by_rows(hub, feed, locale, since, at, rows)
    return None


async def _records(
    hub: Hub, feed: Feed, since: int, at: int, recent: list[Entry] | None
) -> list[Entry] | None:
    """The records in (`since`, `at`] that concern the user; None if they are too many to read."""
    if recent is not None:
        return [entry for entry in recent if entry.told.seq <= at and _concerns(entry, feed.user)]
    if at - since > LOG_RECORDS_MAX:
        return None
    ring = feed.partition.ring
    offset = max(
        0, ring.offset - (ring.seq - since) + 1
    )  # seqs are dense and offsets may have holes: not too late
    found: list[Entry] = []
    seq = since
    while seq < at:
        stretch = await hub.reread.stretch(feed.partition.index, offset)
        if stretch is None or stretch.first > seq + 1 or not stretch.whole:
            return None  # trimmed, or holes: the rows will do
        found += [entry for entry in stretch.by_user.get(feed.user, ()) if seq < entry.told.seq <= at]
        seq, offset = max(seq, stretch.last), stretch.next_offset
    return found


def _concerns(entry: Entry, user: str) -> bool:
    """Whether the record does. Thousands may come back at once, and to look through all names that a ring may hold
    takes 4 ms for each of them."""
    if entry.users is None:
        users = concerned(entry.told)
        entry.users = frozenset(users) if len(users) > FEW else users
    return user in entry.users


async def _told_again(hub: Hub, feed: Feed, locale: str, since: int, mine: Sequence[Entry]) -> list[Frame]:
    """The records, as they were told, but for rows that a later one of them moved or took away, or that have left the
    inbox; a changed row as it is now, with the record that changed it last.

    Not with an earlier one: a retraction that comes between the two would take away what was put back. What
    records after `mine` changed is told live.
    """
    unmade = [entry.told for entry in mine if locale not in entry.frames]
    await hub.names.meet({actor for told in unmade for actor in hub.inbox.actors_of(told)})
    changed: dict[int, list[Row]] = {}
    for row in feed.tally.changed_since(since):
        changed.setdefault(row.changed_seq, []).append(row)
    moved = {row_seq for entry in mine if (row_seq := _leaves(entry.told)) is not None}
    out: list[Frame] = []
    for entry in mine:
        seq = entry.told.seq
        if is_news(entry.told) and (seq in moved or not feed.tally.holds(seq)):
            continue
        if (frame := hub.wording.at_once(entry, locale)) is not None:
            out.append(frame)
        elif rows := changed.get(seq):
            out += await hub.wording.states(feed.user, seq, rows, locale)
    return out


def _puts(told: Told) -> int | None:
    """Seq of the row that `told` puts into the inbox: a new one, or one that had been taken back."""
    if is_news(told):
        return told.seq
    return told.row_seq if is_put_back(told) else None


def _leaves(told: Told) -> int | None:
    """Seq of the row that `told` moves or takes away."""
    if isinstance(told, Retraction):
        return told.row_seq
    return told.prev_row_seq if isinstance(told, Update) and told.announces else None


async def _kept(hub: Hub, feed: Feed, mine: Sequence[Entry]) -> list[Frame]:
    """Which rows are still there, if some may have left while the client was away and no record of `mine` says so.

    They do when they expire (past the inbox's age even the store forgets them), and when a full inbox pushes them out.
    That clients see themselves, by keeping the newest so many, unless one of these was expired, was archived or is
    retracted, be it by a record after `mine` that the rows have had: such a row is not told again, and yet it has
    pushed another out. Said before anything else: a client that has more than the inbox would drop an old row that is
    put back.
    """
    left = {entry.told.row_seq for entry in mine if isinstance(entry.told, Retraction)}
    puts = (_puts(entry.told) for entry in mine)
    left.update(row_seq for row_seq in puts if row_seq is not None and not feed.tally.holds(row_seq))
    if (
        hub.keep_age_ms is None
        and not feed.tally.expired(0, hub.now_ms())
        and not (mine and feed.tally.may_have_lost(len(left)))
    ):
        return []
    return [frames.kept(await hub.ids(feed.user))]


async def _by_rows(
    hub: Hub, feed: Feed, locale: str, since: int, at: int, rows: Sequence[Row]
) -> list[Frame]:
    """The inbox's rows that came or changed after `since`, and which ids are still there."""
    rows = shown(rows, hub.now_ms())
    old = [row for row in rows if row.seq <= since]
    new = [row for row in reversed(rows) if since < row.seq <= at]
    out = [frames.kept(await hub.ids(feed.user))]
    if old:
        items = await hub.inbox.items(feed.user, old, locale)
        out += frames.states(items, hub.wording.cursor(since), since, ITEMS_PER_FRAME)
    items = await hub.inbox.items(feed.user, new, locale)
    return out + [_notification_of(item, hub) for item in items]


def _notification_of(item: dict[str, Any], hub: Hub) -> Frame:
    return frames.notification(
        item, item["id"], item["cursor"], decode_cursor(item["cursor"], hub.backend.epoch)
    )
