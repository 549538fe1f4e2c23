"""Coroutines stepped in an order that a seed decides. Nothing else runs: no event loop, no clock, no threads.

Every await in the product's parts ends at `Scheduler.at`, which gives the turn away. A task that is not resumed from
there was killed there, as by `kill -9`: nothing of it runs any more.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from random import Random
from types import coroutine
from typing import Any

UNSEEN = (-1, -1)


@coroutine
def _turn() -> Generator[None, None, None]:
    yield


class Task:
    """`owner`: the worker it dies with; `stage`: which part of the product it runs; `place`: the await it stands at."""

    __slots__ = ("coro", "log_keeps_order", "name", "owner", "place", "saw", "stage")

    def __init__(
        self, name: str, coro: Coroutine[Any, Any, None], stage: str, owner: int | None, log_keeps_order: bool
    ) -> None:
        self.name, self.coro, self.stage, self.owner = name, coro, stage, owner
        self.place = "start"
        self.log_keeps_order = log_keeps_order
        """An idempotent producer: what failed lands at once or never, not after what it sends next."""
        self.saw = UNSEEN
        """End of `notices` before and after its replica opened: what lies below was there for it to see."""


class Scheduler:
    """Tasks, and whose turn it is."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tasks: list[Task] = []
        self.task: Task | None = None
        """Whose turn it is."""
        self.time = 0
        """Turns so far: the time of histories."""

    def spawn(
        self,
        name: str,
        coro: Coroutine[Any, Any, None],
        stage: str,
        owner: int | None = None,
        log_keeps_order: bool = False,
    ) -> Task:
        task = Task(name, coro, stage, owner, log_keeps_order)
        self.tasks.append(task)
        return task

    async def at(self, place: str) -> None:
        """Give the turn away; `place` says where the task stands until it has it again."""
        assert self.task is not None
        self.task.place = place
        await _turn()

    def step(self, before: Callable[[Task], bool]) -> None:
        """One turn of one task, unless `before` it says that there is to be none."""
        self.time += 1
        task = self.tasks[int(self.random.random() * len(self.tasks))]
        if not before(task):
            return
        self.task = task
        try:
            task.coro.send(None)
        except StopIteration:
            self.tasks.remove(task)
        finally:
            self.task = None

    def kill(self, task: Task) -> None:
        if task in self.tasks:
            self.tasks.remove(task)
            task.coro.close()


def at_once(doing: Awaitable[Any]) -> Any:
    """The result of a coroutine that never gives its turn away."""
    try:
        doing.__await__().send(None)  # type: ignore[attr-defined]
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it gave its turn away")
