"""Planted bugs: each is a mistake that somebody could make in how sessions go; the simulation must find it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from fanbell.edge import hub as hub_module
from fanbell.edge import session as session_module
from fanbell.edge import start as start_module
from fanbell.edge import wording as wording_module
from fanbell.edge.cursor import ForeignCursor, decode_cursor
from fanbell.edge.feed import Feed, Partition
from fanbell.edge.frames import Frame
from fanbell.edge.hub import Hub
from fanbell.edge.leaving import Leaver
from fanbell.edge.mailbox import Mailbox
from fanbell.edge.ring import Entry, Ring
from fanbell.edge.session import TABLE, Session
from fanbell.edge.steps import Opened
from fanbell.edge.tally import Tally
from tests.edge.resume.ways import COMING_BACK, LEAVING, LOADED_ANEW, MIXED, REPLACED, RESTORING, SLOW, Ways

Patch = tuple[object, str, Any]
Make = Callable[[], list[Patch]]
MUTANTS: Final[dict[str, tuple[Make, Ways]]] = {}
"""What is patched, and the ways of the worlds that show it most."""


def mutant(ways: Ways = MIXED) -> Callable[[Make], Make]:
    def known(make: Make) -> Make:
        MUTANTS[make.__name__.replace("_", " ")] = make, ways
        return make

    return known


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While it lasts, the product has the bug `name`."""
    with ExitStack() as stack:
        for target, attribute, value in MUTANTS[name][0]():
            stack.enter_context(patch.object(target, attribute, value))
        yield


@mutant()
def a_ring_that_sees_no_gaps() -> list[Patch]:
    def take(self: Ring, records: Sequence[tuple[int, Any]]) -> list[Entry]:
        fresh = [Entry(offset, told) for offset, told in records if told.seq > self.seq]
        for entry in fresh:
            self._entries.append(entry)
            self.offset, self.seq = entry.offset, entry.told.seq
        self._shrink()
        return fresh

    return [(Ring, "take", take)]


@mutant()
def repeats_of_a_zombie_are_taken() -> list[Patch]:
    def take(self: Ring, records: Sequence[tuple[int, Any]]) -> list[Entry]:
        fresh = [Entry(offset, told) for offset, told in records]
        for entry in fresh:
            self._entries.append(entry)
            self.offset, self.seq = entry.offset, max(self.seq, entry.told.seq)
        return fresh

    return [(Ring, "take", take)]


@mutant()
def a_page_that_does_not_say_how_far_it_shows() -> list[Patch]:
    return [(start_module, "Opened", lambda seq, frames, shown_to=0: Opened(seq, frames, 0))]


@mutant()
def a_cursor_ahead_of_records_that_wait_for_names() -> list[Patch]:
    return [(Partition, "told", property(lambda self: self.ring.seq))]


@mutant()
def a_cursor_ahead_of_a_held_update() -> list[Patch]:
    return [(Feed, "told", property(lambda self: self.partition.ring.seq))]


@mutant()
def frames_are_not_held_while_the_inbox_is_read() -> list[Patch]:
    drops: Any = (lambda self, frame: (), "opening")
    return [(session_module, "TABLE", {**TABLE, ("opening", Frame): drops})]


@mutant()
def what_the_start_covers_is_told_again() -> list[Patch]:
    return [(Session, "is_news", lambda self, frame: True)]


@mutant()
def nobody_is_told_what_has_expired() -> list[Patch]:
    return [(Leaver, "turn", lambda self, feed: None)]


@mutant()
def a_mark_brings_expired_rows_back() -> list[Patch]:
    return [(module, "shown", lambda rows, now_ms: list(rows)) for module in (hub_module, wording_module)]


@mutant(REPLACED)
def cursors_of_another_log_count() -> list[Patch]:
    def since(hub: Any, cursor: str | None, at: int) -> int | None:
        if cursor is None:
            return None
        try:
            seq = decode_cursor(cursor, hub.backend.epoch)
        except ForeignCursor:
            seq = decode_cursor(cursor[:12], "")
        return seq if seq <= at else None

    return [(start_module, "_since", since)]


@mutant(RESTORING)
def a_tally_ahead_of_its_records_is_played_back() -> list[Patch]:
    init = Tally.__init__

    def blind(self: Tally, *given: Any) -> None:
        init(self, *given)
        self.as_of = 0

    return [(Tally, "__init__", blind)]


@mutant(COMING_BACK)
def rows_that_were_pushed_out_are_not_missed() -> list[Patch]:
    return [(Leaver, "pushed_out", lambda self, feed: None)]


@mutant(LOADED_ANEW)
def archived_rows_are_taken_for_known() -> list[Patch]:
    return [(Tally, "hides_rows", False)]


@mutant(SLOW)
def a_full_inbox_that_lost_a_row_is_not_looked_at() -> list[Patch]:
    async def fill_again(self: Hub, feed: Feed) -> None:
        self.go_on(feed)

    return [(Hub, "_fill_again", fill_again)]


@mutant(SLOW)
def a_newer_frame_takes_the_place_of_the_older() -> list[Patch]:
    put = Mailbox.put

    def in_place(self: Mailbox, frame: Frame) -> bool:
        place = self._places.get(frame.key) if frame.key else None
        if place is None:
            return put(self, frame)
        self._bytes += len(frame.data) - len(self._frames[place].data)
        self._frames[place] = frame
        return True

    return [(Mailbox, "put", in_place)]


@mutant(LEAVING)
def who_comes_back_is_not_told_which_rows_are_left() -> list[Patch]:
    async def kept(hub: Hub, feed: Feed, mine: Sequence[Entry]) -> list[Frame]:
        return []

    return [(start_module, "_kept", kept)]
