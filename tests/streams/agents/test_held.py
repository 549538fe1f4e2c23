import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from fanbell.streams.agents import held
from fanbell.streams.agents.beat import Beat
from fanbell.streams.agents.held import Held
from fanbell.streams.agents.part import Stage
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_memory import MemoryLog


class Part:
    """Takes what it is given into `taken`, skipping repeats; fails or waits where it is told to."""

    def __init__(self, log: MemoryLog, taken: list[int]) -> None:
        self.log, self.taken = log, taken
        self.gate = asyncio.Event()
        self.gate.set()
        self.offset = -1
        self.left = 0
        self.rested: list[int] = []
        self.ended = 0

    async def open(self) -> None:
        self.offset = self.taken[-1] if self.taken else -1

    async def missing(self) -> Sequence[Record]:
        return await self.log.read("activities", 0, self.offset + 1, 10)

    async def advance(self, records: Sequence[Record]) -> None:
        await self.gate.wait()
        for record in records:
            if record.value == b"fail":
                self.log.fails += 1  # type: ignore[attr-defined]
                if self.log.fails <= self.log.failing:  # type: ignore[attr-defined]
                    raise LogFailed("as asked")
            if record.value == b"bug":
                raise ZeroDivisionError("as asked")
            if record.offset > self.offset:
                self.offset = record.offset
                self.taken.append(record.offset)

    async def end(self) -> int:
        self.ended += 1
        return await self.log.end("activities", 0)

    async def rest(self, idle_s: float) -> None:
        self.rested.append(self.offset)

    def hurry(self) -> None:
        """Nothing takes long."""

    async def leave(self) -> None:
        self.left += 1

    def numbers(self) -> dict[str, float]:
        return {}


class Scene:
    """A partition that is held; what its owner hears of it."""

    def __init__(self, *values: bytes) -> None:
        self.log: Any = MemoryLog()
        self.log.fails, self.log.failing = 0, 1_000_000
        self.values = values
        self.taken: list[int] = []
        self.parts: list[Part] = []
        self.done: list[int] = []
        self.full: list[bool] = []
        self.broken: list[BaseException] = []

    def make(self, partition: int) -> Any:
        self.parts.append(Part(self.log, self.taken))
        return self.parts[-1]

    async def put(self, *values: bytes) -> list[Record]:
        first = await self.log.append("activities", 0, [Entry(value, 0) for value in values])
        records: list[Record] = await self.log.read("activities", 0, first, len(values))
        return records

    def hold(self, gather_s: float = 0.0) -> Held:
        stage = Stage("test", "activities", self.make, lambda *_: None, (LogFailed,), gather_s)
        return Held(stage, 0, Beat(gather_s), self.done.append, self.full.append, self.broken.append)


