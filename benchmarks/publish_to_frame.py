"""How long from publishing by HTTP to the frame at a follower's socket?

A real server; here, in a process of its own, a client with a socket for each of many members of melcup17, and what
members did there, 200 activities a second, one request each, at even distances whether earlier ones are answered or
not. The clock runs from the start of the POST to the frame's arrival, both seen by this one process. Frames by which
a group grows come later by design (at most one in 5 s); they are counted, not timed.

Figures asked, with 1,000 sockets: p50 at most 5 ms, p99 at most 20 ms.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks import data
from benchmarks.harness import asked, hash_of, percentile, report, skip
from benchmarks.server import Client, Up, clients, fanbell_up, until_none
from benchmarks.stored import ends, heard, notices
from fanbell.edge.frames import SUBPROTOCOL
from fanbell.infra import load
from fanbell.infra.settings import Settings

QUESTION: Final = "publish by HTTP to frame at the socket"
RATE: Final = 200.0
WARM: Final = 200  # activities before the clock counts
HTTP: Final = 32  # connections to publish on; one is taken when it is free
AT_ONCE: Final = 50  # sockets opened together
QUIET_S: Final = 0.5  # without a frame for so long, the last one has come


class _Item(msgspec.Struct):
    id: str
    count: int


class _Frame(msgspec.Struct):
    type: str
    item: _Item | None = None


_frame: Final = msgspec.json.Decoder(_Frame)


class Ears:
    """All sockets of this process, and what came when."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        """activity → when its POST began, s"""
        self.timed_ms: list[float] = []
        self.first: set[tuple[str, str]] = set()
        """(user, notification) of every frame that was the first of its row"""
        self.grown = 0
        self.lost = 0
        self.latest = 0.0

    async def listen(self, user: str, socket: ClientConnection) -> None:
        try:
            while True:
                text = await socket.recv(decode=False)
                now = time.perf_counter()
                if not text.startswith(b'{"type":"notification"'):
                    continue
                item = _frame.decode(text).item
                assert item is not None
                self.latest = now
                begun = self.begun.get(item.id)
                if item.count > 1 or begun is None:
                    self.grown += 1
                elif (user, item.id) not in self.first:
                    self.first.add((user, item.id))
                    self.timed_ms.append((now - begun) * 1_000)
        except ConnectionClosed:
            self.lost += 1


async def opened(up: Up, users: list[str], stack: AsyncExitStack) -> list[ClientConnection]:
    """A socket for each of `users`, each past its hello."""

    async def open_one(user: str) -> ClientConnection:
        socket = await stack.enter_async_context(
            connect(
                up.edge,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                open_timeout=30,
                proxy=None,
            )
        )
        await socket.send(msgspec.json.encode({"type": "connect", "user": user}).decode())
        await socket.recv()
        return socket

    sockets: list[ClientConnection] = []
    for i in range(0, len(users), AT_ONCE):
        sockets += await asyncio.gather(*(open_one(user) for user in users[i : i + AT_ONCE]))
    return sockets


async def publish(
    up: Up, http: list[Client], ears: Ears, activities: list[dict[str, Any]], rate: float
) -> float:
    """Publish at `rate` a second; by how much the latest request began too late, in ms."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in http:
        free.put_nowait(client)
    begun, late = time.perf_counter(), 0.0
    tasks: set[asyncio.Task[None]] = set()

    async def post(client: Client, activity: dict[str, Any]) -> None:
        request = up.send("POST", "/v1/activities", msgspec.json.encode(activity))
        ears.begun[activity["id"]] = time.perf_counter()
        status, body = await client.ask(request)
        assert status == 202, body
        free.put_nowait(client)

    for number, activity in enumerate(activities):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        client = await free.get()
        late = max(late, (time.perf_counter() - due) * 1_000)
        tasks.add(task := asyncio.create_task(post(client, activity)))
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return late


async def played(
    up: Up, users: list[str], activities: list[dict[str, Any]], warm: int
) -> tuple[Ears, dict[str, Any]]:
    """Connect, warm up, publish, wait for the last frame; what was heard, and the figures."""
    ears = Ears()
    async with AsyncExitStack() as stack:
        sockets = await opened(up, users, stack)
        http = await stack.enter_async_context(clients(up, HTTP))
        pairs = zip(users, sockets, strict=True)
        listening = [asyncio.create_task(ears.listen(user, socket)) for user, socket in pairs]
        await publish(up, http, ears, activities[:warm], RATE)
        ears.timed_ms.clear()
        cpu, ours, begun = up.cpu_s, time.process_time(), time.perf_counter()
        late = await publish(up, http, ears, activities[warm:], RATE)
        seconds = time.perf_counter() - begun
        cpu, ours = up.cpu_s - cpu, time.process_time() - ours
        await until_none(up, http[0], "backlog")
        while (quiet := time.perf_counter() - max(ears.latest, begun)) < QUIET_S:  # noqa: ASYNC110 - nothing tells of silence
            await asyncio.sleep(QUIET_S - quiet)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    timed = ears.timed_ms
    return ears, {
        "latency_ms_p50": round(percentile(timed, 50), 2),
        "latency_ms_p90": round(percentile(timed, 90), 2),
        "latency_ms_p99": round(percentile(timed, 99), 2),
        "latency_ms_max": round(max(timed, default=0.0), 2),
        "frames_timed": len(timed),
        "frames_grown": ears.grown,
        "frames_per_s": round(len(timed) / seconds),
        "activities_per_s": round((len(activities) - warm) / seconds, 1),
        "published_late_ms_max": round(late, 1),
        "sockets": len(users),
        "sockets_lost": ears.lost,
        "server_cpu_share": round(cpu / seconds, 2),
        "client_cpu_share": round(ours / seconds, 2),
    }


def main(tiny: bool = False, sockets: int = 1_000, seconds: float = 12.0) -> None:
    data_folder = data.folder()
    if data_folder is None:
        skip(QUESTION, "the real data is not there")
        return
    town = data.Melcup(data_folder)
    warm = 20 if tiny else WARM
    users = town.members[: 30 if tiny else sockets]
    events = town.events()
    if tiny:
        events = [event for event in events if event.actor in users]
    events = events[: 80 if tiny else warm + round(RATE * seconds)]
    for event in events:
        event.occurred_at = None  # it happens now
    some = set(users if tiny else town.members)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        follows = (follow for follow in town.follows() if follow.actor in some and follow.object in some)
        data.write_lines(Path(name) / "follows.jsonl", follows)
        load.run(Path(name) / "follows.jsonl", Settings(data=folder))
        since = ends(folder)
        with fanbell_up(folder) as up:
            ears, figures = uvloop.run(played(up, users, [data.json_object(event) for event in events], warm))
        figures["notifications"] = sum(map(heard, notices(folder, since)))
    answer = hash_of(f"{user} {id_}\n".encode() for user, id_ in sorted(ears.first))
    report(
        QUESTION,
        figures,
        answer,
        synthetic=False,
        made_up="times: even distances; likes one by one among the rest",
    )


if __name__ == "__main__":
    main(**vars(asked()))
