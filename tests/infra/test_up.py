"""`fanbell up` as people use it: a process, its API, its edge, its folder."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import websockets

from tests.infra.up_process import Up, fanbell_up

NASTY = [
    "a/b",
    "..",
    ".",
    "%2F",
    "100%",
    "a b",
    "ćiro",
    "🦊",
    "?#&=",
    "'\"<script>",
    "\u202e",
    "a+b",
    "\u2028",
    "x" * 256,
]
SECRET = "0123456789abcdef0123456789abcdef"


def path(*segments: str) -> str:
    """A path of ids, dots too written so that no client folds them away."""
    return "/v1/" + "/".join(quote(segment, safe="").replace(".", "%2E") for segment in segments)


async def raw(up: Up, method: str, target: str, body: Any = None) -> Any:
    """Ask for exactly this path: clients would clean up `..`."""
    host, _, port = up.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = b"" if body is None else json.dumps(body).encode()
    lines = (
        f"{method} {target} HTTP/1.1",
        f"Host: {host}:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        "Connection: close",
        "",
        "",
    )
    head = "\r\n".join(lines)
    writer.write(head.encode() + data)
    answer = await reader.read()
    writer.close()
    status, _, rest = answer.partition(b"\r\n")
    assert status.split()[1].startswith(b"2"), answer
    return json.loads(rest.partition(b"\r\n\r\n")[2] or b"null")


@pytest.mark.parametrize("other", ["plain", "🦊/%"])
def test_ids_of_every_sort_go_through_every_call(tmp_path: Path, other: str) -> None:
    """
    An id with slashes, dots, percents or another script is followed, muted, blocked, named and told like any other.
    """

    async def story(up: Up) -> None:
        for number, user in enumerate(NASTY):
            author, post = f"{user[:200]}{other}", f"{user[:200]}#{number}"
            assert (await raw(up, "PUT", path("users", user, "follows", author)))["status"] == "accepted"
            await raw(up, "PUT", path("users", user), {"name": user[:100]})
            await raw(up, "PUT", path("users", user, "mutes", f"scope:{post}"))
            await raw(up, "PUT", path("users", user, "blocks", post))
            await raw(
                up,
                "PUT",
                path("users", user, "preferences"),
                {"items": [{"kind": "like", "scope": post, "value": "off"}]},
            )
            activity = {
                "id": f"{post}-id",
                "kind": "post",
                "actor": author,
                "object": post,
                "data": {"title": user},
            }
            await raw(up, "POST", "/v1/activities", activity)
            await raw(up, "PUT", path("users", user), {"name": user[:100]})  # waits until all before it shows
            page = await raw(up, "GET", path("users", user, "notifications"))
            assert [item["object"] for item in page["items"]] == [post]
            assert page["items"][0]["data"] == {"title": user}
            assert (await raw(up, "GET", path("activities", f"{post}-id", "trace")))["heard"] == 1
            assert (await raw(up, "GET", path("users", user, "follows")))["items"] == [author]
            assert (await raw(up, "GET", path("users", user, "mutes")))["items"] == [f"scope:{post}"]
            assert (await raw(up, "GET", path("users", user, "blocks")))["items"] == [post]
            assert (await raw(up, "GET", path("users", user)))["name"] == user[:100]
            await raw(up, "POST", path("users", user, "notifications", "read"), {"ids": [f"{post}-id"]})
            assert (await raw(up, "GET", path("users", user, "counts")))["unread"] == 0

    with fanbell_up(tmp_path) as up:
        asyncio.run(story(up))
        assert up.end() == 0


def test_what_is_read_on_one_device_is_read_on_the_other(tmp_path: Path) -> None:
    """
    Both sockets of a user hear the post; a read by HTTP shows on both, and in the counters.
    """

    async def until(socket: Any, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                frame: dict[str, Any] = json.loads(await socket.recv())
                if frame["type"] == kind:
                    return frame

    async def story(up: Up) -> None:
        async with httpx.AsyncClient(base_url=up.url) as client:
            await client.put("/v1/users/bob/follows/ana")
            edge = up.told["edge"]
            async with (
                websockets.connect(edge, subprotocols=["fanbell.v1"]) as phone,
                websockets.connect(edge, subprotocols=["fanbell.v1"]) as laptop,
            ):  # type: ignore[list-item]
                for device in (phone, laptop):
                    await device.send(json.dumps({"type": "connect", "user": "bob"}))
                    await until(device, "page")
                await client.post(
                    "/v1/activities", json={"id": "a1", "kind": "post", "actor": "ana", "object": "p1"}
                )
                for device in (phone, laptop):
                    item = (await until(device, "notification"))["item"]
                    assert (item["id"], item["text"], item["read"]) == ("a1", "ana posted", False)
                await client.post("/v1/users/bob/notifications/read", json={"ids": ["a1"]})
                for device in (phone, laptop):
                    state = await until(device, "state")
                    assert [(row["id"], row["read"]) for row in state["items"]] == [("a1", True)]
                assert (await client.get("/v1/users/bob/counts")).json()["unread"] == 0

    with fanbell_up(tmp_path) as up:
        asyncio.run(story(up))


def test_with_a_secret_a_token_is_needed_and_reaches_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without a token nothing is answered; with one, a user's own inbox is and another's is not.
    """
    from fanbell.edge.auth import make_token

    monkeypatch.setenv("FANBELL_TOKEN_SECRET", SECRET)
    with fanbell_up(tmp_path) as up:
        assert up.told["tokens"] is True
        with httpx.Client(base_url=up.url) as client:
            assert client.get("/v1/users/bob/counts").status_code == 401
            bob = {"authorization": f"Bearer {make_token(SECRET, 'bob', ['user'], 60)}"}
            assert client.get("/v1/users/bob/counts", headers=bob).status_code == 200
            assert client.get("/v1/users/ana/counts", headers=bob).status_code == 403


def test_it_stops_on_sigterm_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """
    SIGTERM ends it with 0; started again it has what it had, and a used id stays used.
    """
    activity = {"id": "a1", "kind": "mention", "actor": "ana", "object": "p1", "mentions": ["bob"]}
    with fanbell_up(tmp_path) as up:
        assert (
            httpx.post(f"{up.url}/v1/activities", json=activity).json()["results"][0]["status"] == "accepted"
        )
        assert up.end() == 0
    with fanbell_up(tmp_path) as up:
        assert [item["id"] for item in up.heard("bob")] == ["a1"]
        assert (
            httpx.post(f"{up.url}/v1/activities", json=activity).json()["results"][0]["status"] == "duplicate"
        )
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(30) == 0


def test_two_processes_on_one_folder_are_refused(tmp_path: Path) -> None:
    """
    The second process on a folder says who has it, and ends with 1; the first goes on.
    """
    with fanbell_up(tmp_path) as up:
        with pytest.raises(AssertionError, match="ended with 1"), fanbell_up(tmp_path):
            pass
        assert httpx.get(f"{up.url}/readyz").status_code == 200
