import pytest

from fanbell.edge.jwks import Jwks
from tests.edge.http.conftest import SECRET, Server, activity, bearer
from tests.edge.identity_provider import SigningKey, provider

COUNTS = "/v1/users/ana/counts"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8787", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("localhost.", 200), ("[::1]:8787", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example:8787", 421), ("", 400),
        ("[::1", 200), ("[evil]", 421), ("localhost@evil.example", 421),
    ],
)  # fmt: skip
def test_only_known_hosts_are_answered(host: str, status: int, server: Server) -> None:
    """
    A name that somebody else points at this machine is not answered, so no web page reaches the server by it.
    """
    assert status == server.get(COUNTS, headers={"host": host}).status_code
    assert status == server.get("/healthz", headers={"host": host}).status_code


def test_hosts_can_be_added(server: Server) -> None:
    """
    The bound host and the setting's names are answered; * is any name.
    """
    bound = server.with_settings(host="10.0.0.5", allowed_hosts=("bell.example",))

    assert bound.get(COUNTS, headers={"host": "10.0.0.5:8787"}).status_code == 200
    assert bound.get(COUNTS, headers={"host": "Bell.Example"}).status_code == 200
    assert bound.get(COUNTS, headers={"host": "other.example"}).status_code == 421
    assert server.with_settings(allowed_hosts=("*",)).get(COUNTS, headers={"host": "x"}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:3000",
        "file://",
        "http://127.0.0.1:8787.evil.example",
        "http://127.0.0.1",
    ],
)
def test_foreign_origins_are_refused(method: str, origin: str, server: Server) -> None:
    """
    No web page of another origin may call, whatever the method, other ports of this machine included.
    """
    answer = server.ask(method, "/v1/users/ana/follows/ben", headers={"origin": origin})

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert server.backend.changes == []


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8787", "https://127.0.0.1:8787", "http://127.0.0.1:8788"]
)
def test_own_origins_may_call(origin: str, server: Server) -> None:
    """
    The server's own pages may call, those of the WebSocket edge's port included, and may read the answer.
    """
    answer = server.get(COUNTS, headers={"origin": origin})

    assert (200, origin) == (answer.status_code, answer.headers["access-control-allow-origin"])


def test_preflight_of_an_allowed_origin(server: Server) -> None:
    """
    A browser that asks beforehand is told what an allowed origin may send, without a token.
    """
    site = server.with_settings(allowed_origins=("https://site.example/",))
    answer = site.ask(
        "OPTIONS", COUNTS, headers={"origin": "https://site.example", "access-control-request-method": "GET"}
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://site.example"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin-1",
        "text/json",
    ],
)
def test_only_json_bodies_are_read(kind: str | None, server: Server) -> None:
    """
    A body must say that it is JSON: a web page cannot send that without asking beforehand.
    """
    headers = {"content-type": kind} if kind else {}
    answer = server.ask("POST", "/v1/activities", content=b'{"id": "a"}', headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"']
)
def test_json_may_be_said_in_several_ways(kind: str, server: Server) -> None:
    """
    The content type is compared as HTTP does, not as bytes.
    """
    answer = server.ask("POST", "/v1/activities", content=b"[]", headers={"content-type": kind})

    assert answer.status_code == 202


def test_compressed_bodies_are_refused(server: Server) -> None:
    """
    A compressed body could be far larger than its bound, and is refused.
    """
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    assert server.ask("POST", "/v1/activities", content=b"x", headers=headers).status_code == 415


