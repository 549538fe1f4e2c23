"""Clients on lines that break, against a server that restarts: each notification once, in order, and the right list.

A seed says which line breaks when and how, what is published, who marks what, when the server restarts. What a seed
found, it mostly finds again: the machine's own timing is not in it. `FANBELL_TEST_SEEDS=200 make tests
ARGS="tests/clients/test_faults.py"` runs that many.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import msgspec
import pytest

import fanbell
from fanbell.clients.cursors import place_of
from fanbell.clients.errors import MarkFailed
from fanbell.clients.inbox import Inbox
from fanbell.clients.marks import SETS
from fanbell.clients.state import State
from fanbell.infra import up as up_module
from fanbell.infra.settings import Settings
from fanbell.infra.up import Running
from fanbell.infra.up import running as up
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Notice, Retraction, Update
from fanbell.streams.core.kinds import default_source
from tests.clients.checker import FOR_GOOD, History, Place, Wrong, check
from tests.clients.faulty import FAULTS, Proxy

pytestmark = pytest.mark.anyio
SEEDS: Final = range(int(os.environ.get("FANBELL_TEST_SEEDS", "6")))
STEPS: Final = 30
PATIENCE_S: Final = 60.0  # for the end of a run on a busy machine; a failure takes as long
PING_EVERY_S, SILENCE_S = (
    0.3,
    1.0,
)  # a stall costs their sum; less, and a busy machine is taken for a dead line
AUTHORS: Final = ("ben", "cleo", "dan")
RULES: Final = default_source().replace("update_every_ms = 5_000", "update_every_ms = 200")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Site:
    """A server with its data, on the same ports whenever it starts."""

    def __init__(self, folder: Path) -> None:
        self.settings = replace(Settings(), data=str(folder), port=0)
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        self.server: Running = await self._stack.enter_async_context(up(self.settings))
        self.settings = replace(
            self.settings, port=self.server.settings.port, edge_port=self.server.settings.edge_port
        )

    async def stop(self) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def publish(self, *activities: Activity) -> None:
        await self.server.backend.publish(activities)

    async def written(self, user: str) -> tuple[list[Place], frozenset[str]]:
        """Where rows of `user` came or grew, in the order of the log; and which were taken back."""
        partition = partition_of(user, self.server.backend.partitions)
        places: list[Place] = []
        retracted: set[str] = set()
        at = 0
        while records := await self.server.backend.notices(partition, at, 1_000):
            at = records[-1][0] + 1
            for _, told in records:
                if isinstance(told, Notice | Update | Retraction) and user in told.recipients:
                    if isinstance(told, Retraction):
                        retracted.add(told.id)
                    elif isinstance(told, Notice) or told.announces:
                        item = msgspec.json.decode(self.server.inbox.item_of(told, {}, "en"))
                        places.append((item["id"], told.seq))
        return places, frozenset(retracted)


class Device:
    """A client that iterates, and marks."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.heard: list[Place] = []
        self.marking: set[asyncio.Task[None]] = set()
        self.failed: Counter[str] = Counter()

    async def listen(self) -> None:
        async for item in self.inbox:
            self.heard.append((item["id"], place_of(item["cursor"]).seq))

    def mark(self, random: Random) -> None:
        """Mark something that is shown, or all of it; the answer may be long in coming."""
        verb, items = random.choice(list(SETS)), self.inbox.items
        some = [item["id"] for item in random.sample(items, min(len(items), random.randint(1, 4)))]
        task = asyncio.ensure_future(self._mark(verb, "all" if random.random() < 0.2 else some))
        self.marking.add(task)
        task.add_done_callback(self.marking.discard)

    async def _mark(self, verb: str, ids: Any) -> None:
        try:
            await getattr(self.inbox, verb)(ids)
        except MarkFailed as error:
            self.failed[type(error).__name__] += 1


