"""A schema registry for tests: the part of Confluent's HTTP protocol that writers and readers of records speak."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry:
    """What is registered, by id from 1 on; `asked` is every request, as method and path."""

    def __init__(self, login: str = "") -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.trouble: tuple[int, bytes] | None = None
        """Status and body to answer everything with, while there is trouble"""
        self.url = ""
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        self._lock = threading.Lock()

    def register(self, schema: Any, **more: Any) -> int:
        """The id that `schema` (text, or JSON) has from now on."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        with self._lock:
            told = {"schema": text, **more}
            known = [id_ for id_, one in self.schemas.items() if one == told]
            id_ = known[0] if known else 1 + len(self.schemas)
            self.schemas[id_] = told
        return id_

    def answer(self, method: str, path: str, login: str | None, body: bytes) -> tuple[int, bytes]:
        self.asked.append((method, path))
        if self.trouble is not None:
            return self.trouble
        if self._login is not None and login != self._login:
            return 401, b'{"error_code": 401, "message": "Unauthorized"}'
        parts = urlsplit(path).path.strip("/").split("/")
        if method == "GET" and parts[:2] == ["schemas", "ids"]:
            found = self.schemas.get(int(parts[2]))
            if found is None:
                return 404, b'{"error_code": 40403, "message": "Schema not found"}'
            return 200, json.dumps(found).encode()
        if method == "POST" and parts[0] == "subjects":
            given = json.loads(body)
            more = {"schemaType": given["schemaType"]} if given.get("schemaType", "AVRO") != "AVRO" else {}
            id_ = self.register(given["schema"], **more)
            told = {"id": id_, "version": 1, "subject": parts[1], "schema": given["schema"]}
            return 200, json.dumps(told).encode()
        return 404, b'{"error_code": 404, "message": "HTTP 404 Not Found"}'


@contextmanager
def schema_registry(login: str = "") -> Iterator[SchemaRegistry]:
    """One at a port of its own, until the block ends. `login`: user:password that it asks for."""
    made = SchemaRegistry(login)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, told = made.answer(self.command, self.path, self.headers.get("Authorization"), body)
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass  # `asked` has it

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
