"""A client that does what docs/edge.md says, at the end of a real link; and what is wrong with what it shows."""

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from msgspec import to_builtins
from websockets.protocol import State

from fanbell.edge.cursor import decode_cursor
from fanbell.edge.frames import Connect, Ping
from fanbell.edge.link import SocketLink
from fanbell.edge.start import start
from fanbell.edge.steps import Admitted, Ended
from fanbell.projections.rows import Counts

Frame = dict[str, Any]


class FakeWire:
    """A connection without a socket: frames that the client has not read; full after a few."""

    def __init__(self, unread_max: int) -> None:
        self.link: SocketLink | None = None
        self.unread_max = unread_max
        self.frames: list[Frame] = []
        self.code: int | None = None
        self.protocol = SimpleNamespace(state=State.OPEN)
        self.transport = SimpleNamespace(write=self.put_out, abort=lambda: None)

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    @property
    def paused(self) -> bool:
        return len(self.frames) > self.unread_max

    def put_out(self, data: bytes) -> None:
        while data:
            size, head = data[1], 2
            if size == 126:
                size, head = int.from_bytes(data[2:4]), 4
            elif size == 127:
                size, head = int.from_bytes(data[2:10]), 10
            self.frames.append(json.loads(data[head : head + size]))
            data = data[head + size :]

    async def close(self, code: int, reason: str) -> None:
        self.end(SimpleNamespace(code=code))

    def end(self, row: Any) -> None:
        self.code = row.code
        self.protocol.state = State.CLOSED


class Device:
    """Rows and cursor, kept together. `faults` is what it met that must not be."""

    def __init__(self, name: str, keep: int) -> None:
        self.name = name
        self.keep = keep
        self.rows: dict[str, Frame] = {}
        self.counts: Frame = {}
        self.cursor: str | None = None
        self.epoch = ""
        self.shown_to = 0
        """The newest row that it was ever shown: what is not above it is no news."""
        self.page_to = 0
        """The newest row on a page that was ahead of its cursor: up to there, who comes back may be told again."""
        self._ahead = 0
        self.faults: list[str] = []
        self.seen: dict[str, int] = {}
        self.wire: FakeWire | None = None
        self.link: SocketLink | None = None

    @property
    def is_live(self) -> bool:
        return self.link is not None and self.link.session.state == "live"

    async def come(self, world: Any) -> None:
        """Connect, with the cursor that it has."""
        self.page_to = max(self.page_to, self._ahead)
        self.wire = wire = FakeWire(world.ways.unread_max)
        self.link = link = SocketLink(
            wire, world.hub, world.pacer, world.traffic, world.mailbox_frames, 1_000_000
        )
        link.give(Connect(self.name))
        link.locale = await world.hub.locale_of(self.name, "en")
        if self.link is not link:
            return  # cut meanwhile
        link.feed = world.hub.join(self.name, link)
        link.give(Admitted())
        link.give(await start(world.hub, link.feed, self.cursor, link.locale))

    def forget(self) -> None:
        """Begin anew, as a page does that is loaded again."""
        self.rows, self.counts, self.cursor, self.epoch = {}, {}, None, ""

    def cut(self, reads: int) -> None:
        """The connection breaks after `reads` more frames."""
        self.read(reads)
        self._leave()

    def _leave(self) -> None:
        if self.link is not None and self.wire is not None:
            self.wire.end(SimpleNamespace(code=None))
            self.link.gone()
        self.wire = self.link = None

    def read(self, at_most: int) -> None:
        """Take some of the frames that wait, as they come."""
        wire, link = self.wire, self.link
        while wire is not None and link is not None and wire.frames and at_most:
            at_most -= 1
            frame = wire.frames.pop(0)
            self.seen[frame["type"]] = self.seen.get(frame["type"], 0) + 1
            self.take(frame)
            self.cursor = frame.get("cursor") or self.cursor
            if self.cursor is not None and decode_cursor(self.cursor, self.epoch) >= self.shown_to:
                self._drop_beyond()
            link.flush()
        if wire is not None and not wire.is_open and not wire.frames:
            self.seen["closed"] = self.seen.get("closed", 0) + 1
            self._leave()

    def ping(self) -> None:
        if self.link is not None:
            self.link.give(Ping())

    def overflow(self) -> None:
        if self.link is not None:
            self.link.do(self.link.session.step(Ended("resume")))

    def take(self, frame: Frame) -> None:
        match frame["type"]:
            case "hello":
                if frame["epoch"] != self.epoch:
                    self.epoch, self.shown_to, self.page_to, self._ahead = frame["epoch"], 0, 0, 0
                    self.cursor = None
                self.counts = frame["counts"]
                if frame["oldest"] is not None:
                    lowest = decode_cursor(frame["oldest"], self.epoch)
                    self.rows = {id_: row for id_, row in self.rows.items() if self.seq_of(row) >= lowest}
            case "page":
                self.rows = {item["id"]: item for item in frame["items"]}
                newest = max(map(self.seq_of, frame["items"]), default=0)
                self.shown_to = max(self.shown_to, newest)
                self._ahead = newest if newest > self.seq_of(frame) else 0
            case "notification":
                self._show(frame["item"])
            case "state":
                self.rows |= {item["id"]: item for item in frame["items"]}
            case "retract":
                self.rows.pop(frame["id"], None)
            case "gone":
                self.rows = {id_: row for id_, row in self.rows.items() if id_ not in frame["ids"]}
            case "kept":
                self.rows = {id_: row for id_, row in self.rows.items() if id_ in frame["ids"]}
            case "counts":
                self.counts = {name: value for name, value in frame.items() if name != "type"}

    def _show(self, item: Frame) -> None:
        seq = self.seq_of(item)
        if self.page_to < seq <= self.shown_to:
            self.faults.append(f"{item['id']} was told again, or late: {seq} after {self.shown_to}")
        self.shown_to = max(seq, self.shown_to)
        had = self.rows.get(item["id"])
        if had is None or self.seq_of(had) <= seq:
            self.rows[item["id"]] = item

    def _drop_beyond(self) -> None:
        for item in self.listed()[self.keep :]:
            del self.rows[item["id"]]

    def listed(self) -> list[Frame]:
        """Newest first, archived ones included."""
        return sorted(self.rows.values(), key=self.seq_of, reverse=True)

    def seq_of(self, item: Frame) -> int:
        return decode_cursor(item["cursor"], self.epoch)


def faults_of(name: str, shown: Sequence[Frame], inbox: Sequence[Frame]) -> list[str]:
    """What is wrong with the list `shown` where the inbox is `inbox`; both newest first."""
    have, want = {row["id"]: row for row in shown}, {row["id"]: row for row in inbox}
    found = [f"{name}: {id_} is not shown" for id_ in want if id_ not in have]
    found += [f"{name}: {id_} is shown, and is not in the inbox" for id_ in have if id_ not in want]
    found += [f"{name}: {id_} is not as it is" for id_ in want if id_ in have and have[id_] != want[id_]]
    if len(have) != len(shown):
        found.append(f"{name}: a row is shown twice")
    if not found and list(have) != list(want):
        found.append(f"{name}: the order is {list(have)}, not {list(want)}")
    return found


def faults_of_counts(name: str, counts: Mapping[str, Any], inbox: Counts) -> list[str]:
    """What is wrong with the counters `counts`."""
    return [] if counts == to_builtins(inbox) else [f"{name}: counts {counts}, not {to_builtins(inbox)}"]
