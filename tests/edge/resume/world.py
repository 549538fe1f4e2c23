"""Two people's devices, and everything that can happen to them, by a seed. `run` says what was wrong at rest."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final
from unittest.mock import patch

from fanbell.edge import start as start_module
from fanbell.edge.cursor import ForeignCursor, encode_cursor
from fanbell.edge.hub import Hub
from fanbell.edge.link import Traffic
from fanbell.edge.pacer import Pacer
from fanbell.edge.ring import Ring
from fanbell.projections.inbox import Inbox
from fanbell.projections.rows import Query, counts
from fanbell.schemas.codec import encode_body
from fanbell.schemas.records import Change, Mark, Notice, Retraction, Told, Update, Wish
from tests.edge.fake_notices import content
from tests.edge.resume.backend import Scripted
from tests.edge.resume.device import Device, faults_of, faults_of_counts
from tests.edge.resume.virtual import Stuck, VirtualLoop, run_virtual
from tests.edge.resume.ways import WAYS, Ways

STEPS: Final = 60
PEOPLE: Final = ("ana", "bob")
Group = tuple[int, bool]
"""(seq of its row, whether it stands)"""


class World:
    """Everything, and the script by which it goes."""

    def __init__(self, seed: int, loop: VirtualLoop, ways: Ways) -> None:
        chance = self.chance = Random(seed)
        self.loop = loop
        self.ways = ways
        self.keep = chance.choice(ways.keep)
        self.cluster = chance.random() < 0.5
        self.ring = chance.choice((1, 3, 1_000))
        self.mailbox_frames = chance.choice(ways.mailbox_frames)
        self.traffic = Traffic()
        self.pacer = Pacer()
        self.devices = [Device("ana", self.keep), Device("ana", self.keep), Device("bob", self.keep)]
        self.coming: set[asyncio.Task[None]] = set()
        self.groups: dict[str, dict[str, Group]] = {}
        self.number = self.epochs = self.restarts = 0
        self.told: list[str] = []

    async def begin(self) -> None:
        """A log of its own, and an edge."""
        self.epochs += 1
        self.groups = {name: {} for name in PEOPLE}
        self.backend = Scripted(f"epoch-{self.epochs}", self.keep, self.chance, self.cluster)
        await self._serve()

    async def restart(self) -> None:
        """The edge goes and comes; the log stays."""
        self.restarts += 1
        await self._stop()
        await self._serve()

    async def replace(self) -> None:
        """The log is replaced by another."""
        await self._stop()
        await self.begin()

    async def _serve(self) -> None:
        backend = self.backend
        inbox = Inbox(
            backend.store,
            lambda: backend.rules,
            lambda seq: encode_cursor(backend.epoch, seq),
            lambda: self.loop.now_ms,
        )
        backend.listen(inbox.told)
        self.hub = Hub(backend, inbox, self.keep, None, clock=lambda: self.loop.now_ms)  # type: ignore[arg-type]
        for partition in self.hub.partitions:
            partition.ring = Ring(self.ring)
        await self.hub.open()

    async def _stop(self) -> None:
        for device in self.devices:
            device.cut(self.chance.randrange(4))
        for task in self.coming:
            task.cancel()
        await asyncio.gather(*self.coming, return_exceptions=True)
        await self.hub.close()
        self.backend._listeners.clear()

    # What happens

    async def step(self) -> None:
        does: Callable[[], Any] = getattr(self, self.chance.choice(self.ways.steps))
        done = does()
        if done is not None:
            await done

    async def news(self) -> None:
        """A record more."""
        self.number += 1
        name = self.chance.choice(self.ways.people)
        await self.backend.append(self._record(name))

    def _record(self, name: str) -> Told:
        chance, seq = self.chance, self.backend.seq + 1
        groups = self.groups[name]
        standing = [id_ for id_, (_, stands) in groups.items() if stands][-self.ways.about :]
        fallen = [id_ for id_, (_, stands) in groups.items() if not stands][-self.ways.about :]
        rows = [seq_ for seq_, _ in groups.values()]
        what = chance.choice(self.ways.records)
        if what == "grow" and standing:
            id_ = chance.choice(standing)
            before, groups[id_] = groups[id_][0], (seq, True)
            return self._update(name, id_, seq, seq, before, announces=True)
        if what == "correct" and standing:
            id_ = chance.choice(standing)
            return self._update(name, id_, seq, groups[id_][0], groups[id_][0], announces=False)
        if what == "retract" and standing:
            id_ = chance.choice(standing)
            groups[id_] = (groups[id_][0], False)
            return Retraction(0, 0, -1, -1, seq, id_, groups[id_][0], "undo", [name])
        if what == "restore" and fallen:
            id_ = chance.choice(fallen)
            groups[id_] = (groups[id_][0], True)
            return self._update(name, id_, seq, groups[id_][0], -1, announces=False)
        if what == "mark" and rows:
            named = chance.sample(rows, min(len(rows), 2))
            verb = chance.choice(self.ways.verbs)
            return Mark(0, 0, -1, -1, seq, name, verb, ["?"] * len(named), named, None)
        if what == "upto":
            verb = chance.choice(self.ways.verbs)
            return Mark(0, 0, -1, -1, seq, name, verb, [], [], chance.randrange(seq))
        if what == "wish":
            change = Change("c", "mute", name, side="user", aspect="author", object=f"a{self.number}")
            return Wish(0, 0, -1, -1, seq, encode_body(change))
        if what == "group":
            id_ = f"g{self.number}"
            groups[id_] = (seq, True)
            return self._update(name, id_, seq, seq, -1, announces=True)
        id_ = f"n{self.number}"
        names = list(PEOPLE) if what == "all" else [name]
        for each in names:
            self.groups[each][id_] = (seq, True)
        actor = chance.choice(("cho", f"stranger-{self.number}"))
        return Notice(0, 0, -1, -1, seq, "post", content(id_, actor=actor, expires_at=self._expires()), names)

    def _update(self, name: str, id_: str, seq: int, row_seq: int, prev: int, *, announces: bool) -> Update:
        body = content(f"{id_}:{seq}", "like", "cho", expires_at=self._expires())
        return Update(0, 0, -1, -1, seq, id_, "like", row_seq, prev, announces, 1, ["cho"], 0, body, [name])

    def _expires(self) -> int | None:
        if self.chance.random() < self.ways.lasting:
            return None
        return self.loop.now_ms + self.chance.choice((-1, 300, 2_000, 10_000))

    async def on_the_way(self) -> None:
        """Records go on a step towards the store, or listeners; or some are written twice, or lost on the way."""
        chance, backend = self.chance, self.backend
        match chance.randrange(8):
            case 0 | 1 | 2:
                await backend.project(chance.choice((1, 3, 100)))
            case 3 | 4 | 5:
                backend.tell(chance.choice((1, 3, 100)))
            case 6:
                backend.tell(chance.choice((1, 2)), lost=True)
            case 7:
                if backend.log:
                    backend.repeat(chance.randint(1, min(4, len(backend.log))))

    def device(self) -> None:
        """A device reads, pings, is cut off, or comes back."""
        device = self.chance.choice(self.devices)
        match self.chance.choice(self.ways.devices):
            case "read":
                device.read(self.chance.choice((1, 2, 100)))
            case "ping":
                device.ping()
            case "back":
                device.cut(self.chance.randrange(6))
                self._come(device)
            case "cut":
                device.cut(self.chance.randrange(6))
            case "anew":
                device.cut(0)
                device.forget()
                self._come(device)

    def _come(self, device: Device) -> None:
        task = self.loop.create_task(device.come(self))
        self.coming.add(task)
        task.add_done_callback(self.coming.discard)

    async def rest(self) -> None:
        """Time passes, or somebody else has a turn; now and then the edge, or the log, is another."""
        match self.chance.choice(self.ways.rests):
            case "replace":
                await self.replace()
            case "restart":
                await self.restart()
            case seconds:
                await asyncio.sleep(float(seconds))

    # What shows

    async def play(self) -> list[str]:
        """The whole script; what was wrong, at the first time when something was."""
        if self.ways.present:
            for device in self.devices:
                await device.come(self)
        for _ in range(STEPS):
            await self.step()
            if self.chance.random() < self.ways.quiet:
                await self.quiet()
                if found := await self.faults([device for device in self.devices if device.is_live]):
                    return found
        await self.quiet(all_come=True)
        return await self.faults(self.devices)

    async def quiet(self, *, all_come: bool = False) -> None:
        """A record by which losses show; then nothing happens for a while, and those who are there read to the end."""
        change = Change("c", "mute", "zoe", side="user", aspect="author", object="last")
        await self.backend.append(Wish(0, 0, -1, -1, self.backend.seq + 1, encode_body(change)))
        await self.backend.catch_up()
        for _ in range(20):
            for device in self.devices:
                device.read(10_000)
                if device.link is None and all_come:
                    await device.come(self)
            await asyncio.sleep(3)

    async def faults(self, devices: Sequence[Device]) -> list[str]:
        """What is wrong now with what `devices` show."""
        found = []
        truth = Inbox(
            self.backend.truth,
            lambda: self.backend.rules,
            lambda seq: encode_cursor(self.backend.epoch, seq),
            lambda: self.loop.now_ms,
        )
        for device in devices:
            inbox = (await truth.answer(device.name, Query(limit=200), "en"))["items"]
            shown = [row for row in device.listed() if not row["archived"]]
            found += device.faults + faults_of(device.name, shown, inbox)
            rows = await self.backend.truth.rows(device.name)
            found += faults_of_counts(device.name, device.counts, counts(rows, self.loop.now_ms))
        return found

    def seen(self) -> dict[str, int]:
        """How often what came to pass: a simulation in which nothing does proves nothing."""
        seen = {"replaced": self.epochs - 1, "restarted": self.restarts, "waited": self.traffic.frames_waited}
        seen |= {
            "repeated": self.backend.repeats,
            "lost": self.backend.gaps,
            "read from the log": self.backend.reads,
        }
        for device in self.devices:
            for name, times in device.seen.items():
                seen[name] = seen.get(name, 0) + times
        return seen


async def _life(seed: int, ways: Ways) -> tuple[list[str], dict[str, int]]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    world = World(seed, loop, ways)
    bounds = Random(seed)
    with (
        patch.object(start_module, "LOG_RECORDS_MAX", bounds.choice((0, 5, 4_096))),
        patch.object(start_module, "FRAMES_MAX", bounds.choice((3, 128))),
    ):
        await world.begin()
        found = await world.play()
        await world._stop()
    return found, world.seen()


def run(seed: int, ways: Ways | None = None) -> tuple[list[str], dict[str, int]]:
    """(what was wrong, what came to pass) in the world of `seed`; its ways are its own, if none are given."""
    try:
        found, seen = run_virtual(_life(seed, ways or WAYS[seed % len(WAYS)]))
    except Stuck:
        return ["stuck: somebody waits for what nobody will do"], {}
    except ForeignCursor as error:
        return [f"what it shows {error}"], {}
    return found, seen
