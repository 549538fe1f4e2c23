"""A site of another origin with an inbox in its page, as docs tell its developer to write it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from playwright.sync_api import BrowserContext, Page, WebSocket

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A site</title>
<script type="module" src="{api}/client/fanbell-inbox.js"></script></head>
<body><main><h1>A site</h1><fanbell-inbox user="{user}" {more}></fanbell-inbox></main></body></html>"""
POLICY: Final = (
    "default-src 'none'; script-src {api}; style-src {api}; connect-src {api} ws://127.0.0.1:*; "
    "require-trusted-types-for 'script'; trusted-types"
)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        found = "api" in asked and "user" in asked
        given = {"more": ""} | {name: escape(value) for name, value in asked.items()}
        body = PAGE.format(**given).encode() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        if found:
            self.send_header("content-security-policy", POLICY.format(**asked))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: what the browser sees is looked at there."""


@contextmanager
def site() -> Iterator[str]:
    """The site's origin, for as long as the block runs."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class Tab:
    """The site's page in one tab."""

    def __init__(self, context: BrowserContext, origin: str, api: str, user: str) -> None:
        self.page: Page = context.new_page()
        self.sockets: list[WebSocket] = []
        self.page.on("websocket", lambda socket: self.sockets.append(socket))
        self.page.goto(f"{origin}/?api={quote(api, safe='')}&user={quote(user, safe='')}")
        self.element = self.page.locator("fanbell-inbox")
        self.rows = self.element.locator("[part~=row]")
        self.page.wait_for_function(
            "() => document.querySelector('fanbell-inbox').inbox?.getSnapshot().status === 'live'"
        )

    def open_sockets(self) -> int:
        """How many WebSockets this tab holds now."""
        return sum(not socket.is_closed() for socket in self.sockets)
