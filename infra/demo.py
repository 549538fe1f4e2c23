"""Plays a synthetic town's traffic to a server, by its HTTP API, as any producer would."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import quote

import httpx
import structlog

from fanbell.infra.demo_kinds import demo_source
from fanbell.infra.town import Happening, Person, Town
from fanbell.streams.core.kinds import default_source

BATCH: Final = 500  # activities in one request
AT_ONCE: Final = 8  # requests in flight while the town is set up
HAPPENINGS_MAX: Final = 1_000_000  # then it is enough
SILENT_S: Final = 20.0  # a server that does not answer for so long has stopped
TIMEOUT_S: Final = 10.0
log = structlog.get_logger("fanbell.demo")


class Stopped(Exception):
    """The server is gone, or refuses what it is sent; the message says which."""


def new_run() -> str:
    """A name for one run, so that its ids are new to the server."""
    return f"{time.time_ns() // 1_000_000:x}"


async def play(
    url: str,
    seed: int,
    rate: float,
    *,
    token: str | None = None,
    town: Town | None = None,
    at_most: int = HAPPENINGS_MAX,
) -> int:
    """Set the town up at the server `url`, then let `rate` moments a second happen, until it stops or `at_most` did.

    At a `rate` of 0 nothing happens after that. Returns how many happened. Never raises because the server stopped.
    """
    town = town or Town(seed, new_run())
    headers = {"authorization": f"Bearer {token}"} if token else {}
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, limits=limits) as client:
        try:
            await _set_up(client, town)
            log.info(
                "synthetic town is set up", people=len(town.people), follows=len(town.follows), seed=seed
            )
            return await _live(client, town, Random(seed), rate, at_most) if rate else 0  # noqa: S311
        except Stopped as error:
            log.info("synthetic traffic ends", reason=str(error))
            return 0


async def _set_up(client: httpx.AsyncClient, town: Town) -> None:
    """The rules, names of those who are seen first, then the graph, then everybody's name."""
    await _rule(client, demo_source())
    await _name(client, [town.shown, *town.people[:12]])
    beginning = town.beginning()
    await _publish(client, beginning[:60])
    await _publish(client, [first for moment in _some(town, 3) for first in moment])
    await asyncio.gather(
        _name(client, town.people[12:]),
        *(_publish(client, beginning[i : i + BATCH]) for i in range(60, len(beginning), BATCH)),
    )


async def _rule(client: httpx.AsyncClient, source: str) -> None:
    """Put the town's rules in force, unless somebody has put others there."""
    answer = await _send(client, "GET", "/v1/kinds")
    if answer.get("source") == default_source():
        await _send(client, "PUT", "/v1/kinds", {"source": source})


def _some(town: Town, count: int) -> Sequence[list[Happening]]:
    moments = town.happenings()
    return [next(moments) for _ in range(count)]


async def _name(client: httpx.AsyncClient, people: Sequence[Person]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def name(person: Person) -> None:
        async with turns:
            await _send(client, "PUT", f"/v1/users/{quote(person.id, safe='')}", {"name": person.name})

    await asyncio.gather(*(name(person) for person in people))


async def _live(client: httpx.AsyncClient, town: Town, random: Random, rate: float, at_most: int) -> int:
    happened = 0
    async for moment in _paced(town, random, rate):
        await _publish(client, moment)
        happened += len(moment)
        if happened >= at_most:
            break
    return happened


async def _paced(town: Town, random: Random, rate: float) -> AsyncIterator[list[Happening]]:
    """Moments at random distances, `rate` a second on average; late ones are not made up for."""
    for moment in town.happenings():
        yield moment
        await asyncio.sleep(min(random.expovariate(rate), 5 / rate))


async def _publish(client: httpx.AsyncClient, activities: Sequence[Happening]) -> None:
    if activities:
        await _send(client, "POST", "/v1/activities", list(activities))


async def _send(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Send until it is taken; the answer. Raises Stopped."""
    silent_since = time.monotonic()
    while True:
        try:
            answer = await client.request(method, path, json=body)
        except httpx.HTTPError as error:
            if time.monotonic() - silent_since > SILENT_S:
                raise Stopped(f"the server no longer answers ({type(error).__name__})") from None
            await asyncio.sleep(0.5)
            continue
        if answer.status_code not in (429, 503):
            break
        silent_since = time.monotonic()
        await asyncio.sleep(min(5.0, float(answer.headers.get("retry-after", "1"))))
    if answer.is_error:
        raise Stopped(f"the server refuses {method} {path}: {answer.status_code} {answer.text[:300]}")
    told: dict[str, Any] = answer.json()
    return told
