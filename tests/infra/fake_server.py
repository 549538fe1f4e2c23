"""A small real HTTP server that answers as a test says, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request as it arrived; the path still escaped."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Server:
    """Where it is, what it was asked, and how it answers."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Reply] = lambda asked: (404, problem(404, "nothing is here"))


def problem(status: int, detail: str, *errors: tuple[int | None, str, str]) -> dict[str, Any]:
    """A problem+json document; errors are (item, field, message)."""
    listed = [{"item": item, "field": field, "message": message} for item, field, message in errors]
    return {"type": "fanbell:test", "title": "Test", "status": status, "detail": detail, "errors": listed}


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            sent = self.rfile.read(size)
            asked = Asked(self.command, self.path, dict(self.headers), json.loads(sent) if sent else None)
            server.asked.append(asked)
            status, body, *headers = server.answer(asked)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            """Nothing: tests look at `asked`."""

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of loopback, for as long as the block runs."""
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
