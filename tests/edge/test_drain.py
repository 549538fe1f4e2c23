"""Leaving in good order: who is asked when."""

import asyncio
import random

from fanbell.edge.drain import drain, turns


class Someone:
    def __init__(self, there: set["Someone"]) -> None:
        self.there = there
        self.why: str | None = None
        there.add(self)

    def end(self, why: str) -> None:
        self.why = why
        self.there.discard(self)


def test_turns_are_spread_evenly() -> None:
    """
    Sessions are asked one after the other, the first at once, none after the time.
    """
    there: set[Someone] = set()
    people = [Someone(there) for _ in range(5)]
    planned = turns(people, 10.0, random.Random(1))

    assert [due for due, _ in planned] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert {leaver for _, leaver in planned} == set(people)


def test_the_order_is_by_chance() -> None:
    """
    Sessions do not go in the order in which they came.
    """
    there: set[Someone] = set()
    people = [Someone(there) for _ in range(50)]
    orders = [[leaver for _, leaver in turns(people, 1.0, random.Random(seed))] for seed in (1, 2)]

    assert orders[0] != orders[1]
    assert people not in orders


def test_nobody_is_waited_for_who_has_gone() -> None:
    """
    Those who leave by themselves are passed over, so that a server does not wait for nobody.
    """

    async def story() -> list[str | None]:
        there: set[Someone] = set()
        people = [Someone(there) for _ in range(100)]
        leaving = asyncio.ensure_future(drain(there, 3_600))
        while len(there) == len(people):  # noqa: ASYNC110 - until the first was asked
            await asyncio.sleep(0)
        for someone in list(there):
            there.discard(someone)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await drain(there, 3_600)
        return [someone.why for someone in people]

    asked = asyncio.run(story())

    assert asked.count("restart") == 1


def test_nobody_there_is_done_at_once() -> None:
    """
    A server without sessions does not wait.
    """
    asyncio.run(drain(set(), 3_600))
