"""The HTTP API, plugged together: the table of calls as routes of FastAPI, behind the gate."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import FastAPI

from fanbell import __version__
from fanbell.edge.auth import Auth
from fanbell.edge.backend import Backend
from fanbell.edge.http import activities, dead, notifications, operate, presence, stream, tickets, wishes
from fanbell.edge.http.calls import Call, Edge, Failures, route_of
from fanbell.edge.http.etags import Tags
from fanbell.edge.http.gate import PUBLIC, Gate
from fanbell.edge.http.metrics import Metrics
from fanbell.edge.http.models import MODELS
from fanbell.edge.http.ports import HttpSettings, Inbox
from fanbell.edge.streams import Streams

CALLS: Final[tuple[Call, ...]] = (
    *activities.CALLS,
    *notifications.CALLS,
    *wishes.CALLS,
    *stream.CALLS,
    *tickets.CALLS,
    *presence.CALLS,
    *operate.CALLS,
    *dead.CALLS,
)
"""Every call, the busiest first: routes are tried in this order."""
EDGE_CALLS: Final[tuple[Call, ...]] = (*stream.CALLS, *tickets.CALLS, *operate.HEALTH_CALLS)
"""Of a process that only has people's sockets."""
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
    """FastAPI with our own models in its document, and a token where one is needed."""

    token_required = False

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        if not self.openapi_schema:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["schemas"] = MODELS
            if self.token_required:
                token = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
                components["securitySchemes"] = {"token": token}
                for path, calls in document["paths"].items():
                    for call in calls.values():
                        call["security"] = [] if path in PUBLIC else [{"token": []}]
        return self.openapi_schema or {}


def create_app(
    backend: Backend,
    inbox: Inbox,
    settings: HttpSettings,
    auth: Auth,
    calls: Sequence[Call] = CALLS,
    leaving: Callable[[], bool] = bool,
    streams: Streams | None = None,
    tags: Tags | None = None,
) -> Gate:
    """The HTTP API as an ASGI app. `.api` is the FastAPI app within, for its OpenAPI document.

    `leaving`: whether the process is about to stop, so that it calls itself not ready. `streams` are those of a process
    that holds people's sockets.
    """
    edge = Edge(
        backend, inbox, settings, Metrics(backend.stats), Failures(), tags or Tags(), leaving, streams
    )
    api = Api(
        title="Fanbell",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,  # the pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # an id may end in one
    )
    api.token_required = auth.required
    for call in calls:
        api.router.routes.append(route_of(call, edge))
    return Gate(api, edge, auth)
