"""For operators and their programs: rules, dead letters, statistics, health."""

from base64 import b64encode
from typing import Any, Final

from msgspec import json as msgspec_json
from msgspec.structs import asdict

from fanbell.edge.backend import Letter
from fanbell.edge.http import describe as d
from fanbell.edge.http.asked import Asked, whole_number
from fanbell.edge.http.calls import Answer, Call, Edge, to_json
from fanbell.edge.http.gate import host_name
from fanbell.edge.http.metrics import CONTENT_TYPE
from fanbell.edge.problems import fault, forbidden, not_found, too_large, unprocessable
from fanbell.schemas.codec import Undecodable, decode
from fanbell.schemas.limits import BATCH_MAX, RECORD_BYTES_MAX
from fanbell.streams.core.kinds import BadRules, parse_rules

SOURCE_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024  # the rules enter the log as one record
OFFSET_MAX: Final = 10**18
LETTERS_DEFAULT: Final = 100
LETTERS_MAX: Final = 1_000


def _operators_only(asked: Asked) -> None:
    if not asked.caller.is_operator:
        raise forbidden("This is for operators.")


async def get_health(edge: Edge, asked: Asked) -> Answer:
    """The process answers."""
    return to_json({"status": "ok"})


async def get_ready(edge: Edge, asked: Asked) -> Answer:
    """Whether it takes requests."""
    ready, why = edge.backend.ready()
    return to_json({"status": "ready" if ready else "not ready", "why": why}, 200 if ready else 503)


async def get_metrics(edge: Edge, asked: Asked) -> Answer:
    """Counters for Prometheus."""
    return Answer(edge.metrics.text(), content_type=CONTENT_TYPE)


async def get_edge(edge: Edge, asked: Asked) -> Answer:
    """Where the WebSocket is."""
    settings = edge.settings
    port = settings.edge_port or settings.port + 1
    host = next(
        (value.decode("latin-1") for name, value in asked.scope["headers"] if name == b"host"), settings.host
    )
    return to_json({"url": settings.edge_url or f"ws://{host_name(host)}:{port}/", "port": port})


async def get_stats(edge: Edge, asked: Asked) -> Answer:
    """Counters and positions."""
    _operators_only(asked)
    asked.query()
    return to_json(edge.backend.stats())


async def get_kinds(edge: Edge, asked: Asked) -> Answer:
    """The rules in force."""
    _operators_only(asked)
    asked.query()
    rules = edge.backend.rules
    return to_json({"version": rules.version, "kinds": sorted(rules.kinds), "source": rules.source})


async def check_kinds(edge: Edge, asked: Asked) -> Answer:
    """Whether a rules file could be put in force."""
    _operators_only(asked)
    asked.query()
    rules = parse_rules_or_refuse(await _source(asked))
    return to_json({"status": "good", "kinds": sorted(rules.kinds)})


async def put_kinds(edge: Edge, asked: Asked) -> Answer:
    """Put a rules file in force."""
    _operators_only(asked)
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


async def list_dead(edge: Edge, asked: Asked) -> Answer:
    """Dead letters, oldest first."""
    _operators_only(asked)
    query = asked.query(("after", "limit"))
    limit = whole_number(query, "limit", LETTERS_DEFAULT, 1, LETTERS_MAX)
    after = whole_number(query, "after", -1, 0, OFFSET_MAX)
    letters = await edge.backend.dead_letters(after, limit + 1)
    more = len(letters) > limit
    items = [letter_of(letter) for letter in letters[:limit]]
    return to_json({"items": items, "next": letters[limit - 1].offset if more else None})


async def show_dead(edge: Edge, asked: Asked) -> Answer:
    """One dead letter with what it carries."""
    _operators_only(asked)
    asked.query()
    text = asked.param("offset")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise unprocessable("The path names no offset.", [fault("offset", "must be a whole number")])
    letters = await edge.backend.dead_letters(int(text) - 1, 1)
    if not letters or letters[0].offset != int(text):
        raise not_found("There is no such dead letter; it may have been retried or dropped.")
    letter = letters[0]
    return to_json({**letter_of(letter), **_carried(letter.dead.value)})


def letter_of(letter: Letter) -> dict[str, Any]:
    """A dead letter without what it carries."""
    fields = asdict(letter.dead)
    size = len(fields.pop("value"))
    origin = {
        "topic": fields.pop("topic"),
        "partition": fields.pop("partition"),
        "offset": fields.pop("offset"),
    }
    return {"offset": letter.offset, **fields, "origin": origin, "bytes": size}


def _carried(value: bytes) -> dict[str, Any]:
    """What a letter carries: the bytes, and the record that they are if they are one."""
    told: dict[str, Any] = {"value_base64": b64encode(value).decode(), "record": None, "record_type": None}
    try:
        record = decode(value)
        # Bytes inside a record become base64, and what cannot be JSON at all stays in value_base64.
        told["record"] = msgspec_json.decode(msgspec_json.encode(record))
        told["record_type"] = type(record).__name__
    except (Undecodable, UnicodeEncodeError):
        pass  # a letter may have died of exactly that
    return told