def test_security_headers_are_everywhere(server: Server) -> None:
    """
    Answers are not sniffed, framed, cached or leaked to other sites, refusals included.
    """
    for answer in (
        server.get("/healthz"),
        server.get("/nowhere"),
        server.get(COUNTS, headers={"host": "evil"}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_no_token_no_answer(guarded: Server) -> None:
    """
    With a secret set, a call without a token is a 401 that says how to give one; so is an unknown path.
    """
    for path in (COUNTS, "/nowhere"):
        answer = guarded.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_doubled_headers_are_refused(guarded: Server) -> None:
    """
    Two Authorization headers are refused: what is in between may have looked at the other one.
    """
    both = [("authorization", bearer("ana")["authorization"]), ("authorization", "Bearer x")]

    assert guarded.ask("GET", COUNTS, headers=both).status_code == 400


def test_limit_per_token(guarded: Server) -> None:
    """
    A user who asks too much is told to wait, however many tokens they have; others are not affected.
    """
    limited = guarded.with_settings(rate_limit_per_token=0.4)
    answers = [limited.get(COUNTS, headers=bearer("ana")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert (answers[2].headers["ratelimit-limit"], answers[2].headers["retry-after"]) == ("2", "3")
    assert limited.get("/v1/users/ben/counts", headers=bearer("ben")).status_code == 200
    assert limited.get("/healthz").status_code == 200


def test_limit_per_address_comes_before_the_token(guarded: Server) -> None:
    """
    An address that guesses tokens is told to wait.
    """
    limited = Server(guarded.settings, (SECRET,), ("203.0.113.9", 1)).with_settings(
        rate_limit_per_address=0.4
    )
    answers = [limited.get(COUNTS, headers={"authorization": "Bearer x"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


def test_loopback_has_no_limit_per_address(server: Server) -> None:
    """
    Loopback is either this machine or a proxy that speaks for many, so no address limit holds there.
    """
    limited = server.with_settings(rate_limit_per_address=0.2)

    assert [limited.get(COUNTS).status_code for _ in range(3)] == [200] * 3
    assert "ratelimit-limit" not in limited.get(COUNTS).headers


def test_behind_a_proxy_of_ours_the_client_is_limited() -> None:
    """
    A proxy that settings name speaks for many: each of its clients has a limit of its own, whatever they claim.
    """
    behind = Server(client=("10.0.0.1", 1)).with_settings(
        rate_limit_per_address=0.2, trusted_proxies=("10.0.0.0/8",)
    )

    def status(forwarded: str) -> int:
        return behind.get(COUNTS, headers={"x-forwarded-for": forwarded}).status_code

    assert [status("192.0.2.1"), status("192.0.2.2"), status("10.9.9.9, 192.0.2.1")] == [200, 200, 429]
    direct = Server(client=("198.51.100.1", 1)).with_settings(
        rate_limit_per_address=0.2, trusted_proxies=("10.0.0.0/8",)
    )
    claims = [{"x-forwarded-for": f"192.0.2.{number}"} for number in range(2)]
    assert [direct.get(COUNTS, headers=claim).status_code for claim in claims] == [200, 429]


def test_tokens_that_cannot_be_checked_are_not_called_bad() -> None:
    """
    While the provider's keys cannot be fetched, callers are asked to try again; what needs no token is answered.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        server = Server(keys=Jwks(there.url))
        there.status = 500
        answer = server.get(COUNTS, headers={"authorization": f"Bearer {key.token()}"})

    assert (answer.status_code, answer.json()["type"]) == (503, "fanbell:unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert server.get("/healthz").status_code == 200
    assert server.get(COUNTS).status_code == 401


def test_a_providers_token_opens_the_own_inbox() -> None:
    """
    With a provider's keys alone, calls need a token of it, which reaches its subject's own.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        server = Server(keys=Jwks(there.url))
        headers = {"authorization": f"Bearer {key.token()}"}
        own, other = server.get(COUNTS, headers=headers), server.get("/v1/users/ben/counts", headers=headers)

    assert (own.status_code, other.status_code) == (200, 403)
    assert server.app.api.token_required


def test_head_is_get_without_a_body(server: Server) -> None:
    """
    HEAD answers what GET would, without the body.
    """
    answer = server.ask("HEAD", "/healthz")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "15")


def test_tokens_are_not_logged(guarded: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """
    Neither a good nor a bad token gets into the log, not even when a call fails.
    """
    headers = bearer("site", "producer")
    guarded.backend.fails = RuntimeError("boom")
    guarded.post("/v1/activities", activity(), headers=headers)
    printed = "".join(capfd.readouterr())

    assert "boom" in printed
    assert headers["authorization"].split(".")[2] not in printed
