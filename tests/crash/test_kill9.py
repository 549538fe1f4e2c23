"""Real kill −9 of `fanbell up`, again and again, under a load that never pauses."""

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import websockets

from fanbell.streams.core.kinds import default_source
from tests.crash.server import POINTS

SEED = 20
KILLS = 24
USERS = [f"u{n}" for n in range(30)]
LISTENERS = USERS[:6]
PACE_MS = 200  # groups' updates, so that the end comes soon
START_S = 30.0


class Town:
    """What is published, and from that who must have what."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.followers = {
            author: self.random.sample([u for u in USERS if u != author], 8) for author in USERS
        }
        self.posts: list[tuple[str, str]] = []
        self.likes: dict[str, set[str]] = {}
        self.expected: dict[str, dict[str, Any]] = {user: {} for user in USERS}
        self.order: dict[str, list[str]] = {user: [] for user in USERS}
        self.number = 0

    def follows(self) -> list[dict[str, Any]]:
        edges = [(follower, author) for author, followers in self.followers.items() for follower in followers]
        for _, author in edges:
            row = self.expected[author].setdefault("follow", {"kind": "follow", "count": 0})
            row["count"] += 1
        return [{"id": f"f-{a}-{b}", "kind": "follow", "actor": a, "object": b} for a, b in edges]

    def batch(self) -> list[dict[str, Any]]:
        return [self._one() for _ in range(self.random.randint(1, 40))]

    def _one(self) -> dict[str, Any]:
        self.number += 1
        id_, actor, dice = f"a{self.number}", self.random.choice(USERS), self.random.random()
        if self.posts and dice < 0.25:
            post, owner = self.random.choice(self.posts[-300:])
            likers = self.likes.setdefault(post, set())
            if actor != owner:
                likers.add(actor)
                self.expected[owner][f"like {post}"] = {"kind": "like", "count": len(likers)}
            return {"id": id_, "kind": "like", "actor": actor, "object": post}
        mentions = self.random.sample(USERS, 1) if dice < 0.35 else []
        self.posts.append((f"p{self.number}", actor))
        for user in dict.fromkeys((*self.followers[actor], *mentions)):
            if user != actor:
                self.expected[user][id_] = {
                    "kind": "post",
                    "reason": "mention" if user in mentions else "post",
                    "count": 1,
                }
                self.order[user].append(id_)
        return {"id": id_, "kind": "post", "actor": actor, "object": f"p{self.number}", "mentions": mentions}


class Server:
    """Started again whenever it is dead, each time with another death before it, until `enough`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.edge = f"ws://127.0.0.1:{self.port + 1}"
        points = list(POINTS) * (KILLS // len(POINTS))
        self.random.shuffle(points)
        self.plan = points
        self.died: list[str] = []
        self.process: asyncio.subprocess.Process | None = None

    async def live(self, ready: asyncio.Event, done: asyncio.Event) -> None:
        while self.plan:
            point = self.plan.pop()
            passes = self.random.randint(
                1, {"route": 600, "fan_out": 2500}.get(point, 3 if "snapshot" in point else 25)
            )
            await self._start({"FANBELL_TEST_CRASH": f"{point}:{passes}"})
            ready.set()
            assert self.process is not None
            code = await self.process.wait()
            assert code == -9, f"it ended by itself, with {code}, and not at {point}"
            self.died.append(point)
        done.set()
        await self._start({})

    async def _start(self, more: dict[str, str]) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.server", str(self.folder), str(self.port),
            env={**os.environ, **more}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), START_S)
        if line:
            assert json.loads(line)["http"] == self.url

    def kill(self) -> None:
        """Whatever became of the test, no server outlives it."""
        self.plan = []
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await self.process.wait()


def _free_port() -> int:
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return int(port)


