"""Rows that leave by themselves: devices are told which, once, whatever else is going on."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fanbell.edge.hub import Hub
from fanbell.projections.inbox import Inbox
from fanbell.projections.store import Body, StoreFailed
from fanbell.schemas.records import Retraction
from tests.edge.fake_notices import NOW_MS, FakeNotices
from tests.edge.test_start import Client, settle
from tests.projections.told import update

pytestmark = pytest.mark.anyio
SOON_MS = NOW_MS + 1_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Town:
    """ana's devices, and a clock that the test turns."""

    def __init__(self, keep: int = 100, keep_age_ms: int | None = None) -> None:
        self.now_ms = NOW_MS
        self.backend = FakeNotices(partitions=1, keep=keep)
        self.backend.store.keep_age_ms = keep_age_ms
        self.reads: list[Sequence[int]] = []
        self.held: asyncio.Event | None = None
        self.fails = False
        bodies = self.backend.store.bodies

        async def read(user: str, seqs: Sequence[int]) -> dict[int, Body]:
            self.reads.append(seqs)
            if self.held is not None:
                await self.held.wait()
            if self.fails:
                raise StoreFailed("damaged")
            return await bodies(user, seqs)

        self.backend.store.bodies = read  # type: ignore[method-assign]
        inbox = Inbox(self.backend.store, lambda: self.backend.rules, clock=lambda: self.now_ms)
        inbox._cursor_of = lambda seq: self.hub.wording.cursor(seq)
        self.backend.listen(inbox.told)
        self.hub = Hub(self.backend, inbox, keep, keep_age_ms, clock=lambda: self.now_ms)

    async def device(self) -> Client:
        client = Client(self.hub)
        await client.come()
        client.read(1_000)
        return client

    async def turn(self, ms: int) -> None:
        """Let time pass, and let what is due then be said."""
        await settle(self.hub)
        self.now_ms += ms
        for feed in list(self.hub._feeds.values()):
            self.hub.leaver.turn(feed)
        await settle(self.hub)


async def town(**more: Any) -> Town:
    one = Town(**more)
    await one.hub.open()
    return one


async def full_over_an_archived_row() -> tuple[Town, Client]:
    """A full inbox of three, and a device that knows nothing of the one in the middle."""
    one = await town(keep=3)
    await one.backend.notice(["ana"], "oldest")
    archived = await one.backend.notice(["ana"], "n")
    await one.backend.mark("ana", "archive", [archived.seq])
    await one.backend.notice(["ana"], "old")
    return one, await one.device()


def frames(client: Client, type_: str) -> list[dict[str, Any]]:
    return [frame for frame in client.wire.waiting if frame["type"] == type_]


async def test_every_device_is_told_once_with_one_read() -> None:
    """
    All devices hear which rows have expired, by one read of the store, and hear it once.
    """
    one = await town()
    for number in range(3):
        await one.backend.notice(["ana"], f"n{number}", expires_at=SOON_MS + number)
    await one.backend.notice(["ana"], "stays")
    devices = [await one.device() for _ in range(3)]
    one.reads.clear()
    await one.turn(2_000)
    await one.turn(2_000)

    assert [frames(device, "gone") for device in devices] == [
        [{"type": "gone", "ids": ["n2", "n1", "n0"]}]
    ] * 3
    assert len(one.reads) == 1


async def test_who_was_away_hears_what_expired_meanwhile() -> None:
    """
    A device that comes back with the cursor it had drops what has expired while it was away.
    """
    one = await town()
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    await one.backend.notice(["ana"], "stays")
    client = await one.device()
    assert set(client.rows) == {"n", "stays"}
    client.cut(0)
    await one.turn(2_000)
    await client.come()
    client.read(1_000)

    assert set(client.rows) == {"stays"}


async def test_what_the_store_forgot_is_dropped_too() -> None:
    """
    Where an inbox has an age, who comes back hears which rows are left: the store may have forgotten the others.
    """
    one = await town(keep_age_ms=10_000)
    await one.backend.notice(["ana"], "old")
    client = await one.device()
    client.cut(0)
    one.backend.store._inboxes.clear()
    await one.turn(60_000)
    await client.come()
    client.read(1_000)

    assert client.rows == {}


