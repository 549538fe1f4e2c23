"""An event loop whose clock stands still while there is something to do, then jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final

START_MS: Final = 1_800_000_000_000


class Stuck(Exception):
    """Somebody waits for what nobody will do."""


class _Selector(selectors.SelectSelector):
    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self.loop.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now_s` is its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    @property
    def now_ms(self) -> int:
        """Unix ms."""
        return START_MS + round(self.now_s * 1000)


def run_virtual(work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` returns, in no time."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()