async def insist(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask until there is an answer that is not "try again"."""
    while True:
        try:
            answer = await send()
        except httpx.HTTPError:
            await asyncio.sleep(0.02)  # its port answers again when it does; nobody tells us when
            continue
        if answer.status_code == 503:
            await asyncio.sleep(0.02)
            continue
        return answer


class Socket:
    """One user's socket: resumes by its cursor, and keeps what it was told."""

    def __init__(self, user: str, url: str) -> None:
        self.user, self.url = user, url
        self.cursor: str | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.told: list[tuple[str, str]] = []
        self.resumed = self.fresh = 0

    async def run(self) -> None:
        while True:
            try:
                async with websockets.connect(
                    self.url, subprotocols=["fanbell.v1"], max_size=None
                ) as connection:  # type: ignore[list-item]
                    await connection.send(
                        json.dumps({"type": "connect", "user": self.user, "cursor": self.cursor})
                    )
                    async for text in connection:
                        self.hear(json.loads(text))
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(0.02)  # as above

    def hear(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "hello":
            self.resumed += frame["recovered"]
            self.fresh += not frame["recovered"]
            if not frame["recovered"]:
                self.rows.clear()
        elif kind == "page":
            for item in reversed(frame["items"]):
                self.keep(item)
        elif kind == "notification":
            self.keep(frame["item"])
        elif kind == "state":
            for item in frame["items"]:
                self.rows[item["id"]] = item
        elif kind == "retract":
            self.rows.pop(frame["id"], None)
        self.cursor = frame.get("cursor") or self.cursor

    def keep(self, item: dict[str, Any]) -> None:
        self.told.append((item["id"], item["cursor"]))
        self.rows[item["id"]] = item


async def whole_inbox(client: httpx.AsyncClient, user: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    items: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        page = (await client.get(f"/v1/users/{user}/notifications", params={"limit": "200", **before})).json()
        items += page["items"]
        if page["next"] is None:
            return items, page
        before = {"before": page["next"]}


def as_expected(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows in the form of `Town.expected`."""
    shown: dict[str, Any] = {}
    for item in items:
        key = (
            "follow"
            if item["kind"] == "follow"
            else f"like {item['object']}"
            if item["kind"] == "like"
            else item["id"]
        )
        assert key not in shown, f"{key} is there twice"
        shown[key] = {"kind": item["kind"], "count": item["count"]}
        if item["kind"] == "post":
            shown[key]["reason"] = item["reason"]
    return shown


async def story(folder: Path, servers: list[Server]) -> None:
    town, server = Town(SEED), Server(folder, SEED)
    servers.append(server)
    ready, done = asyncio.Event(), asyncio.Event()
    living = asyncio.create_task(server.live(ready, done))
    await ready.wait()
    sockets = [Socket(user, server.edge) for user in LISTENERS]
    listening = [asyncio.create_task(one.run()) for one in sockets]
    async with httpx.AsyncClient(base_url=server.url, timeout=10.0) as client:
        rules = default_source().replace("update_every_ms = 5_000", f"update_every_ms = {PACE_MS}")
        await insist(lambda: client.put("/v1/kinds", json={"source": rules}))
        follows = town.follows()
        assert (await insist(lambda: client.post("/v1/activities", json=follows))).status_code == 202
        while not done.is_set():
            if living.done():
                living.result()
            batch = town.batch()
            answer = await insist(lambda: client.post("/v1/activities", json=batch))  # noqa: B023
            assert answer.status_code == 202, answer.text
        await living

        assert set(server.died) == set(POINTS), "each point was hit"
        assert len(server.died) >= 20
        async with asyncio.timeout(30):
            while True:
                stats = (await insist(lambda: client.get("/v1/stats"))).json()
                if stats["backlog"] == 0 and stats["updates_pending"] == 0:
                    break
                await asyncio.sleep(0.05)  # until the last update of each group is out
        for user in USERS:
            items, page = await whole_inbox(client, user)
            assert as_expected(items) == town.expected[user], f"the inbox of {user}"
            posts = [item["id"] for item in reversed(items) if item["kind"] == "post"]
            assert posts == town.order[user], f"the order of {user}'s posts"
            assert page["total"] == len(items)
            assert page["unread"] == page["unseen"] == len(items)
            counts = (await client.get(f"/v1/users/{user}/counts")).json()
            assert counts["unread"] == len(items)
        async with asyncio.timeout(10):
            for one in sockets:
                want = {item["id"]: item["count"] for item in (await whole_inbox(client, one.user))[0]}
                while {id_: row["count"] for id_, row in one.rows.items()} != want and one.fresh == 1:  # noqa: ASYNC110 - another process sends them
                    await asyncio.sleep(0.05)  # until the last frames are in
        for one in sockets:
            assert one.resumed >= 8, (
                "a socket goes on from its cursor (in a short life it finds no open port)"
            )
            assert one.fresh == 1, "only the first page was fresh"
            assert len(one.told) == len(set(one.told)), f"a socket of {one.user} heard something twice"
            posts = [id_ for id_, _ in one.told if id_ in set(town.order[one.user])]
            assert posts == town.order[one.user], (
                f"a socket of {one.user} heard the posts in order, each once"
            )
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    assert await server.stop() == 0


def test_kill_9_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    """
    What was answered 202 is in every inbox it belongs in, once, whatever the process was doing when it was killed;
    counters equal lists; sockets that resume have each notification once, in order.
    """

    async def main() -> None:
        servers: list[Server] = []
        try:
            await story(tmp_path / "data", servers)
        finally:
            for server in servers:
                server.kill()

    asyncio.run(main())
