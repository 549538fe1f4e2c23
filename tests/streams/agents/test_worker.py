"""`streams/agents/worker.py`: the partitions of a stage while the group gives them out and the worker leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fanbell.streams.agents.batches import COMMIT_S
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.worker import PAUSE_S, REBALANCE_S, Partitions
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_memory import MemoryLog
from tests.streams.agents.test_held import Part, until


class Saving(Part):
    """Waits at `saving` when it is to leave, and fails as it is told to."""

    def __init__(self, log: Any) -> None:
        super().__init__(log, [])
        self.saving = asyncio.Event()
        self.saving.set()
        self.error: Exception | None = None
        self.asked = False

    async def leave(self) -> None:
        self.asked = True
        await self.saving.wait()
        if self.error is not None:
            raise self.error
        await super().leave()


class Scene:
    """The partitions of one stage, and the parts that were made of them."""

    def __init__(self) -> None:
        self.log: Any = MemoryLog()
        self.made: list[tuple[int, Saving]] = []
        self.broken: list[BaseException] = []
        stage = Stage("test", "activities", self.make, lambda *_: None, (LogFailed,))
        self.partitions = Partitions(stage, "activities", lambda: Told(), self.broken.append)  # type: ignore[arg-type, return-value]

    def make(self, number: int) -> Saving:
        self.made.append((number, Saving(self.log)))
        return self.made[-1][1]

    async def hold(self, *numbers: int) -> list[Saving]:
        await self.partitions.assign(numbers)
        await until(lambda: all(held.open for held in self.partitions.held.values()))
        return [part for _, part in self.made]


class Told:
    def done(self, tp: Any, offset: int) -> None:
        """Nobody asks."""

    def set_full(self, tp: Any, full: bool) -> None:
        """Nobody asks."""


def run(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await scenario(Scene())

    asyncio.run(within())


def test_who_leaves_takes_nothing_on() -> None:
    """
    Two workers are stopped at once, and the group gives the one's partitions to the other: that one neither opens them
    nor goes on with its own while they are saved.
    """

    async def scenario(scene: Scene) -> None:
        (part,) = await scene.hold(0)
        part.saving.clear()
        await scene.partitions.pause(1.0, for_good=True)
        leaving = asyncio.create_task(scene.partitions.leave())
        await until(lambda: part.asked)
        await scene.log.append("activities", 0, [Entry(b"x", 0)])

        await scene.partitions.pause(1.0)  # as the group takes all away, and gives out anew
        await scene.partitions.assign([0, 1])
        await asyncio.sleep(0.01)
        assert part.taken == []
        part.saving.set()
        await leaving
        await scene.partitions.assign([0, 1])

        assert part.left == 1
        assert [number for number, _ in scene.made] == [0]
        assert not scene.partitions.held
        assert scene.broken == []

    run(scenario)


def test_a_rebalance_ends_within_its_time() -> None:
    """
    Pausing and committing together take less than the group waits for: else it goes on without this worker.
    """
    assert PAUSE_S + COMMIT_S < REBALANCE_S


def test_a_batch_that_takes_long_is_cut_off_once() -> None:
    """
    When the worker is told to stop during a rebalance, both wait for the batch under way, and both give it up.
    """

    async def scenario(scene: Scene) -> None:
        (part,) = await scene.hold(0)
        part.gate.clear()
        await scene.log.append("activities", 0, [Entry(b"x", 0)])
        scene.partitions.look(0)
        await until(lambda: not scene.partitions.held[0]._still.is_set())
        with capture_logs() as told:
            await asyncio.gather(scene.partitions.pause(0.01), scene.partitions.pause(0.01, for_good=True))

        assert not scene.partitions.held
        assert [line["event"] for line in told] == ["batch_cut_off"]

    run(scenario)


def test_each_partition_is_saved_by_itself() -> None:
    """
    One that cannot be saved, since the log does not answer, keeps no other from being saved.
    """

    async def scenario(scene: Scene) -> None:
        failing, other = await scene.hold(0, 1)
        failing.error = LogFailed("nobody answers")
        other.saving.clear()
        await scene.partitions.pause(1.0, for_good=True)
        with capture_logs() as told:
            leaving = asyncio.create_task(scene.partitions.leave())
            await until(lambda: failing.asked and other.asked)
            other.saving.set()
            await leaving

        assert other.left == 1
        assert [(line["event"], line["partition"]) for line in told] == [("left_without_saving", 0)]

    run(scenario)


def test_what_must_not_fail_is_told_after_all_are_saved() -> None:
    """
    An error that nobody knows of while leaving is raised once the others are saved.
    """

    async def scenario(scene: Scene) -> None:
        failing, other = await scene.hold(0, 1)
        failing.error = ZeroDivisionError("as asked")
        other.saving.clear()
        await scene.partitions.pause(1.0, for_good=True)
        leaving = asyncio.create_task(scene.partitions.leave())
        await until(lambda: failing.asked and other.asked)
        other.saving.set()
        with pytest.raises(ZeroDivisionError):
            await leaving

        assert other.left == 1
        assert not scene.partitions.held

    run(scenario)