async def test_what_expires_while_a_session_opens_is_told() -> None:
    """
    A row that expires between the reading of the page and its arrival goes.
    """
    one = await town()
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    client = Client(one.hub)
    one.held = asyncio.Event()
    coming = asyncio.ensure_future(client.come())
    while not one.reads:  # noqa: ASYNC110 - the store has no signal of its own
        await asyncio.sleep(0)
    await one.turn(2_000)
    one.held.set()
    await coming
    await one.turn(1_000)
    client.read(1_000)

    assert client.rows == {}


async def test_a_page_ahead_of_the_records_keeps_what_it_shows() -> None:
    """
    What a page shows of a group that has grown is not taken away for what the group was before.
    """
    one = await town()
    before = await one.backend.update("ana", "g", expires_at=SOON_MS)
    first = await one.device()
    one.now_ms = SOON_MS + 1
    behind, one.backend._listeners = one.backend._listeners, []
    await one.backend.update("ana", "g", before.row_seq, count=2)
    one.hub.inbox.changed(("ana",))  # type: ignore[attr-defined]
    late = await one.device()
    await one.turn(0)
    late.read(1_000)
    assert set(late.rows) == {"g"}
    one.backend._listeners = behind
    one.backend._told = [1]
    one.backend.catch_up()
    await one.turn(1_000)
    for device in (first, late):
        device.read(1_000)

    assert set(first.rows) == set(late.rows) == {"g"}


async def test_a_mark_does_not_bring_expired_rows_back() -> None:
    """
    Marking all as read tells of the rows that are shown, and of no other.
    """
    one = await town()
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    await one.backend.notice(["ana"], "stays")
    client = await one.device()
    await one.turn(2_000)
    await one.backend.mark("ana", "read", up_to=9)
    await settle(one.hub)
    client.read(1_000)

    assert set(client.rows) == {"stays"}


async def test_a_correction_whose_time_is_over_goes() -> None:
    """
    A row that is corrected where it stands, to what has expired already, goes.
    """
    one = await town()
    before = await one.backend.update("ana", "g")
    client = await one.device()
    await one.backend.update("ana", "g", before.row_seq, announces=False, expires_at=NOW_MS - 1)
    await settle(one.hub)
    client.read(1_000)

    assert client.rows == {}


@pytest.mark.parametrize("away", [False, True])
async def test_rows_pushed_out_over_expired_ones_are_told(away: bool) -> None:
    """
    An expired row takes its place among the newest so many; what a new one pushes out then goes from every device.
    """
    one = await town(keep=3)
    await one.backend.notice(["ana"], "oldest")
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    await one.backend.notice(["ana"], "old")
    client = await one.device()
    if away:
        client.cut(0)
    await one.turn(2_000)
    await one.backend.notice(["ana"], "new")
    await one.turn(2_000)
    if away:
        await client.come()
    client.read(1_000)

    assert set(client.rows) == {"old", "new"}


@pytest.mark.parametrize("away", [False, True])
async def test_rows_pushed_out_over_archived_ones_are_told(away: bool) -> None:
    """
    A row that was archived before the page takes its place too; what a new one pushes out then goes a while later.
    """
    one, client = await full_over_an_archived_row()
    if away:
        client.cut(0)
    await one.backend.notice(["ana"], "new")
    await one.turn(2_000)
    assert frames(client, "kept") == []
    if away:
        await client.come()
    else:
        await one.turn(30_000)
    client.read(1_000)

    assert set(client.rows) == {"old", "new"}


async def test_what_has_left_goes_before_an_old_row_is_put_back() -> None:
    """
    Who comes back with more than a full inbox has is told first what has left, and so has room for what is put back.
    """
    one = await town(keep=2)
    await one.backend.update("ana", "g")
    await one.backend.retract("ana", "g", 1)
    for id_ in ("left", "stays"):
        await one.backend.notice(["ana"], id_)
    client = await one.device()
    client.cut(0)
    new = await one.backend.notice(["ana"], "new")
    await one.backend.retract("ana", "new", new.seq)
    await one.backend.tell("ana", update(7, ["ana"], "g", row_seq=1, prev=-1, announces=False))
    await client.come()

    assert [frame["type"] for frame in client.wire.waiting] == ["hello", "kept", "retract", "state"]
    client.read(1_000)
    assert set(client.rows) == {"g", "stays"}


