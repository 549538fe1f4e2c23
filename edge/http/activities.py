"""POST /v1/activities, and what became of one.

The hot path: bytes to values by jiter, values to activities by `parse_activity`, checked by the rules in
force, and handed to the backend as one batch. A batch is refused whole, every bad item and field named.
"""

from typing import Any

from msgspec.structs import replace

from fanbell.edge.auth import Caller
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.edge.problems import Problem, fault, forbidden, not_found, too_large, unprocessable
from fanbell.schemas.codec import encode
from fanbell.schemas.limits import ACTIVITY_BYTES_MAX, BATCH_MAX
from fanbell.schemas.parse import Invalid, parse_activity
from fanbell.schemas.records import Activity
from fanbell.streams.core.kinds import DELETE, Rules


async def post_activities(edge: Edge, asked: Asked) -> Answer:
    """Publish one activity or an array of them."""
    asked.query()
    activities = activities_of(await asked.json(), edge.backend.rules, asked.caller)
    firsts = without_repeats(activities)
    statuses = await edge.backend.publish(list(firsts.values())) if firsts else []
    status_of = dict(zip(firsts, statuses, strict=True))
    results = []
    for activity in activities:
        results.append({"id": activity.id, "status": status_of[activity.id]})
        status_of[activity.id] = "duplicate"  # the same once more in this batch
    duplicates = sum(result["status"] == "duplicate" for result in results)
    edge.metrics.activities(len(results) - duplicates, duplicates)
    return to_json({"results": results}, 202)


def activities_of(value: Any, rules: Rules, caller: Caller) -> list[Activity]:
    """The activities that the JSON value of a body describes, all of them good. Raises Problem."""
    items = value if type(value) is list else [value]
    if len(items) > BATCH_MAX:
        raise unprocessable(f"A batch has at most {BATCH_MAX} activities, this one has {len(items)}.")
    activities: list[Activity] = []
    errors: list[dict[str, Any]] = []
    for item, each in enumerate(items):
        try:
            activity = parse_activity(each)
        except Invalid as error:
            errors += [fault(field, message, item) for field, message in error.errors]
            continue
        if faults := rules.faults(activity):
            errors += [fault(field, message, item) for field, message in faults]
        activities.append(activity)
    if errors:
        raise unprocessable("The batch is refused, nothing was accepted.", errors)
    _check_sizes(activities)
    if not caller.is_producer:
        _check_actors(activities, caller)
    if caller.deletes_as_operator:
        activities = [replace(a, by_operator=True) if a.kind == DELETE else a for a in activities]
    return activities


def _check_sizes(activities: list[Activity]) -> None:
    """Only `recipients` can carry an activity past its bound: all else together stays below half of it."""
    errors = []
    for item, activity in enumerate(activities):
        if activity.recipients and (size := len(encode(activity))) > ACTIVITY_BYTES_MAX:
            message = f"has {size} bytes encoded, at most {ACTIVITY_BYTES_MAX} are allowed"
            errors.append(fault("", message, item))
    if errors:
        raise too_large("The batch is refused, nothing was accepted.", errors)


def _check_actors(activities: list[Activity], caller: Caller) -> None:
    errors = [
        fault("actor", "must be the token's own user", item)
        for item, activity in enumerate(activities)
        if not caller.may_act_for(activity.actor)
    ]
    if errors:
        raise forbidden("This token acts only for its own user; nothing was accepted.", errors)


def without_repeats(activities: list[Activity]) -> dict[str, Activity]:
    """By id, in order, each once. Raises Problem if one id comes with two bodies."""
    firsts: dict[str, Activity] = {}
    for activity in activities:
        firsts.setdefault(activity.id, activity)
    if len(firsts) != len(activities):
        errors = [
            fault("id", f"{activity.id!r} is used in this batch with another body", item)
            for item, activity in enumerate(activities)
            if firsts[activity.id] != activity
        ]
        if errors:
            raise Problem(
                409, "id-conflict", "Ids are used twice with different bodies; nothing was accepted.", errors
            )
    return firsts


async def get_trace(edge: Edge, asked: Asked) -> Answer:
    """What became of an activity."""
    asked.query()
    if not asked.caller.is_producer:
        raise forbidden("Traces are for producers and operators.")
    trace = await edge.backend.trace(asked.id("id"))
    if trace is None:
        raise not_found("No activity with this id is known; it was never accepted, or too long ago.")
    return to_json(trace)


CALLS = (
    Call(
        "POST",
        "/v1/activities",
        post_activities,
        "Publish activities",
        "One activity or an array of up to 1,000; changes of the graph (follow, mute, block, …) and undo are "
        "activities too. 202 means that all of them are durable in the log. One bad item refuses the whole "
        "batch. The same id with the same body again is a `duplicate`; with another body refused (409). "
        "Producers act for anybody, users as themselves. A `delete` counts as the operator's only with an "
        "operator's token.",
        "activities",
        {
            202: d.json("Accepted, durably.", "Results", {"results": [{"id": "a1", "status": "accepted"}]}),
            **d.problems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
        },
        body=d.body(
            {
                "anyOf": [
                    d.ref("Activity"),
                    {"type": "array", "items": d.ref("Activity"), "maxItems": BATCH_MAX},
                ]
            },
            {
                "one": d.ACTIVITY,
                "several": [d.ACTIVITY, {"id": "a2", "kind": "like", "actor": "ben", "object": "post-1"}],
            },
        ),
    ),
    Call(
        "GET",
        "/v1/activities/{id}/trace",
        get_trace,
        "What became of an activity",
        "accepted → waiting (its entity is unknown yet) or routed → heard by so many, silenced by which rule "
        "→ stored.",
        "activities",
        {200: d.json("Its way so far.", "Trace", d.TRACE), **d.problems(400, 401, 403, 404, 422, 429, 503)},
        parameters=(d.path("id", "Id of the activity."),),
    ),
)
