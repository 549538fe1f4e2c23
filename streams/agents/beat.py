"""When what was handed over is taken: at once after a pause, and in a steady trickle no more often than a beat allows.

A batch costs several times what is in it (an append, its acknowledgement, an answer to each reader, a turn of the event
loop), so of a trickle what comes between two beats goes together. Partitions that share a beat are taken at the same
moment: their appends share requests, and so do the answers that carry them on.
"""

import asyncio
import time
from collections.abc import Callable


class Beat:
    """Of one event loop. `clock`: seconds, never going back."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._last = clock() - every_s

    def due_s(self) -> float:
        """How long until the next beat; 0 if the last is long enough ago, and then this is one."""
        now = self._clock()
        left_s = self._last + self._every_s - now
        if left_s > 0:
            return left_s
        self._last = now
        return 0.0

    async def wait(self) -> None:
        """Until the next beat. Whoever waits for the same one goes on at the same time."""
        left_s = self.due_s()
        if left_s:
            at = self._last + self._every_s
            await asyncio.sleep(left_s)
            self._last = max(self._last, at)
