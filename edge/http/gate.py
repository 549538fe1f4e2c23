"""The one middleware: what every request passes before a call sees it, and every answer on its way out.

In this order: Host and Origin (so that no web page reaches a loopback server, neither directly nor by a name
that it points at us), the limit per address, the token, the limit per token; then the path is put back as it
was sent, undecoded. Answers get security headers, CORS headers for origins that may call, and the rate
limit's numbers.
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from fanbell.edge.addresses import EXEMPT, LOOPBACK_NAMES, Proxies
from fanbell.edge.auth import ANYBODY, Auth, Caller, KeysAway, Unauthorized
from fanbell.edge.http.calls import Edge, problem_answer
from fanbell.edge.http.protocol import SECURITY
from fanbell.edge.origins import Hosts, Origins, host_name
from fanbell.edge.problems import Problem, bad_request, forbidden, not_found
from fanbell.edge.rate_limit import Allowance, RateLimit

PUBLIC: Final = frozenset({"/healthz", "/readyz", "/metrics", "/v1/edge", "/openapi.json"})
"""Paths that need no token: they tell nothing of anybody."""
STREAM: Final = re.compile(r"/v1/users/[^/]+/stream")
NOBODY: Final = Caller(user=None, roles=frozenset())
"""Who shows a ticket instead of a token, which the call looks at: may reach nothing by themselves."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, if-modified-since, if-none-match, last-event-id",
    ),
    (b"access-control-max-age", b"600"),
)
KEYS_RETRY_S: Final = 10  # keys that could not be fetched are tried for so often
EXPOSED: Final = b"etag, last-modified, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after"
_SINGLE: Final = {b"host": "host", b"origin": "origin", b"authorization": "authorization"}

__all__ = ["Gate", "Hosts", "host_name"]

Headers = list[tuple[bytes, bytes]]