async def retry_dead(edge: Edge, asked: Asked) -> Answer:
    """Send dead letters through once more."""
    _operators_only(asked)
    asked.query()
    return to_json({"retried": await edge.backend.retry_dead(await _offsets(asked))}, 202)


async def drop_dead(edge: Edge, asked: Asked) -> Answer:
    """Forget dead letters."""
    _operators_only(asked)
    asked.query()
    return to_json({"dropped": await edge.backend.drop_dead(await _offsets(asked))}, 202)


async def _offsets(asked: Asked) -> list[int]:
    offsets = (await asked.json_object(("offsets",))).get("offsets")
    if type(offsets) is not list or len(offsets) > BATCH_MAX:
        message = f"must be an array of at most {BATCH_MAX} offsets"
        raise unprocessable("The offsets cannot be used.", [fault("offsets", message)])
    errors = [
        fault("offsets", "must be a whole number, 0 or more", item)
        for item, offset in enumerate(offsets)
        if type(offset) is not int or not 0 <= offset <= OFFSET_MAX
    ]
    if errors:
        raise unprocessable("The offsets cannot be used.", errors)
    return list(dict.fromkeys(offsets))


_ALL: Final = d.problems(400, 401, 403, 422, 429, 503)
_BODY: Final = d.problems(400, 401, 403, 408, 413, 415, 422, 429, 503)
_SOURCE: Final = d.body(
    d.ref("RulesSource"),
    {"small": {"source": '[kinds.post]\naudience = [{ to = "followers_of_actor", reason = "post" }]\n'}},
)
_OFFSETS: Final = d.body(d.ref("Offsets"), {"two": {"offsets": [0, 3]}})

CALLS = (
    Call("GET", "/healthz", get_health, "Is the process alive?", "Answers as long as the process does.", "operation",
         {200: d.json("Alive.", "Status", {"status": "ok"})}),
    Call("GET", "/readyz", get_ready, "Does it take requests?", "503 while starting, stopping or unable to write, with why.",
         "operation", {200: d.json("Ready.", "Ready", {"status": "ready", "why": ""}), 503: d.json("Not ready.", "Ready", None)}),
    Call("GET", "/metrics", get_metrics, "Metrics", "For Prometheus. Needs no token and names nobody.", "operation",
         {200: {"description": "Text format 0.0.4.", "content": {"text/plain": {"schema": {"type": "string"}}}}}),
    Call("GET", "/v1/edge", get_edge, "Where is the WebSocket?", "The port after this one unless told otherwise.",
         "operation", {200: d.json("Its address.", "EdgePlace", {"url": "ws://127.0.0.1:8788/", "port": 8788})}),
    Call("GET", "/v1/stats", get_stats, "Statistics", "Offsets, backlog, waiting, dead, sizes.", "operation",
         {200: d.json("Named numbers.", "Stats", {"backlog": 0}), **_ALL}),
    Call("GET", "/v1/kinds", get_kinds, "The rules in force", "Their version and TOML text.", "operation",
         {200: d.json("The rules.", "RulesInForce", None), **_ALL}),
    Call("POST", "/v1/kinds/check", check_kinds, "Check a rules file", "A bad one is refused with line, key and what would be right.",
         "operation", {200: d.json("It could be applied.", "RulesChecked", None), **_BODY}, body=_SOURCE),
    Call("PUT", "/v1/kinds", put_kinds, "Put a rules file in force", "Replaces the one in force as a whole; a bad one changes nothing.",
         "operation", {202: d.json("In the log.", "RulesApplied", None), **_BODY}, body=_SOURCE),
    Call("GET", "/v1/dead", list_dead, "Dead letters", "What could not go through, oldest first, with origin and reason.", "operation",
         {200: d.json("A page.", "Letters", None), **_ALL},
         (d.query("after", "`next` of the page before.", d.OFFSET),
          d.query("limit", "At most so many.", {"type": "integer", "minimum": 1, "maximum": LETTERS_MAX, "default": LETTERS_DEFAULT}))),
    Call("GET", "/v1/dead/{offset}", show_dead, "One dead letter", "With what it carries.", "operation",
         {200: d.json("The letter.", "Letter", None), **d.problems(400, 401, 403, 404, 422, 429, 503)},
         (d.path("offset", "Its place in `dead`.", d.OFFSET),)),
    Call("POST", "/v1/dead/retry", retry_dead, "Retry dead letters", "They go through once more, as if they had just come.", "operation",
         {202: d.json("How many.", "Retried", {"retried": 2}), **_BODY}, body=_OFFSETS),
    Call("POST", "/v1/dead/drop", drop_dead, "Drop dead letters", "They are listed no more.", "operation",
         {202: d.json("How many.", "Dropped", {"dropped": 2}), **_BODY}, body=_OFFSETS),
)  # fmt: skip
