"""For operators and their programs: rules, statistics, health."""

from typing import Any, Final
from urllib.parse import quote

from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, id_parameter
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.edge.http.metrics import CONTENT_TYPE
from fanbell.edge.origins import host_name
from fanbell.edge.problems import fault, forbidden, not_found, too_large, unprocessable
from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.partitions import partition_of
from fanbell.streams.core.kinds import BadRules, parse_rules

SOURCE_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024  # the rules enter the log as one record


def operators_only(asked: Asked) -> None:
    """Raises Problem for anybody else."""
    if not asked.caller.is_operator:
        raise forbidden("This is for operators.")


async def get_health(edge: Edge, asked: Asked) -> Answer:
    """The process answers."""
    return to_json({"status": "ok"})


async def get_ready(edge: Edge, asked: Asked) -> Answer:
    """Whether it takes requests."""
    ready, why = (
        (False, "stopping: sessions are asked to go elsewhere") if edge.leaving() else edge.backend.ready()
    )
    return to_json({"status": "ready" if ready else "not ready", "why": why}, 200 if ready else 503)


async def get_metrics(edge: Edge, asked: Asked) -> Answer:
    """Counters for Prometheus."""
    return Answer(edge.metrics.text(), content_type=CONTENT_TYPE)


async def get_edge(edge: Edge, asked: Asked) -> Answer:
    """Where the WebSocket is, and a user's event stream, both with the user's partition for balancers."""
    user = id_parameter(asked.query(("user",)), "user")
    settings = edge.settings
    port = settings.edge_port
    if not port and not settings.edge_url:
        raise not_found(
            "This process holds no WebSockets and does not know who does: set edge_url, or edge_port if the edge is "
            "at the same host."
        )
    host = next(
        (value.decode("latin-1") for name, value in asked.scope["headers"] if name == b"host"), settings.host
    )
    scheme = "wss" if settings.tls_certfile else "ws"
    url = settings.edge_url or f"{scheme}://{host_name(host)}:{port}/"
    if user is None:
        return to_json({"url": url, "port": port, "stream": None})
    by = f"p={partition_of(user, edge.backend.partitions)}"
    stream = f"/v1/users/{quote(user, safe='').replace('.', '%2E')}/stream?{by}"
    return to_json({"url": f"{url}{'&' if '?' in url else '?'}{by}", "port": port, "stream": stream})


async def get_stats(edge: Edge, asked: Asked) -> Answer:
    """Counters and positions."""
    operators_only(asked)
    asked.query()
    return to_json(edge.backend.stats())


async def get_kinds(edge: Edge, asked: Asked) -> Answer:
    """The rules in force."""
    operators_only(asked)
    asked.query()
    rules = edge.backend.rules
    return to_json({"version": rules.version, "kinds": sorted(rules.kinds), "source": rules.source})


async def check_kinds(edge: Edge, asked: Asked) -> Answer:
    """Whether a rules file could be put in force."""
    operators_only(asked)
    asked.query()
    rules = parse_rules_or_refuse(await _source(asked))
    return to_json({"status": "good", "kinds": sorted(rules.kinds)})


async def put_kinds(edge: Edge, asked: Asked) -> Answer:
    """Put a rules file in force."""
    operators_only(asked)
    asked.query()
    source = await _source(asked)
    rules = parse_rules_or_refuse(source)
    version = await edge.backend.apply_rules(source)
    return to_json({"status": "accepted", "version": version, "kinds": sorted(rules.kinds)}, 202)


async def _source(asked: Asked) -> str:
    source = (await asked.json_object(("source",))).get("source")
    if type(source) is not str:
        raise unprocessable(
            "The rules cannot be read.", [fault("source", "must be the text of a TOML file, a string")]
        )
    size = len(source.encode())
    if size > SOURCE_BYTES_MAX:
        raise too_large(f"A rules file has at most {SOURCE_BYTES_MAX} bytes, this one has {size}.")
    return source


def parse_rules_or_refuse(source: str) -> Any:
    """The rules that `source` declares. Raises Problem, which names line and key."""
    try:
        return parse_rules(source)
    except BadRules as error:
        errors = [{**fault(error.key, error.message), "line": error.line}]
        raise unprocessable(f"The rules are refused, those in force stay: {error}", errors) from None


ALL: Final[d.Answers] = d.problems(400, 401, 403, 422, 429, 503)
BODY: Final[d.Answers] = d.problems(400, 401, 403, 408, 413, 415, 422, 429, 503)
_SOURCE: Final = d.body(
    d.ref("RulesSource"),
    {"small": {"source": '[kinds.post]\naudience = [{ to = "followers_of_actor", reason = "post" }]\n'}},
)

CALLS = (
    Call(
        "GET",
        "/healthz",
        get_health,
        "Is the process alive?",
        "Answers as long as the process does.",
        "operation",
        {200: d.json("Alive.", "Status", {"status": "ok"})},
    ),
    Call(
        "GET",
        "/readyz",
        get_ready,
        "Does it take requests?",
        "503 while starting, stopping or unable to write, with why.",
        "operation",
        {
            200: d.json("Ready.", "Ready", {"status": "ready", "why": ""}),
            503: d.json("Not ready.", "Ready", None),
        },
    ),
    Call(
        "GET",
        "/metrics",
        get_metrics,
        "Metrics",
        "For Prometheus. Needs no token and names nobody.",
        "operation",
        {
            200: {
                "description": "Text format 0.0.4.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    ),
    Call(
        "GET",
        "/v1/edge",
        get_edge,
        "Where is the WebSocket?",
        "Of this process, or where settings say. 404 where neither is known. For a `user`, with their partition as "
        "`p`, by which balancers may choose an edge, and with the path of their event stream below this API's address.",
        "operation",
        {200: d.json("Its address.", "EdgePlace", d.EDGE_PLACE), **d.problems(400, 404)},
        parameters=(d.query("user", "Whose inbox will be asked for.", d.ID),),
    ),
    Call(
        "GET",
        "/v1/stats",
        get_stats,
        "Statistics",
        "Offsets, backlog, waiting, dead, sizes.",
        "operation",
        {200: d.json("Named numbers.", "Stats", {"backlog": 0}), **ALL},
    ),
    Call(
        "GET",
        "/v1/kinds",
        get_kinds,
        "The rules in force",
        "Their version and TOML text.",
        "operation",
        {200: d.json("The rules.", "RulesInForce", None), **ALL},
    ),
    Call(
        "POST",
        "/v1/kinds/check",
        check_kinds,
        "Check a rules file",
        "A bad one is refused with line, key and what would be right.",
        "operation",
        {200: d.json("It could be applied.", "RulesChecked", None), **BODY},
        body=_SOURCE,
    ),
    Call(
        "PUT",
        "/v1/kinds",
        put_kinds,
        "Put a rules file in force",
        "Replaces the one in force as a whole; a bad one changes nothing.",
        "operation",
        {202: d.json("In the log.", "RulesApplied", None), **BODY},
        body=_SOURCE,
    ),
)
HEALTH_CALLS = tuple(
    call for call in CALLS if call.path in ("/healthz", "/readyz", "/metrics", "/v1/edge", "/v1/stats")
)
"""What a process answers about itself."""
