"""How sessions start: a client that is cut off anywhere, as often as may be, ends up with the inbox as it is."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fanbell.edge import start as start_module
from fanbell.edge.cursor import decode_cursor
from fanbell.edge.feed import Feed
from fanbell.edge.frames import Connect, Frame
from fanbell.edge.hub import Hub
from fanbell.edge.ring import Ring
from fanbell.edge.session import Session
from fanbell.edge.start import start
from fanbell.edge.steps import Admitted, Ended, Output, Send
from fanbell.projections.rows import Query
from tests.edge.fake_notices import inbox_of
from tests.edge.test_tally import History

KEEP = 100
OPS = ["notice", "grow", "grow", "correct", "retract", "restore", "read", "unread", "archive", "all"]
STEPS = st.lists(st.tuples(st.sampled_from([*OPS, "cut", "turn", "turn"]), st.integers(0, 9)), max_size=40)
PUT_BACK: list[tuple[str, int]] = [
    ("notice", 0), ("grow", 0), ("cut", 2), ("correct", 0), ("retract", 0), ("restore", 0),
]  # fmt: skip
"""Corrected, retracted and put back while the client was away."""
PUT_BACK_LATER: list[tuple[str, int]] = [
    ("notice", 0), ("cut", 2), ("correct", 0), ("retract", 0), ("notice", 0), ("restore", 0),
]  # fmt: skip
"""The same, with something new in between."""
MOVED_WHILE_IT_CAME: list[tuple[str, int]] = [
    ("notice", 0), ("turn", 0), ("correct", 0), ("turn", 0), ("turn", 0), ("grow", 1),
]  # fmt: skip
"""Corrected, then grown, while the client's first page was being read."""
QUEUED: list[tuple[str, int]] = [
    ("turn", 0), ("notice", 0), ("notice", 0), ("correct", 0), ("cut", 2),
]  # fmt: skip
"""The client comes back while what it missed queues behind a read for its other device."""


class Wire:
    """A session without a socket: what it was sent waits until the client reads it, or the wire is cut."""

    locale = "en"

    def __init__(self) -> None:
        self.session = Session(1_000, 10_000_000)
        self.waiting: list[dict[str, Any]] = []
        self.feed: Feed | None = None

    def do(self, outputs: Any) -> None:
        for output in outputs:
            assert isinstance(output, Output)
            if isinstance(output, Send):
                self.waiting += [
                    json.loads(frame.data[frame.data.index(b'{"type"') :]) for frame in output.frames
                ]

    def tell(self, frame: Frame) -> None:
        self.do(self.session.step(frame))

    def count(self) -> None:
        """Counters are another test's."""

    def end(self, why: str) -> None:
        self.do(self.session.step(Ended(why)))


class Client:
    """Keeps rows and cursor together, and comes back with them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.rows: dict[str, dict[str, Any]] = {}
        self.cursor: str | None = None
        self.heard: list[str] = []
        self.wire = Wire()

    async def come(self) -> None:
        wire = self.wire = Wire()
        wire.session.step(Connect("ana"))
        wire.feed = self.hub.join("ana", wire)
        wire.session.step(Admitted())
        wire.do(wire.session.step(await start(self.hub, wire.feed, self.cursor, "en")))

    def cut(self, reads: int) -> None:
        """Read `reads` of the frames that wait; the others are lost."""
        self.read(reads)
        assert self.wire.feed is not None
        self.hub.leave(self.wire.feed, self.wire)

    def read(self, at_most: int) -> None:
        taken, self.wire.waiting = self.wire.waiting[:at_most], self.wire.waiting[at_most:]
        for frame in taken:
            self.take(frame)
            self.cursor = frame.get("cursor") or self.cursor

    def take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "hello" if frame["oldest"]:
                lowest = decode_cursor(frame["oldest"], frame["epoch"])
                self.rows = {
                    id_: row
                    for id_, row in self.rows.items()
                    if decode_cursor(row["cursor"], frame["epoch"]) >= lowest
                }
            case "page":
                self.rows = {item["id"]: item for item in frame["items"]}
            case "notification":
                self.rows[frame["item"]["id"]] = frame["item"]
                self.heard.append(frame["cursor"])
            case "state":
                self.rows |= {item["id"]: item for item in frame["items"]}
            case "retract":
                self.rows.pop(frame["id"], None)
            case "kept":
                self.rows = {id_: row for id_, row in self.rows.items() if id_ in frame["ids"]}
            case "gone":
                self.rows = {id_: row for id_, row in self.rows.items() if id_ not in frame["ids"]}


async def settle(hub: Hub) -> None:
    """Let all that the hub reads be read."""
    while hub._tasks:
        await asyncio.gather(*hub._tasks, return_exceptions=True)


async def live(steps: list[tuple[str, int]], ring: int, devices: int) -> tuple[list[Client], dict[str, Any]]:
    """The devices after `steps`, the first of which is cut off and comes back; the others stay. And the inbox."""
    past = History(KEEP)
    inbox = inbox_of(past.backend)
    hub = Hub(past.backend, inbox, KEEP, None)
    for partition in hub.partitions:
        partition.ring = Ring(ring)
    await hub.open()
    client, *others = clients = [Client(hub) for _ in range(devices)]
    for other in others:
        await other.come()
    coming = asyncio.ensure_future(client.come())
    for number, (step, pick) in enumerate(steps):
        if step == "cut":
            await coming
            client.cut(pick)
            coming = asyncio.ensure_future(client.come())  # and things go on happening
        elif step == "turn":
            await asyncio.sleep(0)
            client.read(pick)
        else:
            await past.one(step, pick, number)
            past.read.append(await past.backend.store.read("ana"))
    await coming
    await settle(hub)
    for each in clients:
        each.read(10_000)
    page = await inbox.answer("ana", Query(limit=200), "en")
    await hub.close()
    return clients, {item["id"]: item for item in page["items"]}


@pytest.mark.parametrize(
    ("ring", "log"),
    [(1_000, 1_000), (2, 1_000), (2, 0)],
    ids=["from the ring", "from the log", "from the rows"],
)
def test_a_client_cut_off_anywhere_has_the_inbox(
    ring: int, log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever happens, wherever the connection breaks, alone or beside another device: in the end the client shows the
    inbox as it is, and has heard of each notification once, in order.
    """
    monkeypatch.setattr(start_module, "LOG_RECORDS_MAX", log)

    @settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS, st.integers(1, 2))
    @example(PUT_BACK, 1)
    @example(PUT_BACK_LATER, 1)
    @example(MOVED_WHILE_IT_CAME, 1)
    @example(QUEUED, 2)
    def holds(steps: list[tuple[str, int]], devices: int) -> None:
        clients, inbox = asyncio.run(live(steps, ring, devices))

        for client in clients:
            assert {id_: row for id_, row in client.rows.items() if not row["archived"]} == inbox
            assert client.heard == sorted(set(client.heard))

    holds()
