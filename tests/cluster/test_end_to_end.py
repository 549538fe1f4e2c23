"""A cluster of real processes: what is published at one API is in inboxes, and live at sockets, of others."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanbell.clients.tail import tail
from fanbell.infra.local.cluster import Cluster
from tests.cluster.processes import Installation, NeverStarted, installation
from tests.infra.up_process import END_S

pytestmark = pytest.mark.cluster


@pytest.fixture
def made(servers: Cluster, tmp_path: Path) -> Iterator[Installation]:
    with installation(servers, tmp_path) as found:
        yield found


def until(holds: Callable[[], Any], what: str) -> Any:
    """Ask again and again until it holds."""
    end = time.monotonic() + END_S
    while not (found := holds()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return found


def post(number: int, actor: str = "ana") -> dict[str, Any]:
    return {"id": f"a{number}", "kind": "post", "actor": actor, "object": f"post-{number}"}


def ids(client: httpx.Client, user: str) -> set[str]:
    """Ids in the user's inbox. Each post is an entity of its own, so nothing is said of their order."""
    page = client.get(f"/v1/users/{user}/notifications", params={"limit": 200}).json()
    found = [item["id"] for item in page["items"]]
    assert len(found) == len(set(found)), "something is told twice"
    return set(found)


async def heard(edge: str, user: str, count: int) -> list[str]:
    """Ids of the first notifications that the user is told, in their order."""
    told: list[str] = []
    async with asyncio.timeout(END_S):
        async for frame in tail(edge, user):
            if frame["type"] == "page":
                told += [item["id"] for item in reversed(frame["items"])]
            elif frame["type"] == "notification":
                told.append(frame["item"]["id"])
            if len(told) >= count:
                break
    return told


def test_published_at_one_api_it_is_read_at_another_and_heard_live(made: Installation) -> None:
    """
    Two APIs, an edge and two workers over one Kafka and one Cassandra behave as one process does.
    """
    made.start("worker")
    made.start("worker")
    one, two, edge = (
        made.start("api", "--port", "0"),
        made.start("api", "--port", "0"),
        made.start("edge", "--port", "0", anew=True),  # as it is installed
    )
    with (
        httpx.Client(base_url=one.told["http"], timeout=END_S) as first,
        httpx.Client(base_url=two.told["http"], timeout=END_S) as second,
    ):
        for user in ("ben", "cleo"):
            assert first.put(f"/v1/users/{user}/follows/ana").status_code == 202
        answer = first.post("/v1/activities", json=[post(number) for number in range(5)])
        assert answer.status_code == 202, answer.text
        until(lambda: ids(second, "ben") == {f"a{number}" for number in range(5)}, "the other API shows it")

        async def live() -> list[str]:
            hearing = asyncio.create_task(heard(edge.told["edge"], "cleo", 7))
            async with httpx.AsyncClient(base_url=two.told["http"], timeout=END_S) as client:
                for number in (5, 6):
                    assert (await client.post("/v1/activities", json=post(number))).status_code == 202
            return await hearing

        assert sorted(asyncio.run(live())) == [f"a{number}" for number in range(7)]
        until(lambda: first.get("/v1/stats").json()["backlog"] == 0, "the stages have done all")
        until(lambda: not any(first.get("/v1/stats").json()["unprojected"].values()), "inboxes are written")
        assert ids(first, "ben") == ids(second, "cleo") == {f"a{number}" for number in range(7)}
        counts = second.get("/v1/users/ben/counts").json()
        assert counts["unread"] == 7
        assert second.post("/v1/users/ben/notifications/read", json={"ids": ["a0", "a1"]}).status_code == 202
        until(lambda: first.get("/v1/users/ben/counts").json()["unread"] == 5, "a mark shows everywhere")
    assert [process.end() for process in (one, two, edge)] == [0, 0, 0]


def test_inboxes_of_another_log_are_refused(servers: Cluster, tmp_path: Path) -> None:
    """
    Over topics that were made anew no process goes on with the inboxes of the old ones, though nothing in the new log
    contradicts them: each says so, and ends.
    """
    with installation(servers, tmp_path, partitions=1) as made:
        assert made.start("worker").end() == 0
        made.environ["FANBELL_KAFKA_TOPIC_PREFIX"] += "anew."
        made.fanbell("topics", "apply")

        for what in ("worker", "api"):
            with pytest.raises(NeverStarted, match=r"were made anew.*fanbell store apply"):
                made.start(what)
