import pytest

from fanbell.schemas.partitions import partition_of
from fanbell.streams.core.kinds import default_source
from tests.edge.http.conftest import Server, bearer, errors_of

GOOD = '[kinds.job]\naudience = [{ to = "followers_of_actor", reason = "post" }]\n'
BAD = '[kinds.job]\naudience = [{ to = "everybody", reason = "post" }]\n'


def test_health_and_readiness(server: Server) -> None:
    """
    The server is alive as long as it answers, and ready when the backend is.
    """
    assert server.get("/healthz").status_code == 200
    assert server.get("/readyz").status_code == 200
    server.backend.is_ready = (False, "replaying")
    answer = server.get("/readyz")
    assert (answer.status_code, answer.json()["why"]) == (503, "replaying")
    server.backend.is_ready, server.leaving = (True, ""), True
    answer = server.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "elsewhere" in answer.json()["why"]


def test_edge_is_at_its_port_of_the_host_that_was_asked_unless_told_otherwise(server: Server) -> None:
    """
    The WebSocket is at its port of the host that was asked, or where a setting says.
    """
    here = server.with_settings(edge_port=8788)
    assert here.get("/v1/edge").json() == {"url": "ws://127.0.0.1:8788/", "port": 8788, "stream": None}
    assert (
        (server.with_settings(edge_port=9).get("/v1/edge", headers={"host": "localhost:8787"}).json()["url"])
        == "ws://localhost:9/"
    )
    by_tls = server.with_settings(edge_port=9, tls_certfile="tls.crt")
    assert by_tls.get("/v1/edge").json()["url"] == "wss://127.0.0.1:9/"
    told = server.with_settings(edge_url="wss://bell.example/live")
    assert told.get("/v1/edge").json()["url"] == "wss://bell.example/live"


def test_a_users_edge_is_told_with_their_partition(server: Server) -> None:
    """
    Who says whose inbox it is to be is told the partition in both addresses, which balancers may go by.
    """
    told = server.with_settings(edge_url="wss://bell.example/live?a=b")
    at = partition_of("ana/1", server.backend.partitions)
    assert told.get("/v1/edge?user=ana%2F1").json() == {
        "url": f"wss://bell.example/live?a=b&p={at}",
        "port": told.settings.edge_port,
        "stream": f"/v1/users/ana%2F1/stream?p={at}",
    }
    here = server.with_settings(edge_port=8788)
    assert here.get("/v1/edge?user=ana%2F1").json()["url"] == f"ws://127.0.0.1:8788/?p={at}"
    assert here.get("/v1/edge?user=").status_code == 400
    assert here.get("/v1/edge?who=ana").status_code == 400


def test_where_no_edge_is_known_none_is_named(server: Server) -> None:
    """
    A process without an edge names none that may not be there, but says which settings would tell.
    """
    answer = server.with_settings(edge_port=0).get("/v1/edge")

    assert answer.status_code == 404
    assert "edge_url" in answer.json()["detail"]


def test_rules_in_force(server: Server) -> None:
    """
    The rules in force are shown as the text they are.
    """
    rules = server.get("/v1/kinds").json()

    assert (1, default_source()) == (rules["version"], rules["source"])
    assert "like" in rules["kinds"]


def test_good_rules_are_applied(server: Server) -> None:
    """
    A good file can be checked without effect, and put in force.
    """
    assert server.post("/v1/kinds/check", {"source": GOOD}).json() == {"status": "good", "kinds": ["job"]}
    assert server.backend.rules.version == 1
    assert server.put("/v1/kinds", json={"source": GOOD}).json()["version"] == 2
    assert server.get("/v1/kinds").json()["kinds"] == ["job"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/kinds/check"), ("PUT", "/v1/kinds")])
def test_bad_rules_name_line_and_key(method: str, path: str, server: Server) -> None:
    """
    A bad file is refused with line, key and what would be right, and the rules in force stay.
    """
    answer = server.ask(method, path, json={"source": BAD})
    (error,) = answer.json()["errors"]

    assert (answer.status_code, error["line"], error["field"]) == (422, 2, "kinds.job.audience")
    assert "must be one of" in error["message"]
    assert server.backend.rules.version == 1


def test_rules_that_are_no_text_or_too_long(server: Server) -> None:
    """
    Rules are a text that fits one record of the log.
    """
    assert errors_of(server.put("/v1/kinds", json={"source": 3})) == [(None, "source")]
    assert server.put("/v1/kinds", json={"source": "#" * 600_000}).status_code == 413


def test_metrics_count_requests_and_show_the_backend(server: Server) -> None:
    """
    Metrics count requests by route, never by path, and show the backend's numbers, by partition where it has some.
    """
    server.get("/v1/users/somebody/counts")
    server.get("/nowhere/somebody")
    text = server.get("/metrics").text

    assert (
        'fanbell_http_requests_total{method="GET",route="/v1/users/{user}/counts",status="200"} 1.0' in text
    )
    assert 'route="none",status="404"' in text
    assert "somebody" not in text
    assert "\nfanbell_backlog 3.0" in text
    assert 'fanbell_positions{partition="1"} 7.0' in text
    assert "fanbell_log_bytes 1.5" in text


@pytest.mark.parametrize("path", ["/v1/kinds", "/v1/stats", "/v1/dead", "/v1/dead/0"])
def test_operation_is_for_operators(path: str, guarded: Server) -> None:
    """
    With tokens on, rules, statistics and dead letters are for operators.
    """
    assert guarded.get(path).status_code == 401
    assert guarded.get(path, headers=bearer("site", "producer", "user")).status_code == 403
    assert guarded.get(path, headers=bearer("root", "operator")).status_code in (200, 404)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/edge", "/openapi.json"])
def test_health_needs_no_token(path: str, guarded: Server) -> None:
    """
    What tells nothing of anybody needs no token.
    """
    assert guarded.with_settings(edge_port=8788).get(path).status_code == 200