async def live(seed: int, folder: Path) -> tuple[list[Wrong], Counter[str]]:
    """What went wrong in the run of `seed`, and which faults hit how often."""
    random = Random(seed)
    site = Site(folder)
    await site.start()
    try:
        await site.server.backend.apply_rules(RULES)
        await site.publish(*(Activity(f"f-{author}", "follow", "ana", author) for author in AUTHORS))
        await site.publish(Activity("own", "post", "ana", "post-own"))
        async with (
            Proxy(Random(f"{seed}, lines"), site.settings.edge_port) as proxy,
            two_devices(proxy.port) as devices,
        ):
            for step in range(STEPS):
                await do_something(random, step, site, devices)
                if step == STEPS // 2:  # once at least
                    await site.restart()
            proxy.calm = True
            async with asyncio.timeout(PATIENCE_S):
                for device in devices.values():
                    await asyncio.gather(*device.marking)
            assert not sum((device.failed for device in devices.values()), Counter())
            return await settled(site, devices), proxy.hit
    finally:
        await site.stop()


@asynccontextmanager
async def two_devices(port: int) -> AsyncIterator[dict[str, Device]]:
    """Ana's phone and laptop, connected and iterating."""
    async with AsyncExitStack() as stack:
        devices = {}
        for name in ("phone", "laptop"):
            inbox = fanbell.connect(
                f"ws://127.0.0.1:{port}/", user="ana", locale="en", marks_wait_s=PATIENCE_S,
                ping_every_s=PING_EVERY_S, silence_s=SILENCE_S,
            )  # fmt: skip
            devices[name] = Device(await stack.enter_async_context(inbox))
            listening = asyncio.ensure_future(devices[name].listen())
            stack.callback(listening.cancel)
        yield devices


async def do_something(random: Random, step: int, site: Site, devices: dict[str, Device]) -> None:
    dice = random.random()
    if dice < 0.6:
        for number in range(random.randint(1, 4)):
            id_, author = f"a{step}-{number}", random.choice(AUTHORS)
            if random.random() < 0.7:
                await site.publish(Activity(id_, "post", author, f"post-{id_}"))
            else:
                await site.publish(Activity(id_, "like", f"{author}-{step}", "post-own"))
    elif dice < 0.93:
        random.choice(list(devices.values())).mark(random)
    else:
        await site.restart()
    await asyncio.sleep(0.05 * random.random())  # so that steps and reads of the lines mix


async def settled(site: Site, devices: dict[str, Device]) -> list[Wrong]:
    """What is still wrong once nothing more comes, or after a long time."""
    wrong: list[Wrong] = []
    async with httpx.AsyncClient(base_url=site.server.http, trust_env=False) as http:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while wrong := check(await history(http, site, devices)):
                    if any(one.what in FOR_GOOD for one in wrong):
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
    return wrong


async def history(http: httpx.AsyncClient, site: Site, devices: dict[str, Device]) -> History:
    answers = [
        (await http.get(f"/v1/users/ana/{what}")).raise_for_status().json()
        for what in ("notifications?limit=100&locale=en", "counts")
    ]
    return History(
        *await site.written("ana"),
        {name: list(device.heard) for name, device in devices.items()},
        {name: device.inbox.items for name, device in devices.items()},
        {name: device.inbox.counts for name, device in devices.items()},
        answers[0]["items"],
        answers[1],
    )


async def test_the_checker_hears_of_clients_that_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A client that takes fresh pages for news, and asks for nothing else, is found out.
    """

    def page(state: State, frame: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        right(state, frame)
        return list(reversed(frame["items"]))

    right = State._page
    monkeypatch.setattr(State, "_page", page)
    monkeypatch.setattr(
        State, "cursor", property(lambda state: None, lambda state, cursor: None), raising=False
    )
    monkeypatch.setattr(up_module, "DRAIN_S", 0.2)
    wrong, _ = await live(0, tmp_path)

    assert "twice" in {one.what for one in wrong}


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_once_over_lines_that_break(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """
    Whatever a line does, two devices are given each notification once, in order, and show the inbox and its counters.
    """
    monkeypatch.setattr(up_module, "DRAIN_S", 0.2)
    wrong, hit = await live(seed, tmp_path)
    record_property("faults on lines", {fault: {"clients": count} for fault, count in hit.items()})

    assert wrong == [], f"seed {seed}"
    assert set(hit) <= set(FAULTS)
