"""The HTTP API, plugged together: the table of calls as routes of FastAPI, behind the gate."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fanbell import __version__
from fanbell.edge import problems
from fanbell.edge.auth import Auth
from fanbell.edge.backend import Backend
from fanbell.edge.http import activities, dead, notifications, operate, wishes
from fanbell.edge.http.calls import Call, Edge, route_of
from fanbell.edge.http.gate import PUBLIC, Gate, not_routed
from fanbell.edge.http.metrics import Metrics
from fanbell.edge.http.models import MODELS
from fanbell.edge.http.ports import HttpSettings, Inbox

CALLS: Final[tuple[Call, ...]] = (
    *activities.CALLS,
    *notifications.CALLS,
    *wishes.CALLS,
    *operate.CALLS,
    *dead.CALLS,
)
"""Every call, the busiest first: routes are tried in this order."""
DESCRIPTION: Final = """\
Turns what people do into what other people hear about it.

Ids are any UTF-8 of 1 to 256 bytes without control characters. In paths and queries they are percent-encoded,
`/` as `%2F` included. Errors are `application/problem+json`. With a token secret set, calls need
`Authorization: Bearer TOKEN`.
"""
_TAGS: Final = [
    {"name": "activities", "description": "What people do."},
    {"name": "inbox", "description": "What a user has heard."},
    {"name": "wishes", "description": "What a user wants to hear, and how they are shown."},
    {"name": "operation", "description": "Rules, dead letters, health."},
]


class Api(FastAPI):
    """FastAPI with our own models in its document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        if not self.openapi_schema:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["schemas"] = MODELS
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            }
            for path, calls in document["paths"].items():
                for call in calls.values():
                    call["security"] = [] if path in PUBLIC else [{"token": []}]
        return self.openapi_schema or {}


def create_app(backend: Backend, inbox: Inbox, settings: HttpSettings, auth: Auth) -> Gate:
    """The HTTP API as an ASGI app. `.api` is the FastAPI app within, for its OpenAPI document."""
    metrics = Metrics(backend.stats)
    edge = Edge(backend, inbox, settings, metrics)
    api = Api(
        title="Fanbell",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,  # the pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # an id may end in one
    )
    for call in CALLS:
        api.router.routes.append(route_of(call, edge))
    api.add_exception_handler(HTTPException, _not_routed)
    return Gate(api, settings, auth, metrics)


async def _not_routed(request: Request, error: Exception) -> Response:
    """404 and 405, which the router raises."""
    assert isinstance(error, HTTPException)
    problem = not_routed(error.status_code, _allowed(request))
    return Response(problem.body(), problem.status, problem.headers, problems.CONTENT_TYPE)


def _allowed(request: Request) -> str:
    """The methods of all calls at the path that was asked; each route knows only its own."""
    routes = [route for route in request.app.routes if getattr(route, "path_regex", None)]
    methods = {
        m for route in routes if route.path_regex.match(request.scope["path"]) for m in route.methods or ()
    }
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))