def run(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await scenario(Scene())

    asyncio.run(within())


async def until(what: Callable[[], Any]) -> None:
    while True:
        if what():
            return
        await asyncio.sleep(0.001)


def test_it_is_brought_to_the_end_of_the_log() -> None:
    """
    A partition that was opened has taken all that the log has, and says so, before anything is handed over.
    """

    async def scenario(scene: Scene) -> None:
        await scene.put(*[b"x"] * 25)
        one = scene.hold()
        await until(lambda: one.open)

        assert scene.taken == list(range(25))
        assert scene.done[-1] == 25
        await one.drop()

    run(scenario)


def test_a_log_that_never_ends_is_opened_all_the_same() -> None:
    """
    Where more has come whenever it looks, a partition is open once it is where the log ended when it began to look, and
    what is due by time has its turn between what is read.
    """

    async def scenario(scene: Scene) -> None:
        class Growing(Part):
            async def missing(self) -> Sequence[Record]:
                await scene.put(*[b"x"] * 10)
                return await super().missing()

        def make(partition: int) -> Any:
            scene.parts.append(Growing(scene.log, scene.taken))
            return scene.parts[-1]

        await scene.put(*[b"x"] * 25)
        scene.make = make  # type: ignore[method-assign]
        one = scene.hold()
        await until(lambda: one.open)
        assert len(scene.taken) == 30
        assert scene.parts[0].rested[:3] == [9, 19, 29]

        one.look()
        await until(lambda: scene.parts[0].rested[-1] > 29)
        await one.drop()

    run(scenario)


def test_what_is_handed_over_meanwhile_waits() -> None:
    """
    Batches handed over while a partition is being opened are taken afterwards, each record once.
    """

    async def scenario(scene: Scene) -> None:
        records = await scene.put(*[b"x"] * 3)
        one = scene.hold()
        one.take(records)
        one.take(await scene.put(b"x"))
        await until(lambda: scene.done and scene.done[-1] == 4)

        assert scene.taken == [0, 1, 2, 3]
        await one.drop()

    run(scenario)


def test_what_comes_soon_after_is_taken_together() -> None:
    """
    A stage that gathers takes the first batch at once, and what comes meanwhile together; a pause does not wait for it.
    """

    async def scenario(scene: Scene) -> None:
        one = scene.hold(gather_s=3_600.0)
        await until(lambda: one.open)
        one.take(await scene.put(b"x"))
        await until(lambda: scene.taken == [0])
        one.take(await scene.put(b"x"))
        one.take(await scene.put(b"x"))
        await asyncio.sleep(0.01)
        assert scene.taken == [0]

        await one.pause()
        assert scene.taken == [0]
        await one.drop()

        scene.done.clear()
        other = scene.hold(gather_s=0.05)
        await until(lambda: other.open)
        for _ in range(3):
            other.take(await scene.put(b"x"))
        await until(lambda: scene.taken[-1] == 5)
        assert scene.done == [3, 6] or scene.done == [3, 4, 6]
        await other.drop()

    run(scenario)


def test_a_failing_log_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the log fails the part is thrown away and opened anew until it goes on; what failed was not said to be done.
    """
    monkeypatch.setattr(held, "BACKOFF_S", 0.001)

    async def scenario(scene: Scene) -> None:
        scene.log.failing = 3
        one = scene.hold()
        await until(lambda: one.open)
        one.take(await scene.put(b"x", b"fail"))
        await until(lambda: scene.taken == [0, 1] and one.open)

        assert len(scene.parts) == 4
        assert scene.broken == []
        assert scene.done[-1] == 2
        await one.drop()

    run(scenario)


def test_anything_else_is_the_end() -> None:
    """
    An exception that is not known to pass is told to the owner; its batch is not done, and nothing after it is.
    """

    async def scenario(scene: Scene) -> None:
        one = scene.hold()
        await until(lambda: one.open)
        one.take(await scene.put(b"x"))
        await until(lambda: scene.done == [1])
        one.take(await scene.put(b"bug", b"x"))
        await until(lambda: one.ended)

        assert [type(error) for error in scene.broken] == [ZeroDivisionError]
        assert scene.done == [1]
        assert not one.open

    run(scenario)


def test_too_much_is_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Past a bound of waiting bytes the owner hears that there is no room, and once they are taken, that there is.
    """
    monkeypatch.setattr(held, "WAITING_BYTES", 10)

    async def scenario(scene: Scene) -> None:
        one = scene.hold()
        await until(lambda: one.open)
        scene.parts[0].gate.clear()
        one.take(await scene.put(b"under way"))
        await until(lambda: not one._still.is_set())
        one.take(await scene.put(b"waiting"))
        assert scene.full == []
        one.take(await scene.put(b"too much"))
        assert scene.full == [True]
        scene.parts[0].gate.set()
        await until(lambda: scene.done[-1:] == [3])

        assert scene.full == [True, False]
        await one.drop()

    run(scenario)


def test_a_pause_waits_for_the_batch_under_way() -> None:
    """
    Pausing returns once the batch under way is done; then nothing moves until it goes on, from the log.
    """

    async def scenario(scene: Scene) -> None:
        one = scene.hold()
        await until(lambda: one.open)
        scene.parts[0].gate.clear()
        one.take(await scene.put(b"x"))
        await until(lambda: not one._still.is_set())
        pausing = asyncio.create_task(one.pause())
        await asyncio.sleep(0)
        assert not pausing.done()
        scene.parts[0].gate.set()
        await pausing
        assert scene.done == [1]

        one.take(await scene.put(b"while it is paused"))
        await asyncio.sleep(0.01)
        assert scene.taken == [0]
        one.resume()
        await until(lambda: scene.done == [1, 2])

        assert len(scene.parts) == 1, "it went on where it stood"
        await one.drop()

    run(scenario)


def test_dropping_cuts_off_what_is_under_way() -> None:
    """
    What is dropped ends at once, is not said to be done, and is no failure.
    """

    async def scenario(scene: Scene) -> None:
        one = scene.hold()
        await until(lambda: one.open)
        scene.parts[0].gate.clear()
        one.take(await scene.put(b"x"))
        await until(lambda: not one._still.is_set())
        await one.drop()

        assert (scene.done, scene.broken, one.open) == ([], [], False)

    run(scenario)


def test_how_far_behind_it_is_comes_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A partition that is full is not fetched, and one that reads the log passes what was fetched: the log itself is asked
    how far it goes, at most once in a while, and what a fetch has told since counts too.
    """
    monkeypatch.setattr(held, "LOOK_S", 1e9)
    monkeypatch.setattr(held, "END_S", 0.0)

    async def scenario(scene: Scene) -> None:
        await scene.put(b"x", b"x")
        one = scene.hold()
        assert "lag_records" not in one.numbers()
        await until(lambda: one.open)
        assert (one.numbers()["end"], one.numbers()["lag_records"]) == (2.0, 0.0)

        third = await scene.put(b"x")
        await scene.put(*[b"x"] * 7)
        one.take(third)
        await until(lambda: one.numbers()["end"] == 10.0)
        assert one.numbers()["lag_records"] == 7.0
        assert one.numbers(fetched=12)["lag_records"] == 9.0
        assert one.numbers(fetched=1)["lag_records"] == 7.0

        asked = scene.parts[0].ended
        one._news.set()
        await until(lambda: not one._news.is_set())
        assert scene.parts[0].ended == asked, "nothing came, and nobody was asked"
        await one.drop()

    run(scenario)


def test_what_was_not_handed_over_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a batch for a while, the log is asked itself: a fetch that stalled stops nobody.
    """
    monkeypatch.setattr(held, "LOOK_S", 0.01)
    monkeypatch.setattr(held, "REST_S", 0.01)

    async def scenario(scene: Scene) -> None:
        one = scene.hold()
        await until(lambda: one.open)
        await scene.put(b"never handed over")
        await until(lambda: scene.done == [1])
        await one.drop()

    run(scenario)