async def test_a_row_that_the_store_has_lost_already_takes_room_too() -> None:
    """
    The same where the row that pushed another out is not told again, since the store is ahead and it has left there.
    """
    one = await town(keep=3)
    await one.backend.update("ana", "g")
    await one.backend.retract("ana", "g", 1)
    for id_ in ("a", "b", "c"):
        await one.backend.notice(["ana"], id_)
    client = await one.device()
    client.cut(0)
    new = [await one.backend.notice(["ana"], id_) for id_ in ("d", "e", "f")]
    await one.backend.retract("ana", "f", new[2].seq)
    await one.backend.tell("ana", update(10, ["ana"], "g", row_seq=1, prev=-1, announces=False))
    for seq, id_, left in ((11, "d", new[0]), (12, "e", new[1])):
        await one.backend.project("ana", Retraction(0, 0, -1, -1, seq, id_, left.seq, "undo", ["ana"]))
    await client.come()

    assert [frame["type"] for frame in client.wire.waiting] == ["hello", "kept", "retract", "state"]
    client.read(1_000)
    assert set(client.rows) == {"g"}


async def test_what_has_left_goes_before_an_old_row_is_put_back_live() -> None:
    """
    A slow device that was spared frames, and so has more than the inbox, hears what is left before it hears of an old
    row that is put back: it would drop that one, the oldest that it has.
    """
    one = await town(keep=2)
    await one.backend.update("ana", "g")
    await one.backend.retract("ana", "g", 1)
    client = await one.device()
    await one.backend.notice(["ana"], "left")
    group = await one.backend.update("ana", "spared")
    other = await one.backend.notice(["ana"], "other")
    await one.backend.retract("ana", "other", other.seq)
    await settle(one.hub)
    await one.backend.tell("ana", update(7, ["ana"], "g", row_seq=1, prev=-1, announces=False))
    await settle(one.hub)
    await one.backend.update("ana", "spared", group.row_seq)
    told = [frame for frame in client.wire.waiting if frame["type"] in ("kept", "state", "notification")]

    assert [frame["item"]["id"] for frame in told if "item" in frame] == ["left", "spared", "other", "spared"]
    assert [frame["type"] for frame in told[3:]] == ["kept", "state", "notification"]
    assert set(told[3]["ids"]) == {"g", "spared"}


async def test_who_was_cut_off_before_it_heard_what_has_left_hears_it() -> None:
    """
    A device that is cut off before it is told what a full inbox has pushed out drops that when it comes back, though
    nothing has happened since.
    """
    one, client = await full_over_an_archived_row()
    await one.backend.notice(["ana"], "new")
    await settle(one.hub)
    client.cut(1_000)
    assert set(client.rows) == {"oldest", "old", "new"}
    await client.come()
    client.read(1_000)

    assert set(client.rows) == {"old", "new"}


async def test_a_full_inbox_that_loses_a_row_to_time_says_which_are_left() -> None:
    """
    When a row of a full inbox expires, devices hear which are left: one that was spared frames may show more than that.
    """
    one = await town(keep=3)
    await one.backend.notice(["ana"], "older")
    client = await one.device()
    group = await one.backend.update("ana", "g")
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    await one.backend.notice(["ana"], "new")
    await one.backend.update("ana", "g", group.row_seq)
    await settle(one.hub)
    spared = next(frame for frame in client.wire.waiting if frame["type"] == "notification")
    client.wire.waiting.remove(spared)
    await one.turn(2_000)
    client.read(1_000)

    assert spared["item"]["id"] == "g"
    assert frames(client, "gone") == []
    assert set(client.rows) == {"new", "g"}


async def test_a_store_that_fails_costs_a_resume() -> None:
    """
    When it cannot be read what has left, sessions end, and come back.
    """
    one = await town()
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    client = await one.device()
    one.fails = True
    await one.turn(2_000)

    assert client.wire.session.state == "closed"


async def test_nothing_is_left_when_devices_have_gone() -> None:
    """
    Without devices there is no timer.
    """
    one = await town()
    await one.backend.notice(["ana"], "n", expires_at=SOON_MS)
    client = await one.device()
    feed = client.wire.feed
    assert feed is not None
    assert feed.left.timer is not None
    client.cut(0)

    assert feed.left.timer is None
