import re
from typing import Any

import pytest
from starlette.types import Message

from fanbell.edge.http.app import CALLS
from fanbell.edge.http.calls import Call
from fanbell.edge.http.gate import PUBLIC
from fanbell.projections.store import StoreFailed
from tests.edge.http.conftest import Server, activity, errors_of


def test_unknown_paths_are_problems(server: Server) -> None:
    """
    A path that is none is a 404 problem, also with a slash too many or an id that is empty.
    """
    for path in ("/", "/v1", "/v1/users//counts", "/v1/users/ana/counts/", "/v1/users/ana/likes/x"):
        answer = server.get(path)
        assert (answer.status_code, errors_of(answer)) == (404, [])


def test_wrong_methods_name_the_right_ones(server: Server) -> None:
    """
    A method that a path does not take is a 405 that names all it takes.
    """
    answer = server.delete("/v1/users/ana")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PUT")
    assert errors_of(answer) == []
    assert server.ask("BREW", "/v1/activities").status_code == 405


def test_faults_of_ours_tell_nothing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """
    A fault of ours is a 500 that tells nothing of the inside, and is logged.
    """
    server.backend.fails = RuntimeError("/secret/path")
    answer = server.post("/v1/activities", activity())

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "/secret/path" in "".join(capfd.readouterr())


def test_failed_store_is_503_with_what_to_do(server: Server) -> None:
    """
    A store that cannot be read is told as such, not as a fault.
    """
    server.backend.store.fails = StoreFailed("the file is damaged: restore it")
    answer = server.get("/v1/users/ana/follows")

    assert (answer.status_code, answer.json()["detail"]) == (503, "the file is damaged: restore it")


def test_client_that_hangs_up_disturbs_nobody(server: Server) -> None:
    """
    A client that goes away within its body changes nothing and is no fault.
    """
    import asyncio

    incoming: list[Message] = [
        {"type": "http.request", "body": b'{"id":', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/v1/activities", "raw_path": b"/v1/activities", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(server.app(scope, receive, send))

    assert sent == []
    assert server.backend.published == {}


def test_websockets_are_sent_elsewhere(server: Server) -> None:
    """
    A WebSocket that comes to the HTTP port is closed.
    """
    import asyncio

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(server.app({"type": "websocket", "path": "/", "headers": []}, receive, send))

    assert [message["type"] for message in sent] == ["websocket.close"]


def test_document_tells_of_every_call(server: Server) -> None:
    """
    The OpenAPI 3.1 document has every call with summary, description and answers, each path parameter described.
    """
    document = server.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    for call in CALLS:
        told = document["paths"][call.path][call.method.lower()]
        assert told["summary"]
        assert told["description"]
        assert {str(status) for status in call.responses} == set(told["responses"])
        named = {parameter["name"] for parameter in told.get("parameters", []) if parameter["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", call.path)) == named
        assert ("requestBody" in told) == (call.body is not None)
    assert len(CALLS) == sum(len(calls) for calls in document["paths"].values())


def test_document_refers_to_what_it_has(server: Server) -> None:
    """
    Every model that the document names is in it, and every model in it is named.
    """
    document = server.get("/openapi.json").text
    named = set(re.findall(r'"#/components/schemas/(\w+)"', document))

    assert set(server.get("/openapi.json").json()["components"]["schemas"]) == named


def test_calls_of_the_fixed_table_are_there() -> None:
    """
    The calls whose names are promised are there.
    """
    user = "/v1/users/{user}"
    marks = [
        ("POST", f"{user}/notifications/{v}")
        for v in ("read", "unread", "seen", "archive", "unarchive", "click")
    ]
    lists = [
        call
        for what in ("follows", "mutes", "blocks")
        for call in (
            ("PUT", f"{user}/{what}/{{id}}"),
            ("DELETE", f"{user}/{what}/{{id}}"),
            ("GET", f"{user}/{what}"),
        )
    ]
    promised = [
        ("POST", "/v1/activities"), ("GET", "/v1/activities/{id}/trace"), ("GET", f"{user}/notifications"),
        ("GET", f"{user}/counts"), ("GET", f"{user}/preferences"), ("PUT", f"{user}/preferences"),
        ("GET", user), ("PUT", user),
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/v1/edge"), *marks, *lists,
    ]  # fmt: skip

    assert set(promised) <= {(call.method, call.path) for call in CALLS}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_calls_need_a_token_where_documented(call: Call, guarded: Server) -> None:
    """
    With a token secret set, every call but the public ones is refused without a token, and the document says so.
    """
    path = re.sub(r"{\w+}", "1", call.path)
    told = guarded.get("/openapi.json").json()["paths"][call.path][call.method.lower()]["security"]

    assert (
        (guarded.ask(call.method, path, json={}).status_code == 401)
        == (call.path not in PUBLIC)
        == bool(told)
    )
