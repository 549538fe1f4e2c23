"""The demo page: static files in front of the API, under a strict content security policy.

What people write reaches the page as JSON and is put in as text; should that ever fail, the policy still lets no
script run that is not the page's own file, and no markup be made of a string (`trusted-types`).
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

_SCRIPTS: Final = ("main", "composer", "device", "frames", "line", "tools", "wishes")
_STYLES: Final = ("style", "devices")
FILES: Final = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/demo": ("index.html", b"text/html; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", b"image/svg+xml"),
    **{f"/page/{name}.js": (f"{name}.js", b"text/javascript; charset=utf-8") for name in _SCRIPTS},
    **{f"/page/{name}.css": (f"{name}.css", b"text/css; charset=utf-8") for name in _STYLES},
}
"""Path: file of the package, type."""
ABOUT: Final = "/page/about.json"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {edge}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_ORIGIN: Final = re.compile(r"(wss?://[^/\s;,]+)")


def mount_page(
    app: ASGIApp,
    edge_port: int,
    edge_url: str = "",
    about: Mapping[str, Any] | None = None,
    secure: bool = False,
) -> ASGIApp:
    """`app` with the page in front of it.

    `edge_port` and `edge_url` say where the WebSocket is, as `/v1/edge` does, `secure` whether it is so by TLS. `about`
    tells the page whom to show:
    {"user": id, "people": [{"id", "name"}], "posts": {id of a post of the user: title}}.
    """
    bodies = {path: (_read(name), kind) for path, (name, kind) in FILES.items()}
    bodies[ABOUT] = (msgspec.json.encode(about or {}), b"application/json")

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        found = bodies.get(scope.get("path", "")) if scope["type"] == "http" else None
        if found is None or scope["method"] not in ("GET", "HEAD"):
            return await app(scope, receive, send)
        body, kind = found
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"content-security-policy", policy(_host(scope), edge_port, edge_url, secure).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        return None

    return page


def policy(host: str, edge_port: int, edge_url: str, secure: bool = False) -> str:
    """The content security policy for a page asked for at `host`: it may speak to the API and to the edge alone."""
    if edge_url:
        found = _ORIGIN.match(edge_url)
        edge = found[1] if found else ""
    else:
        name = re.sub(r":[0-9]+$", "", host) if _HOST.fullmatch(host) else "127.0.0.1"
        edge = f"{'wss' if secure else 'ws'}://{name}:{edge_port}"
    return POLICY.format(edge=edge)


def _read(name: str) -> bytes:
    return files("fanbell.edge").joinpath("page", name).read_bytes()


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
