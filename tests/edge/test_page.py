"""The demo page: what is served, and under which policy."""

import re
from typing import Final
from urllib.parse import urljoin

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from fanbell.edge.client_files import client_files
from fanbell.edge.page import FILES, mount_page, policy

pytestmark = pytest.mark.anyio
PAGE = "http://127.0.0.1:8787"
SCRIPTS: Final = [path for path in FILES if path.endswith(".js")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"api"})


async def ask(path: str, method: str = "GET", host: str = "127.0.0.1:8787") -> httpx.Response:
    app = mount_page(api, 8788, about={"user": "ana"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PAGE) as client:
        return await client.request(method, path, headers={"host": host})


async def text(path: str) -> str:
    return (await ask(path)).text


async def test_everything_the_page_names_is_served() -> None:
    """
    The page, its parts and what its scripts import come from here or are the client, and from nowhere else.
    """
    html = await text("/")
    named = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', html))
    for script in SCRIPTS:
        found = re.findall(r'(?:from|import) "([^"]+)"', await text(script))
        named |= {urljoin(script, name) for name in found}

    assert named <= set(FILES) | set(client_files())
    assert set(SCRIPTS) <= named
    assert all([(await ask(path)).status_code == 200 for path in named & set(FILES)])
    assert "://" not in re.sub(r'xmlns="[^"]*"', "", html)


async def test_the_page_says_whom_to_show() -> None:
    """
    The page learns the town's people from a file of its own.
    """
    assert (await ask("/page/about.json")).json() == {"user": "ana"}


async def test_the_api_is_behind_it() -> None:
    """
    What is not the page's is the API's, other methods included.
    """
    assert (await ask("/v1/activities")).status_code == 418
    assert (await ask("/", "POST")).status_code == 418
    assert (await ask("/page/../socket.py")).status_code == 418


async def test_head_has_no_body() -> None:
    """
    HEAD answers as GET would, without the body.
    """
    answer = await ask("/", "HEAD")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1_000


async def test_no_script_but_the_own_file_runs() -> None:
    """
    The policy allows no inline script or style, no markup out of strings, and no address but the API and the edge.
    """
    told = (await ask("/")).headers["content-security-policy"]

    assert "default-src 'none'" in told
    assert "script-src 'self'; style-src 'self'" in told
    assert "connect-src 'self' ws://127.0.0.1:8788;" in told
    assert "require-trusted-types-for 'script'" in told
    assert "unsafe" not in told


async def test_the_page_keeps_to_its_policy() -> None:
    """
    Nothing in the page is inline, and what people wrote is never put in as markup.
    """
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", await text("/"))
    for script in SCRIPTS:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", await text(script)
        )


async def test_the_page_says_that_it_is_synthetic() -> None:
    """
    Nobody can take the town for real people.
    """
    assert "Synthetic town" in await text("/")


@pytest.mark.parametrize(
    ("host", "url", "edge"),
    [
        ("site.example:8787", "", "ws://site.example:8788"),
        ("[::1]:8787", "", "ws://[::1]:8788"),
        ("x; script-src *", "", "ws://127.0.0.1:8788"),
        ("127.0.0.1", "wss://edge.example/live", "wss://edge.example"),
        ("127.0.0.1", "wss://edge.example; script-src *", "wss://edge.example"),
    ],
)
def test_the_policy_cannot_be_widened_from_outside(host: str, url: str, edge: str) -> None:
    """
    A strange Host header, or a strange setting, adds no address and no directive.
    """
    told = policy(host, 8788, url)

    assert f"connect-src 'self' {edge};" in told
    assert told.count("script-src") == 1
