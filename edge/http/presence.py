"""Whether a user is connected."""

from typing import Final

from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.projections.items import rfc3339


async def get_presence(edge: Edge, asked: Asked) -> Answer:
    """Whether and how a user is connected."""
    user = asked.user_to_act_for()
    asked.query()
    here = edge.backend.presence(user)
    return to_json(
        {
            "user": user,
            "online": here is not None,
            "devices": here.devices if here else 0,
            "since": rfc3339(here.since_ms) if here else None,
            "last_active": rfc3339(here.active_ms) if here else None,
        }
    )


PRESENCE: Final = {
    "user": "ana",
    "online": True,
    "devices": 2,
    "since": "2026-01-31T12:00:00.000Z",
    "last_active": "2026-01-31T12:05:00.000Z",
}

CALLS = (
    Call(
        "GET",
        "/v1/users/{user}/presence",
        get_presence,
        "Is the user connected?",
        "With how many sessions, at all edges together; since when without a break; and the minute of the latest "
        "connect or mark. A few seconds old. Users of an edge that died show for the rest of its lease, 45 s at "
        "most. For producers, operators, and the user.",
        "inbox",
        {
            200: d.json("How the user is connected.", "Presence", PRESENCE),
            **d.problems(400, 401, 403, 422, 429, 503),
        },
        parameters=(d.path("user", "Whose presence."),),
    ),
)
