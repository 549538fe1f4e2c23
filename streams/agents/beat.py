"""When what was handed over is taken: at once after a pause, and in a steady trickle no more often than a beat allows.

A batch costs several times what is in it (an append, its acknowledgement, an answer to each reader, a turn of the event
loop), so of a trickle what comes between two beats goes together. Partitions that share a beat are taken at the same
moment: their appends share requests, and so do the answers that carry them on. Where each takes long, they have beats
of their own that fall apart, or all would keep the loop from its other work at once.
"""

import asyncio
import time
from collections.abc import Callable
from math import floor


class Beat:
    """Of one event loop. `clock`: seconds, never going back.

    `phase`, 0 to 1: in a steady trickle beats fall on the clock's multiples of `every_s`, and that part of it later;
    None if they follow the first one.
    """

    def __init__(
        self, every_s: float, clock: Callable[[], float] = time.monotonic, phase: float | None = None
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._phase = phase
        self._next = clock()

    def due_s(self) -> float:
        """How long until the next beat; 0 if it is time, and then this is one."""
        now = self._clock()
        if now < self._next:
            return self._next - now
        self._next = self._following(now)
        return 0.0

    def _following(self, now: float) -> float:
        if self._phase is None or not self._every_s:
            return now + self._every_s
        return (floor(now / self._every_s - self._phase) + 1 + self._phase) * self._every_s

    async def wait(self) -> None:
        """Until the next beat. Whoever waits for the same one goes on at the same time."""
        left_s = self.due_s()
        if left_s:
            at = self._next
            await asyncio.sleep(left_s)
            self._next = max(self._next, at + self._every_s)
