"""What a call is: method, path, the function that answers, its description; and how it becomes a route."""

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog
from fastapi.routing import APIRoute
from msgspec import json as msgspec_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fanbell.edge import problems
from fanbell.edge.backend import Backend, Busy, Conflict, Places, Unavailable
from fanbell.edge.http.asked import Asked, Gone
from fanbell.edge.http.etags import Tags
from fanbell.edge.http.metrics import Metrics
from fanbell.edge.http.ports import HttpSettings, Inbox
from fanbell.edge.problems import Problem, fault
from fanbell.edge.streams import Streams
from fanbell.projections.store import StoreFailed

SETTLE_S: Final = (
    1.0  # how long a change is waited for, so that whoever made it reads it back; then it is only accepted
)
RETRY_AFTER_S: Final = 5  # a full disk or a restart takes longer than a blink
LOG_EVERY_S: Final = 1.0  # lines of failed requests
JSON: Final = b"application/json"
NOT_MODIFIED: Final = 304
log = structlog.get_logger("fanbell.http")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `headers` beside the content's type and length."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            *self.headers,
        ]
        if self.status == NOT_MODIFIED:  # they would be those of a body that is not here
            headers = list(self.headers)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Failures:
    """Turns errors into problems; logs what is our fault, once a second at most: a full disk is not helped by lines."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._left_out = 0

    def problem_of(self, error: Exception, scope: Scope) -> Problem:
        """The problem that an error of a call is told as."""
        match error:
            case Problem():
                return error
            case Conflict():
                errors = [
                    fault("id", f"{id_!r} was used before with another body", item)
                    for item, id_ in error.items
                ]
                detail = "Ids were used before with another body; nothing was accepted."
                return Problem(409, "id-conflict", detail, errors)
            case Busy():
                return Problem(503, "busy", str(error), headers={"retry-after": str(error.retry_after_s)})
            case Unavailable() | StoreFailed():
                self._log("request refused", error, scope, traceback=False)
                return Problem(503, "unavailable", str(error), headers={"retry-after": str(RETRY_AFTER_S)})
        self._log("request failed", error, scope, traceback=True)
        return problems.internal()

    def _log(self, what: str, error: Exception, scope: Scope, *, traceback: bool) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._left_out += 1
            return
        route = getattr(scope.get("route"), "path", "none")
        told = {"exc_info": error} if traceback else {"error": f"{type(error).__name__}: {error}"}
        log.error(what, method=scope["method"], route=route, left_out=self._left_out, **told)
        self._next_s, self._left_out = now_s + LOG_EVERY_S, 0


@dataclass(frozen=True, slots=True)
class Edge:
    """What calls work with."""

    backend: Backend
    inbox: Inbox
    settings: HttpSettings
    metrics: Metrics
    failures: Failures
    tags: Tags
    leaving: Callable[[], bool] = bool
    """Whether the process is about to stop, and clients had better go elsewhere."""
    streams: Streams | None = None
    """None in a process that holds no sockets."""


class Sendable(Protocol):
    """What a call answers."""

    async def send(self, send: Send) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One line of the API's table, with what OpenAPI tells of it."""

    method: str
    path: str
    answer: Callable[[Edge, Asked], Awaitable[Sendable]]
    summary: str
    description: str
    tag: str
    responses: dict[int | str, dict[str, Any]]
    """By status; the lowest is the one that all goes well with."""
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = field(default=None)
    """`requestBody` of OpenAPI."""


def to_json(value: object, status: int = 200) -> Answer:
    """`value` as a JSON answer."""
    return Answer(msgspec_json.encode(value), status)


async def polled(
    edge: Edge, asked: Asked, user: str, what: Hashable, make: Callable[[], Awaitable[bytes]]
) -> Answer:
    """What `make` makes of the user's inbox, or that the client has it already. `what` names it among the user's."""
    asked_for, stamp = (user, what), await edge.inbox.stamp(user)
    known = edge.tags.known(asked_for, stamp)
    if known is not None and edge.tags.has_it(asked, known):
        return Answer(b"", NOT_MODIFIED, headers=edge.tags.headers(known))
    body = await make()
    tag = edge.tags.made(asked_for, stamp, body)
    status, body = (NOT_MODIFIED, b"") if edge.tags.has_it(asked, tag) else (200, body)
    return Answer(body, status, headers=edge.tags.headers(tag))


async def accepted(edge: Edge, places: Places, **more: object) -> Answer:
    """202 for changes that are in the log at `places`; `shown` says whether reading shows them already."""
    shown = await edge.backend.settle(SETTLE_S, places)
    return to_json({"status": "accepted", "shown": shown, **more}, 202)


def problem_answer(problem: Problem) -> Answer:
    """The answer that `problem` is."""
    headers = tuple((name.encode(), value.encode()) for name, value in problem.headers.items())
    return Answer(problem.body(), problem.status, problems.CONTENT_TYPE.encode(), headers)


def route_of(call: Call, edge: Edge) -> APIRoute:
    """`call` as a route of FastAPI, which documents it.

    FastAPI's own wrapping opens exit stacks and solves dependencies on every request; these calls have none
    and answer bytes, so the route gets a plain ASGI function instead.
    """

    async def endpoint(request: Request) -> Response:
        raise NotImplementedError  # only its signature is read

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Sendable
        try:
            answer = await call.answer(edge, Asked(scope, receive, scope["fanbell.caller"]))
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - the one place where any failure of a call becomes an answer
            answer = problem_answer(edge.failures.problem_of(error, scope))
        await answer.send(send)

    good = min(status for status in call.responses if isinstance(status, int))
    extra: dict[str, Any] = {"parameters": list(call.parameters)} if call.parameters else {}
    if call.body is not None:
        extra["requestBody"] = call.body
    route = APIRoute(
        call.path,
        endpoint,
        methods=[call.method],
        summary=call.summary,
        description=call.description,
        tags=[call.tag],
        status_code=good,
        response_description=call.responses[good]["description"],
        response_class=Response,
        responses=dict(call.responses),
        openapi_extra=extra,
        operation_id=call.answer.__name__,
        name=call.answer.__name__,
    )
    route.app = app
    return route
