"""Leaving in good order: sessions are asked to go elsewhere one after the other, spread over a time.

If all went at once, the processes that stay would get all of them at once. The order is random, so that sessions
that were opened together do not come together.
"""

import asyncio
import random
from collections.abc import Collection, Iterable
from typing import Protocol


class Leaver(Protocol):
    """A session, as far as it can be asked to go."""

    def end(self, why: str) -> None: ...


def turns(leavers: Iterable[Leaver], over_s: float, chance: random.Random) -> list[tuple[float, Leaver]]:
    """When each of `leavers` is to go, seconds from now, in order: evenly over `over_s`, in an order by `chance`."""
    order = list(leavers)
    chance.shuffle(order)
    return [(over_s * place / len(order), leaver) for place, leaver in enumerate(order)]


async def drain(there: Collection[Leaver], over_s: float) -> None:
    """Ask those who are `there`, a collection that shrinks as they go, to go within `over_s` seconds.

    Ends once all were asked, or are gone. Cancel it to hurry: whoever stops the server asks the rest.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for due_s, leaver in turns(there, over_s, random.Random()):  # noqa: S311 - spreads sessions, hides nothing
        if leaver in there:
            await asyncio.sleep(max(0.0, began_s + due_s - loop.time()))
            leaver.end("restart")
