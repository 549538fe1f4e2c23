"""The JavaScript client as it is served."""

import gzip
import re
from collections.abc import Mapping
from typing import Any, Final

import httpx
import pytest

from fanbell.edge.client_files import client_files, is_known, joined, mount_client, slim, takes_gzip

pytestmark = pytest.mark.anyio
KIB: Final = 1_024
SIZE_MAX: Final = 15 * KIB
ENTRY: Final = "/client/fanbell-inbox.js"
LATER_MAX: Final = 4 * KIB  # what is loaded only where it is needed: stream, panel, words, badge


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def api(scope: Any, receive: Any, send: Any) -> None:
    """What lies behind."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"api"})


async def asked(path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(app=mount_client(api))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, path, headers=headers)


def imported(path: str, how: str) -> set[str]:
    """The files that the script at `path` imports as it is loaded (`from`) or later (`import(`)."""
    body = client_files()[path].body.decode()
    pattern = {"at once": r'^(?:import|export) .*"\./(.+?)"', "later": r'import\("\./(.+?)"\)'}[how]
    return {f"/client/{name}" for name in re.findall(pattern, body, re.MULTILINE)}


def needed(path: str) -> set[str]:
    """The script at `path` and all that it imports, and so on."""
    found, ahead = set(), {path}
    while ahead:
        found |= ahead
        ahead = {name for one in ahead for name in imported(one, "at once")} - found
    return found


def compressed(paths: set[str]) -> int:
    """Bytes on the wire, each compressed by itself as it is sent."""
    return sum(len(client_files()[path].packed) for path in paths)


def test_the_element_is_small() -> None:
    """
    All scripts that the element needs to show an inbox are at most 15 KB, compressed.
    """
    assert needed(ENTRY) == {ENTRY}, "one would be asked for late"
    assert compressed({ENTRY}) <= SIZE_MAX


def test_the_element_comes_with_what_it_imports() -> None:
    """
    A script and its imports become one: each import once, before those that use it, its names its own.
    """
    scripts = {
        "a.js": 'import { B, c } from "./b.js";\nimport { d } from "./d-e.js";\nexport const a = B;\n',
        "b.js": 'import { d } from "./d-e.js";\nexport class B {}\nconst c = d;\nexport { c };\n',
        "d-e.js": "export const d = 1;\nconst a = 2;\n",
    }

    assert joined("a.js", scripts).split("\n") == [
        "const $d_e = (() => {", "const d = 1;", "const a = 2;", "return { d };", "})();",
        "const $b = (() => {", "const { d } = $d_e;", "class B {}", "const c = d;", "", "return { B, c };", "})();",
        "const { B, c } = $b;", "const { d } = $d_e;", "export const a = B;", "",
    ]  # fmt: skip


def test_what_is_loaded_later_is_there_and_small() -> None:
    """
    The fallback, the preferences and other languages come when they are needed, and are small too.
    """
    later = {name for path in needed(ENTRY) for name in imported(path, "later")}

    assert later == {f"/client/{name}.js" for name in ("stream", "inbox-panel", "words", "badge")}
    assert compressed(later) <= LATER_MAX


def test_scripts_bring_nothing_from_elsewhere() -> None:
    """
    Every script imports files of the client alone, and makes no markup and no code of text.
    """
    for path, file in client_files().items():
        if path.endswith(".js"):
            script = file.body.decode()
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script
            )
            assert imported(path, "at once") | imported(path, "later") <= set(client_files())


def test_a_script_keeps_its_lines() -> None:
    """
    Comments and indentation stay at home; every line stays where it was, and strings stay as they are.
    """
    script = '// Why.\nif (a) {\n  // More.\n  b("http://c"); // d\n  e(" // f");\n}\n'

    assert slim(script) == '\nif (a) {\n\nb("http://c");\ne(" // f");\n}\n'


async def test_pages_of_any_origin_may_use_it() -> None:
    """
    A script may be loaded from anywhere, as what it is and nothing else.
    """
    answer = await asked(ENTRY)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_known_is_not_sent_again() -> None:
    """
    With the tag of what it has, a browser gets 304 and no body.
    """
    tag = (await asked(ENTRY)).headers["etag"]

    answer = await asked(ENTRY, headers={"if-none-match": f'"other", W/{tag}'})

    assert answer.status_code == 304
    assert answer.content == b""
    assert not is_known(b'"other"', tag.encode())


async def test_it_is_compressed_for_those_who_can_read_that() -> None:
    """
    Compressed or not, the script is the same, and a cache keeps both apart.
    """
    packed = await asked(ENTRY, headers={"accept-encoding": "br, gzip"})
    plain = await asked(ENTRY, headers={"accept-encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert packed.headers["vary"] == "accept-encoding"
    assert gzip.decompress(client_files()[ENTRY].packed) == plain.content


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("", False),
    ],
)
def test_gzip_is_for_those_who_take_it(header: str, takes: bool) -> None:
    """
    An Accept-Encoding header is read as it is meant.
    """
    assert takes_gzip(header.encode()) is takes


async def test_all_else_is_the_api_s() -> None:
    """
    Other paths and methods go to the API; HEAD has no body.
    """
    assert (await asked("/client/")).text == "api"
    assert (await asked("/client/unknown.js")).text == "api"
    assert (await asked(ENTRY, "POST")).text == "api"
    head = await asked(ENTRY, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
