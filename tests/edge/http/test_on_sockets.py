"""The API on real sockets, through uvicorn: what a test without them could not show."""

import json
import socket
import threading
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
import uvicorn
import uvloop

from fanbell.edge.auth import Auth
from fanbell.edge.http.app import create_app
from fanbell.edge.http.protocol import HEAD_BYTES_MAX, BoundedProtocol
from fanbell.infra.settings import Settings
from fanbell.schemas.limits import REQUEST_BYTES_MAX
from tests.edge.fake_backend import FakeBackend, FakeInbox

NASTY = [
    "/", "%", "..", ".", "a b", "🦊", "%2F", "a/../b", "?x=1#y", "a+b", "ünï", "'\";--", "\\", "%00", " ", "//",
    "a&b=c", "author:x", "\u2028", "x" * 256, "ﬁ", "a%zz", "~_-.", "{user}", "null", "[]", "é",
]  # fmt: skip


class Running:
    """A server on a free port of loopback, in a thread of its own."""

    def __init__(self) -> None:
        self.backend = FakeBackend()
        self.inbox = FakeInbox()
        app = create_app(self.backend, self.inbox, Settings(), Auth())
        config = uvicorn.Config(
            app, log_config=None, ws="none", lifespan="off", loop="uvloop", http=BoundedProtocol
        )
        self.server = uvicorn.Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        uvloop.run(self.server.serve(sockets=[self.socket]))

    def raw(self, request: bytes) -> tuple[int, dict[str, object]]:
        """Status and JSON of the answer to bytes sent as they are."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(65_536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body) if body else {}

    def raw_or_closed(self, request: bytes) -> int | None:
        """The status of the answer; None if the connection was reset while still sending."""
        try:
            return self.raw(request)[0]
        except (ConnectionError, IndexError):
            return None


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    running = Running()
    running.thread.start()
    yield running
    running.server.should_exit = True
    running.thread.join()


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:
        yield client


def get(path: bytes, host: bytes = b"localhost") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_ids_survive_every_call(nasty: str, running: Running, client: httpx.Client) -> None:
    """
    An id comes out of every call as it went in, whatever is in it.
    """
    segment = quote(nasty, safe="").replace(".", "%2E")
    user = f"/v1/users/{segment}"
    other = "other" if nasty != "other" else "another"
    activity = {
        "id": nasty,
        "kind": "post",
        "actor": nasty,
        "object": nasty,
        "scope": nasty,
        "mentions": [nasty],
    }

    assert {"id": nasty, "status": "accepted"} == client.post("/v1/activities", json=activity).json()[
        "results"
    ][0]
    assert nasty == running.backend.published[nasty].mentions[0]
    assert nasty == client.get(f"/v1/activities/{segment}/trace").json()["id"]
    assert client.get(f"{user}/notifications", params={"scope": nasty, "kind": nasty}).status_code == 200
    assert (nasty, nasty, nasty) == ((asked := running.inbox.asked[-1])[0], asked[1].scope, asked[1].kind)
    assert client.get(f"{user}/counts").status_code == 200
    running.backend.store.seqs[nasty] = {nasty: 5}
    assert client.post(f"{user}/notifications/click", json={"ids": [nasty]}).json()["unknown"] == []
    assert (nasty, [nasty]) == (running.backend.changes[-1].user, running.backend.changes[-1].ids)
    for what, name, listed in (
        ("follows", segment, nasty),
        ("blocks", segment, nasty),
        ("mutes", f"scope:{segment}", f"scope:{nasty}"),
    ):
        assert client.put(f"/v1/users/{other}/{what}/{name}").status_code == 202
        assert listed in client.get(f"/v1/users/{other}/{what}").json()["items"]
        assert listed not in client.get(f"/v1/users/{other}/{what}", params={"after": listed}).json()["items"]
        assert client.delete(f"/v1/users/{other}/{what}/{name}").status_code == 202
        assert listed not in client.get(f"/v1/users/{other}/{what}").json()["items"]
    assert client.put(user, json={"name": nasty if nasty.strip() else "x"}).status_code == 202
    assert nasty == client.get(user).json()["id"]
    wish = {"kind": nasty, "channel": nasty, "scope": nasty, "value": "on"}
    assert client.put(f"{user}/preferences", json={"items": [wish]}).status_code == 202
    assert [wish] == client.get(f"{user}/preferences").json()["items"]


@pytest.mark.parametrize("path", [b"/v1/users/../counts", b"/v1/users/./counts", b"/v1/users/%2e%2E/counts"])
def test_dots_are_not_resolved(path: bytes, running: Running) -> None:
    """
    A segment of dots is an id like any other.
    """
    assert running.raw(get(path))[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v1/users/%ff/counts", 400), (b"/v1/users/%/counts", 400), (b"/v1/users/%c3/counts", 400),
        (b"/v1/users/%ed%a0%80/counts", 400), (b"/v1/users/%00/counts", 422), (b"/v1/users/a%0Ab/counts", 422),
        (b"/v1/users/" + b"x" * 257 + b"/counts", 422), (b"/v1/users/ana/follows?after=%ff", 400),
        (b"/v1/users/ana/follows?after=%", 400), (b"/v1/users/%C0%AFana/counts", 400),
    ],
)  # fmt: skip
def test_paths_that_cannot_be_read_are_refused(path: bytes, status: int, running: Running) -> None:
    """
    What is no percent-encoding or no UTF-8 is a 400, what could be no id a 422; nothing is replaced.
    """
    answered, problem = running.raw(get(path))

    assert (status, status) == (answered, problem["status"])


def test_whole_address_in_the_request_line(running: Running) -> None:
    """
    A request line with a whole address, as proxies send it, is understood.
    """
    assert running.raw(get(b"http://localhost/v1/users/a%2Fb/counts"))[0] == 200


def test_missing_host_is_refused(running: Running) -> None:
    """
    A request without a Host header is not answered.
    """
    assert running.raw(b"GET /healthz HTTP/1.0\r\n\r\n")[0] == 400


def test_ten_megabytes_are_413(running: Running, client: httpx.Client) -> None:
    """
    A body of 10 MB is refused, and whoever sent it gets to read that; the server goes on.
    """
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/activities", content=b"x" * 10_000_000, headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (413, "fanbell:too-large")
    assert client.get("/healthz").status_code == 200


def test_largest_body_passes(client: httpx.Client) -> None:
    """
    A body of exactly the largest size is read, one byte more is not.
    """
    headers = {"content-type": "application/json"}
    fits = client.post("/v1/activities", content=b"[]".ljust(REQUEST_BYTES_MAX), headers=headers)
    over = client.post("/v1/activities", content=b"[]".ljust(REQUEST_BYTES_MAX + 1), headers=headers)

    assert (fits.status_code, over.status_code) == (202, 413)


def test_body_without_a_length_is_bounded_too(client: httpx.Client) -> None:
    """
    A chunked body is refused once it passes the bound, whatever it does not say of its length.
    """

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    answer = client.post("/v1/activities", content=chunks(), headers={"content-type": "application/json"})

    assert answer.status_code == 413


def test_absurd_length_is_refused_at_once(running: Running) -> None:
    """
    A body that says it has a gigabyte is refused before a byte of it comes.
    """
    head = b"POST /v1/activities HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: 1073741824\r\n\r\n"

    assert running.raw(head)[0] == 413


def test_unread_body_does_not_become_the_next_request(running: Running) -> None:
    """
    A body that was refused unread is not taken for another request on the same connection.
    """
    inner = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    request = (
        b"POST /v1/activities HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % len(inner)
    ) + inner

    assert running.raw(request)[0] == 415


@pytest.mark.parametrize("pieces", [1, 50])
def test_endless_headers_are_refused(pieces: int, running: Running) -> None:
    """
    A head that does not end is refused once it passes its bound, in one header or in many.
    """
    piece = b"x" * (HEAD_BYTES_MAX * 3 // pieces)
    head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
    head += b"a: " + piece if pieces == 1 else b"".join(b"a: " + piece + b"\r\n" for _ in range(pieces))

    assert running.raw_or_closed(head) in (431, None)


@pytest.mark.parametrize(
    "request_bytes",
    [b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
)
def test_what_is_no_http_is_a_problem(request_bytes: bytes, running: Running) -> None:
    """
    Bytes that are no request are refused as a problem, and the connection ends.
    """
    status, problem = running.raw(request_bytes)

    assert (status, problem["status"]) == (400, 400)


def test_slow_heads_are_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection that sends nothing, or half a head, is told so after a while and closed.
    """
    monkeypatch.setattr(BoundedProtocol, "head_timeout_s", 0.05)

    assert [running.raw(begun)[0] for begun in (b"", b"GET /healthz HTT")] == [408, 408]


def test_requests_in_a_row_on_one_connection(running: Running) -> None:
    """
    Requests sent at once on one connection are answered in order, and each head is bounded for itself.
    """
    one = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\na: " + b"x" * 40_000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall((one + b"\r\n") * 4 + one + b"connection: close\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk

    assert answer.count(b"HTTP/1.1 200") == 5
