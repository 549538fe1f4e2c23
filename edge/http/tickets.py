"""Tickets over HTTP: made for who has a token, spent by a stream."""

import time
from typing import Final

from fanbell.edge.backend import Tickets
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.edge.problems import Problem, fault, forbidden, unprocessable
from fanbell.edge.tickets import TICKET_CHARS_MAX, TTL_S, digest_of, ends_of, new_ticket
from fanbell.schemas.parse import id_fault


async def make_ticket(edge: Edge, asked: Asked) -> Answer:
    """A ticket for a stream."""
    asked.query()
    user = (await asked.json_object(("user",))).get("user", asked.caller.user)
    if wrong := id_fault(user):
        raise unprocessable("A ticket is for a user.", [fault("user", wrong)])
    assert type(user) is str
    if not asked.caller.may_reach(user):
        raise forbidden("This token reaches only what is its own user's.")
    left_s = asked.token_left_s()
    ticket = new_ticket(None if left_s is None else int((time.time() + left_s) * 1_000))
    await edge.backend.tickets.keep(digest_of(ticket, user), user, TTL_S)
    return to_json({"ticket": ticket, "expires_in_s": TTL_S, "user": user}, 201)


async def spent(tickets: Tickets, ticket: str, user: str) -> float | None:
    """Spend `ticket`; how many seconds what it opens may go on, None is for ever. Raises Problem, StoreFailed."""
    known = len(ticket) <= TICKET_CHARS_MAX and await tickets.spend(digest_of(ticket, user))
    ends_ms = ends_of(ticket) if known else None
    left_s = None if ends_ms is None else ends_ms / 1_000 - time.time()
    if not known or (left_s is not None and left_s <= 0):
        raise Problem(
            401, "unauthorized", "The ticket does not count: it was used, is too old, or is another's."
        )
    return left_s


CALLS: Final = (
    Call(
        "POST",
        "/v1/tickets",
        make_ticket,
        "A ticket for a stream",
        f"For `GET /v1/users/{{user}}/stream?ticket=…` within {TTL_S} s, once. Without `user` it is for the token's. "
        "What it opens ends when the token does.",
        "inbox",
        {
            201: d.json(
                "The ticket.", "Ticket", {"ticket": d.TICKET_EXAMPLE, "expires_in_s": TTL_S, "user": "ana"}
            ),
            **d.problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        body=d.body(d.ref("NewTicket"), {"own": {}, "another's": {"user": "ana"}}),
    ),
)
