"""Twenty people who post, mention and write to each other while servers fail, and what came of each try."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import httpx

from fanbell import LogFailed, Producer

PEOPLE: Final = [f"person{number}" for number in range(20)]
FOLLOWED: Final = 6  # by each
PAUSE_S: Final = 0.1  # between two batches of one client
BATCH: Final = 4  # by two clients: 80 activities/s
MARK_PAUSE_S: Final = 0.4
ANSWER_S: Final = 20.0  # an API that waits for its log for longer has lost the request
AGAIN_S: Final = 0.3  # before a try is repeated
GIVES_UP: Final = 0.2  # chance that a failed try is not repeated: its outcome stays unknown
MANY: Final = 2_000  # activities; past it fewer are enough, so that a slow machine has no more to check
TRICKLE_PAUSE_S: Final = 0.5
COUNT_MAX: Final = 10_000

Doing = dict[str, Any]
"""An activity as JSON."""


def follows(random: Random) -> list[tuple[str, str]]:
    """(who, whom)"""
    pairs = [(who, whom) for who in PEOPLE for whom in random.sample(PEOPLE, FOLLOWED)]
    return [(who, whom) for who, whom in pairs if who != whom]


def doing(random: Random, id_: str) -> Doing:
    """A post or a mention, each told for itself, or a message, which comes to a group for each recipient.

    No two of them are about one entity in ways that depend on each other, so nothing depends on their order.
    """
    actor, others = random.choice(PEOPLE), random.sample(PEOPLE, 3)
    base: Doing = {"id": id_, "actor": actor}
    match random.randrange(4):
        case 0 | 1:
            return base | {"kind": "post", "object": f"post-{id_}", "mentions": others[:1]}
        case 2:
            return base | {"kind": "mention", "object": f"post-{id_}", "mentions": others}
        case _:
            return base | {
                "kind": "message",
                "object": f"message-{id_}",
                "target": "room",
                "recipients": others,
            }


class People:
    """`run` publishes over HTTP and by the SDK, and marks rows read, until `stop`; the outcome of each is kept."""

    def __init__(self, seed: int, api: str, producer: Producer, name: str = "a") -> None:
        self.api, self.name = api, name
        self.acknowledged: dict[str, Doing] = {}
        self.unknown: dict[str, Doing] = {}
        """Tried, and never heard of again: it may be in the log or not."""
        self.marked: defaultdict[str, set[str]] = defaultdict(set)
        self.maybe_marked: defaultdict[str, set[str]] = defaultdict(set)
        self.failures = 0
        """Tries that failed."""
        self._random, self._producer = Random(seed), producer
        self._count = 0
        self._stopping = False

    async def follow(self) -> None:
        """Whom everybody follows, acknowledged; not one by one at the API, which waits for each to be in force."""
        pairs = follows(self._random)
        fields = [{"id": f"follow-{number}", "kind": "follow"} for number in range(len(pairs))]
        await self._producer.publish_many(
            [one | {"actor": who, "object": whom} for one, (who, whom) in zip(fields, pairs, strict=True)]
        )

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self.api, timeout=ANSWER_S) as client:

            async def post(batch: list[Doing]) -> None:
                answer = await client.post("/v1/activities", json=batch)
                assert answer.status_code in (202, 429, 503), answer.text
                answer.raise_for_status()

            async def produce(batch: list[Doing]) -> None:
                await self._producer.publish_many(batch)

            await asyncio.gather(self._publish(post), self._publish(produce), self._mark(client))

    def stop(self) -> None:
        self._stopping = True

    async def publish(self, client: httpx.AsyncClient, **fields: Any) -> Doing:
        """One activity of given fields, acknowledged: asked again, by its id, of an API whose log is only just back."""
        (one,) = self._next(1)
        one = {"id": one["id"], **fields}
        while True:
            answer = await client.post("/v1/activities", json=one)
            if answer.status_code not in (429, 503):
                break
            await asyncio.sleep(AGAIN_S)
        assert answer.status_code == 202, answer.text
        self.acknowledged[one["id"]] = one
        return one

    def _next(self, count: int) -> list[Doing]:
        first, self._count = self._count, self._count + count
        return [doing(self._random, f"{self.name}{number}") for number in range(first, first + count)]

    async def _publish(self, how: Callable[[list[Doing]], Awaitable[None]]) -> None:
        while not self._stopping and self._count < COUNT_MAX:
            batch = self._next(BATCH)
            ids = {one["id"]: one for one in batch}
            while True:
                try:
                    await how(batch)
                except (httpx.HTTPError, LogFailed):
                    self.failures += 1
                    if self._random.random() < GIVES_UP:
                        self.unknown |= ids
                        break
                    await asyncio.sleep(AGAIN_S)
                else:
                    self.acknowledged |= ids
                    break
            await asyncio.sleep(PAUSE_S if self._count < MANY else TRICKLE_PAUSE_S)  # the rate is the point

    async def _mark(self, client: httpx.AsyncClient) -> None:
        """People read what they are shown. Not of groups: what comes to one after that is a group of its own."""
        while not self._stopping:
            user = self._random.choice(PEOPLE)
            ids: list[str] = []
            try:
                page = await client.get(f"/v1/users/{user}/notifications", params={"limit": 20})
                page.raise_for_status()
                items = page.json()["items"]
                ids = [one["id"] for one in items if one["kind"] in ("post", "mention") and not one["read"]]
                ids = ids[:3]
                if ids:
                    answer = await client.post(f"/v1/users/{user}/notifications/read", json={"ids": ids})
                    answer.raise_for_status()
                    self.marked[user].update(ids)
            except httpx.HTTPError:
                self.maybe_marked[user].update(ids)
            await asyncio.sleep(MARK_PAUSE_S)