class Gate:
    """An ASGI app around the routes of `api`.

    Requests go to its router directly: of the middleware that FastAPI puts before that, nothing is needed here, and
    its own answer to an error would not be a problem document.
    """

    def __init__(self, api: FastAPI, edge: Edge, auth: Auth) -> None:
        settings = edge.settings
        self.api = api
        self._auth = auth
        self._metrics = edge.metrics
        self._failures = edge.failures
        self._hosts = Hosts((*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts))
        self._origins = Origins(settings.allowed_origins, settings.edge_port or settings.port + 1)
        self._proxies = Proxies(settings.trusted_proxies)
        self._per_address = (
            RateLimit(settings.rate_limit_per_address) if settings.rate_limit_per_address else None
        )
        self._per_token = RateLimit(settings.rate_limit_per_token) if settings.rate_limit_per_token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.api(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # the WebSocket edge has a port of its own
            await send({"type": "websocket.close", "code": 1008, "reason": "see /v1/edge"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        headers: Headers = list(SECURITY)
        status = 0
        head = scope["method"] == "HEAD"

        async def sender(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in headers if pair[0] == b"vary" or pair[0] not in told),
                ]
                self._metrics.answered(
                    method, getattr(inner.get("route"), "path", "none"), status, time.perf_counter() - began_s
                )
            elif head:
                message["body"] = b""
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "other"
        inner = dict(scope, app=self.api, path=raw_path(scope), method="GET" if head else scope["method"])
        inner["fanbell.head"] = head
        try:
            if await self._admit(inner, headers):
                await self.api.router(inner, receive, sender)
            else:
                await sender({"type": "http.response.start", "status": 204, "headers": PREFLIGHT})
                await sender({"type": "http.response.body", "body": b""})
        except Exception as error:
            if status:
                raise  # too late for an answer: the server closes the connection
            problem = self._not_routed(error, inner) or self._failures.problem_of(error, inner)
            await problem_answer(problem).send(sender)

    def _not_routed(self, error: Exception, scope: Scope) -> Problem | None:
        """The problem of a request that no call is there for, which the router raises: 404 or 405."""
        if not isinstance(error, HTTPException):
            return None
        if error.status_code != 405:
            return not_found("There is nothing at this path; see /openapi.json.")
        allow = allowed(
            [route for route in self.api.router.routes if isinstance(route, APIRoute)], scope["path"]
        )
        return Problem(405, "method", f"This path takes {allow} only.", headers={"allow": allow})

    async def _admit(self, scope: Scope, headers: Headers) -> bool:
        """Whether the request may pass; False for a preflight. Adds to answers' `headers`. Raises Problem."""
        told = single_headers(scope["headers"])
        host = told.get("host", "")
        if not self._hosts.allow(host):
            detail = "This server is not asked by that name; the setting allowed_hosts adds names."
            raise Problem(421, "host", detail) if host else bad_request("A Host header is needed.")
        origin = told.get("origin")
        if origin is not None:
            if not self._origins.allow(origin, host):
                raise forbidden("This origin may not call; the setting allowed_origins adds origins.")
            headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
            headers.append((b"access-control-expose-headers", EXPOSED))
            headers.append((b"vary", b"origin"))
            if scope["method"] == "OPTIONS":
                return False
        now_s = time.monotonic()
        client = scope.get("client")
        address = self._proxies.client(client[0], forwarded_for(scope["headers"])) if client else EXEMPT
        scope["fanbell.address"] = address
        if self._per_address is not None and address != EXEMPT:
            _limit(self._per_address.take(address, now_s), headers)
        if scope["path"] in PUBLIC:
            scope["fanbell.caller"] = ANYBODY
            return True
        if "authorization" not in told and shows_ticket(scope):
            scope["fanbell.caller"] = NOBODY
            return True
        try:
            caller = await self._auth.caller(told.get("authorization"))
        except Unauthorized as error:
            raise Problem(401, "unauthorized", str(error), headers={"www-authenticate": "Bearer"}) from None
        except KeysAway as error:
            wait = {"retry-after": str(KEYS_RETRY_S)}
            raise Problem(503, "unavailable", f"{error}.", headers=wait) from None
        if self._per_token is not None and caller.user is not None:
            _limit(self._per_token.take(caller.user, now_s), headers)
        scope["fanbell.caller"] = caller
        return True


def single_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Host, Origin and Authorization as text, of those given. Raises Problem if one is given twice."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = _SINGLE.get(name)
        if key is not None:
            if key in found:
                raise bad_request(f"The header {key} is given twice.")
            found[key] = value.decode("latin-1")
    return found


def forwarded_for(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The values of X-Forwarded-For, in order."""
    return [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]


def shows_ticket(scope: Scope) -> bool:
    """Whether a stream is asked for with a ticket, where a token would be too."""
    query: bytes = scope["query_string"]
    return b"ticket=" in query and STREAM.fullmatch(scope["path"]) is not None


def raw_path(scope: Scope) -> str:
    """The path as it was sent, octets as Latin-1, without the query."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # a server that does not tell; none of ours
        return quote(scope["path"])
    return raw.partition(b"?")[0].decode("latin-1")


def _limit(allowance: Allowance, headers: Headers) -> None:
    """Tell the limit's numbers (the last limit asked wins). Raises Problem past it."""
    headers[:] = [pair for pair in headers if not pair[0].startswith(b"ratelimit-")]
    headers.append((b"ratelimit-limit", b"%d" % allowance.limit))
    headers.append((b"ratelimit-remaining", b"%d" % allowance.remaining))
    headers.append((b"ratelimit-reset", b"%d" % allowance.reset_s))
    if not allowance.allowed:
        wait = {"retry-after": str(allowance.retry_after_s)}
        raise Problem(
            429, "rate-limit", f"Too many requests; try again in {allowance.retry_after_s} s.", headers=wait
        )


def allowed(routes: Sequence[APIRoute], path: str) -> str:
    """The methods of all calls at `path`; each route knows only its own. A path named literally hides patterns."""
    there = [route for route in routes if route.path == path]
    there = there or [route for route in routes if route.path_regex.match(path)]
    methods = {method for route in there for method in route.methods or ()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
