"""How many pages of an inbox a second, by HTTP, warm?

A page is the newest 50 of 200 rows, a third of them groups, with texts, names and counters. Several users' pages are
asked for by turns, on a few connections, the next one on each as soon as the last has come.

Figures asked: at least 2,000 pages/s, p99 at most 10 ms.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks import data
from benchmarks.harness import asked, hash_of, percentile, report
from benchmarks.server import Client, Up, clients, fanbell_up, until_none
from fanbell.infra import load
from fanbell.infra.settings import Settings
from fanbell.schemas.records import Activity

ROWS: Final = 200
LIMIT: Final = 50
CONNECTIONS: Final = 8
START_MS: Final = 1_700_000_000_000


def history(users: int, rows: int) -> Iterator[Activity]:
    """Each user's inbox: posts of those they follow, likes and comments under their own posts."""
    number = 0

    def made(kind: str, actor: str, object_: str, **more: Any) -> Activity:
        nonlocal number
        number += 1
        return Activity(f"a{number}", kind, actor, object_, occurred_at=START_MS + number * 50, **more)

    for user in range(users):
        for author in range(10):
            yield made("follow", f"user{user}", f"author{author}")
    for user in range(users):
        for post in range(rows // 3):
            yield made("post", f"user{user}", f"own{user}.{post}")
    for row in range(rows):
        if row % 3:
            title = json.dumps({"title": f"What happened on day {row}"}).encode()
            yield made("post", f"author{row % 10}", f"post{row}", data=title)
        else:
            for user in range(users):
                for liker in range(3):
                    yield made("like", f"author{(row + liker) % 10}", f"own{user}.{row // 3}")
                if row % 30 == 0:
                    target = f"own{user}.{row // 3}"
                    yield made("comment", f"author{row % 10}", f"c{user}.{row}", target=target, scope="town")


async def played(up: Up, users: int, count: int) -> tuple[dict[str, Any], list[bytes]]:
    """Name the people, warm up, ask; the figures, and each user's page."""
    requests = [up.get(f"/v1/users/user{user}/notifications?limit={LIMIT}") for user in range(users)]
    async with clients(up, CONNECTIONS) as open_:
        for author in range(10):
            body = json.dumps({"name": f"Author Number {author}"}).encode()
            answer = await open_[0].ask(up.send("PUT", f"/v1/users/author{author}", body))
            assert answer[0] == 202, answer
        await until_none(up, open_[0], "backlog", "updates_pending")
        seen_ms: list[float] = []
        await _ask(open_, requests, users * 3, [])
        cpu, ours, begun = up.cpu_s, time.process_time(), time.perf_counter()
        await _ask(open_, requests, count, seen_ms)
        seconds = time.perf_counter() - begun
        pages = [(await open_[0].ask(request))[1] for request in requests]
        figures = {
            "pages_per_s": round(count / seconds),
            "page_ms_p50": round(percentile(seen_ms, 50), 2),
            "page_ms_p99": round(percentile(seen_ms, 99), 2),
            "page_bytes": len(pages[0]),
            "server_cpu_s": round(up.cpu_s - cpu, 2),
            "client_cpu_s": round(time.process_time() - ours, 2),
        }
    return figures, pages


async def _ask(open_: list[Client], requests: list[bytes], count: int, seen_ms: list[float]) -> None:
    numbers = iter(range(count))

    async def ask(client: Client) -> None:
        for number in numbers:
            begun = time.perf_counter()
            status, body = await client.ask(requests[number % len(requests)])
            seen_ms.append((time.perf_counter() - begun) * 1_000)
            assert status == 200, body

    await asyncio.gather(*(ask(client) for client in open_))


def main(tiny: bool = False, users: int = 50, rows: int = ROWS, count: int = 12_000) -> None:
    if tiny:
        users, rows, count = 3, 60, 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        before = list(history(users, rows))
        data.write_lines(Path(name) / "before.jsonl", before)
        load.run(Path(name) / "before.jsonl", Settings(data=folder), now_ms=before[-1].occurred_at)
        with fanbell_up(folder) as up:
            figures, pages = uvloop.run(played(up, users, count))
    found = [json.loads(page) for page in pages]
    assert all(len(page["items"]) == min(LIMIT, page["total"]) for page in found)
    figures |= {
        "rows": found[0]["total"],
        "groups_on_page": sum(item["count"] > 1 for item in found[0]["items"]),
        "users": users,
        "connections": CONNECTIONS,
    }
    report("page of 50 by HTTP, warm", figures, hash_of(map(_answer, found)), synthetic=True)


def _answer(page: dict[str, Any]) -> bytes:
    """What the page says, but for cursors, which name the log."""
    items = [{name: value for name, value in item.items() if name != "cursor"} for item in page["items"]]
    return json.dumps([items, page["total"], page["unread"], page["unseen"]]).encode()


if __name__ == "__main__":
    main(**vars(asked()))
