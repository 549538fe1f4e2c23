"""A process that starts while what it needs is away: it waits, for a bounded time, and says so once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

logger = structlog.get_logger()

PAUSE_LEAST_S: Final = 0.25  # a broker that is just starting is there in seconds
PAUSE_MOST_S: Final = 5.0  # and many processes that wait burden nobody

T = TypeVar("T")


class Stopped(Exception):
    """The process was told to stop before it had started."""


class Patience:
    """Waits at most `wait_s` for each thing, and no longer than until `stop` is set."""

    def __init__(self, wait_s: float = 0.0, stop: asyncio.Event | None = None) -> None:
        self._wait_s = wait_s
        self._stop = stop or asyncio.Event()

    async def until_there(
        self, what: str, attempt: Callable[[], Awaitable[T]], is_away: Callable[[Exception], bool]
    ) -> T:
        """What `attempt` gives, tried again with growing pauses where its failure `is_away`.

        Raises the last failure once the time is over, any other at once, and Stopped.
        """
        began, pause_s, said = time.monotonic(), PAUSE_LEAST_S, False
        while True:
            try:
                found = await self._unless_stopped(attempt())
            except Exception as error:
                left_s = began + self._wait_s - time.monotonic()
                if left_s <= 0 or not is_away(error):
                    raise
                if not said:
                    logger.warning("waiting", what=what, at_most_s=self._wait_s, error=str(error))
                said = True
            else:
                if said:
                    logger.info("waited", what=what, waited_s=round(time.monotonic() - began, 3))
                return found
            await self._unless_stopped(asyncio.sleep(min(pause_s, left_s)))
            pause_s = min(2 * pause_s, PAUSE_MOST_S)

    async def _unless_stopped(self, work: Awaitable[T]) -> T:
        """What `work` gives, also if it was told to stop just then. Raises Stopped."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise Stopped
        finally:
            stopping.cancel()
            working.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
