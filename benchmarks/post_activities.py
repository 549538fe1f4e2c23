"""How many activities a second does POST /v1/activities take, in batches of 100, each durable before its answer?

Half are posts by authors with two followers each, half likes of posts made before the clock. A few connections, the
next batch on each as soon as the last is answered. Afterwards: until nothing waits to get into inboxes. First a burst
of what the figure asked would take in a second; then six times as much.

Figures asked: at least 25,000 activities/s, and no backlog 2 s after the load.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from benchmarks import data
from benchmarks.harness import asked, hash_of, report
from benchmarks.server import Up, clients, fanbell_up, until_none
from benchmarks.stored import ends, heard, notices
from fanbell.infra import load
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Activity, Notice, Outcome

BATCH: Final = 100
CONNECTIONS: Final = 8


def prepared(authors: int) -> Iterator[Activity]:
    """Who follows whom, and a post by each author."""
    for author in range(authors):
        for number in range(2):
            follower = f"user{(author * 2 + number * 7) % authors}"
            yield Activity(f"f{author}.{number}", "follow", follower, f"author{author}")
        yield Activity(f"before{author}", "post", f"author{author}", f"old{author}")


def load_of(count: int, authors: int, seed: int = 1) -> Iterator[Activity]:
    """Posts and likes by turns."""
    random_ = random.Random(seed)
    for number in range(count):
        if number % 2:
            yield Activity(f"l{number}", "like", f"liker{number}", f"old{random_.randrange(authors)}")
        else:
            yield Activity(f"p{number}", "post", f"author{random_.randrange(authors)}", f"new{number}")


async def played(up: Up, requests: list[bytes], connections: int) -> dict[str, Any]:
    """Send all; the figures."""
    refused, slowest = 0, 0.0
    async with clients(up, connections) as open_:
        waiting = iter(requests)

        async def send(client: Any) -> None:
            nonlocal refused, slowest
            for request in waiting:
                begun = time.perf_counter()
                while (answer := await client.ask(request))[0] == 503:
                    refused += 1
                    await asyncio.sleep(0.1)
                assert answer[0] == 202, answer
                slowest = max(slowest, time.perf_counter() - begun)

        cpu, ours, begun = up.cpu_s, time.process_time(), time.perf_counter()
        await asyncio.gather(*(send(client) for client in open_))
        seconds = time.perf_counter() - begun
        behind_s = await until_none(up, open_[0], "backlog")
        return {
            "activities_per_s": round(len(requests) * BATCH / seconds),
            "until_no_backlog_s": round(behind_s, 3),
            "load_s": round(seconds, 3),
            "batch_ms_max": round(slowest * 1_000, 1),
            "refused_503": refused,
            "server_cpu_s": round(up.cpu_s - cpu, 2),
            "client_cpu_s": round(time.process_time() - ours, 2),
        }


def main(tiny: bool = False, count: int = 175_000, authors: int = 2_000) -> None:
    if tiny:
        count, authors = 1_400, 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        data.write_lines(Path(name) / "before.jsonl", prepared(authors))
        load.run(Path(name) / "before.jsonl", Settings(data=folder))
        since = ends(folder)
        items = [data.json_object(activity) for activity in load_of(count, authors)]
        bodies = [msgspec.json.encode(items[i : i + BATCH]) for i in range(0, count, BATCH)]
        with fanbell_up(folder) as up:
            requests = [up.send("POST", "/v1/activities", body) for body in bodies]
            burst, rest = requests[: len(requests) // 7], requests[len(requests) // 7 :]
            figures = {f"burst_{k}": v for k, v in uvloop.run(played(up, burst, CONNECTIONS)).items()}
            figures |= uvloop.run(played(up, rest, CONNECTIONS))
        told = list(notices(folder, since))
    answers = sorted(line for record in told if (line := _answer(record)))
    figures |= {
        "burst_activities": len(burst) * BATCH,
        "activities": len(rest) * BATCH,
        "notifications": sum(map(heard, told)),
        "batch": BATCH,
        "connections": CONNECTIONS,
    }
    mix = "half posts to 2 followers each, half likes of 2,000 older posts"
    report("POST /v1/activities, durable", figures, hash_of(answers), synthetic=True, mix=mix)


def _answer(record: object) -> bytes:
    """Who heard of what; which like opened a group depends on the order that connections came in."""
    if isinstance(record, Notice):
        return f"{content_of(record.content).id}|{sorted(record.recipients)}".encode()
    return f"{record.id}|{record.heard}".encode() if isinstance(record, Outcome) else b""


if __name__ == "__main__":
    main(**vars(asked()))
