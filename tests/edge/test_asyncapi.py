"""docs/asyncapi.yaml: valid, what the code's tables say, and true of what is sent and taken, both ways.

asyncapi/asyncapi_3_0_0.json is the JSON schema of AsyncAPI 3.0.0 as the npm package @asyncapi/specs 6.11.1 carries it
(`schemas/3.0.0-without-$id.json`; Apache-2.0), without its spaces.
"""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.asyncapi import ASYNCAPI, CLIENT, SERVER, asyncapi
from fanbell.edge.backend import Busy
from fanbell.edge.close_codes import CLOSE_CODES
from fanbell.edge.frames import Malformed, UnknownType, parse
from fanbell.schemas.limits import ID_BYTES_MAX
from fanbell.schemas.parse import VERBS
from tests.edge.described import DOCUMENT, SCHEMAS, VALIDATORS, check_sent
from tests.edge.test_socket import Client, running, until

EDGE: Final = ASYNCAPI.parent / "edge.md"
SPECIFICATION: Final = Path(__file__).parent / "asyncapi" / "asyncapi_3_0_0.json"
WRONG: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(1.5), st.text(max_size=3), st.just("x" * 9_000), st.just("\x07"),
    st.just([]), st.just(["a", "a\x00"]), st.just([1]), st.just(["a"] * 1_001), st.just({}), st.just({"a": 1}),
)  # fmt: skip


def test_the_file_is_what_the_code_says() -> None:
    """
    docs/asyncapi.yaml is what `make docs` writes.
    """
    assert ASYNCAPI.read_text(encoding="utf-8") == asyncapi()


def test_the_document_is_asyncapi() -> None:
    """
    The document is valid AsyncAPI 3.0.
    """
    specification = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    faults = [error.message for error in jsonschema_rs.Draft7Validator(specification).iter_errors(DOCUMENT)]

    assert faults == []


def test_references_lead_somewhere() -> None:
    """
    Every `$ref` of the document names something in it.
    """

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            inner = [ref for item in value.values() for ref in references(item)]
            return [value["$ref"], *inner] if isinstance(value.get("$ref"), str) else inner
        return [ref for item in value for ref in references(item)] if isinstance(value, list) else []

    for ref in references(DOCUMENT):
        found: Any = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]


def test_close_codes_are_the_table() -> None:
    """
    The document has every close code, and says what the table says.
    """
    assert [tuple(row.values()) for row in DOCUMENT["x-close-codes"]] == [tuple(row) for row in CLOSE_CODES]


def test_the_page_names_what_the_document_describes() -> None:
    """
    docs/edge.md has every frame type and verb that the document describes, with its fields, and no other.
    """
    text = EDGE.read_text(encoding="utf-8")
    described = {"connect", "token", "ping", *SERVER}
    rows = re.findall(r'^\| .*?"type": "(\w+)"(.*?)\}` \|', text, re.MULTILINE)

    assert {name for name, _ in rows} - {"read"} == described
    assert [verb for verb in VERBS if f"`{verb}`" not in text and f'"{verb}"' not in text] == []
    for name, said in rows:
        fields = set(re.findall(r'"(\w+)"', said))
        known = set(fields_of("mark" if name == "read" else name)) if name != "counts" else fields
        assert fields <= known, name
        if "…" not in said.replace("[…]", ""):
            assert name == "read" or known - {"type"} == fields or name == "counts", name


@pytest.mark.parametrize("name", [*CLIENT, *SERVER, "close"])
def test_examples_are_as_described(name: str) -> None:
    """
    The example of each message is one.
    """
    for example in DOCUMENT["components"]["messages"][name]["examples"]:
        VALIDATORS[name].validate(example["payload"])
        if name in CLIENT:
            parse(json.dumps(example["payload"]))


def made_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that `schema` allows, of as much of JSON Schema as clients' frames need."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([made_by(one) for one in schema["anyOf"]])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_made_by_type(type_, schema) for type_ in types])


def _made_by_type(type_: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if type_ == "null":
        return st.none()
    if type_ == "array":
        return st.lists(
            made_by(schema["items"]), min_size=schema.get("minItems", 0), max_size=min(3, schema.get("maxItems", 3))
        )  # fmt: skip
    assert type_ == "string", schema
    alphabet = st.characters(exclude_categories=["Cs", "Cc"])  # what ids may have
    least, most = schema.get("minLength", 0), schema.get("maxLength", 9_000)
    return st.text(alphabet, min_size=least, max_size=min(most, least + 70)) | st.just("x" * most)


def fields_of(name: str) -> dict[str, Any]:
    schema = SCHEMAS[name]
    fields: dict[str, Any] = dict(schema["properties"])
    for one in schema.get("oneOf", ()):
        fields |= {field: rule for field, rule in one["properties"].items() if rule != {"type": "null"}}
    return fields


@st.composite
def right_frames(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Frames of the client as they are described: what must be there, what may be, and what is not known here."""
    schema = SCHEMAS[name]
    one = draw(st.sampled_from(schema.get("oneOf", [{}])))
    must = {*schema["required"], *one.get("required", ())}
    fields = {**schema["properties"], **one.get("properties", {})}
    said = {
        field: draw(made_by(rule)) for field, rule in fields.items() if field in must or draw(st.booleans())
    }
    if isinstance(said.get("cursors"), list):
        said["cursors"] = [draw(st.text(max_size=5)) for _ in said["ids"]]
    if draw(st.booleans()):
        said[draw(st.sampled_from(["new", "x"]))] = draw(WRONG)
    return said


@st.composite
def near_frames(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Right ones in which some fields are missing, or are (most likely) not what they should be."""
    said = draw(right_frames(name))
    fields = st.sampled_from([field for field in fields_of(name) if field != "type"])
    for field in draw(st.lists(fields, max_size=2, unique=True)):
        said.pop(field, None)
    for field in draw(st.lists(fields, min_size=1, max_size=2, unique=True)):
        said[field] = draw(WRONG)
    return said


def stricter(said: dict[str, Any]) -> bool:
    """Whether the server asks for more than a JSON Schema can say: ids count in bytes; as many cursors as ids."""
    ids, cursors = said.get("ids"), said.get("cursors")
    names = [said.get("user"), *(ids if isinstance(ids, list) else [])]
    if any(isinstance(name, str) and len(name.encode()) > ID_BYTES_MAX for name in names):
        return True
    return isinstance(cursors, list) and isinstance(ids, list) and len(cursors) != len(ids)


@pytest.mark.parametrize("name", list(CLIENT))
def test_what_the_description_allows_is_taken_and_nothing_else(name: str) -> None:
    """
    A frame that the description allows is parsed, with what it says; one that it forbids is refused as malformed.
    """
    taken = refused = 0

    @settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
    @given(right_frames(name) | near_frames(name))
    def holds(said: dict[str, Any]) -> None:
        nonlocal taken, refused
        allowed = VALIDATORS[name].is_valid(said)
        try:
            value = parse(json.dumps(said))
        except Malformed:
            refused += 1
            assert not allowed or stricter(said)
        else:
            taken += 1
            assert allowed
            for field in ("user", "token", "cursor", "locale", "ids", "up_to", "ref"):
                if field in said and hasattr(value, field):
                    assert getattr(value, field) == said[field]

    holds()
    assert min(taken, refused) > 10


@given(st.text(max_size=12))
def test_types_that_are_not_described_are_unknown(type_: str) -> None:
    """
    A frame of any other type is refused by a code of its own.
    """
    described = {"connect", "token", "ping", *VERBS}
    if type_ not in described:
        with pytest.raises(UnknownType):
            parse(json.dumps({"type": type_}))


async def hear_all(client: Client, seen: dict[str, dict[str, Any]]) -> None:
    async for text in client.socket:
        frame = json.loads(text)
        check_sent(frame)
        seen[frame["type"]] = frame


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_frame_that_is_described_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A real server sends every type of frame that is described, as it is described, and no other.
    """
    seen: dict[str, dict[str, Any]] = {}
    async with running() as server:
        backend = server.backend
        async with server.as_user("ana") as client:
            hearing = asyncio.ensure_future(hear_all(client, seen))
            await until(lambda: "page" in seen)
            cursor = seen["page"]["cursor"]
            await backend.wish("ana", "preferences", preferences=[])
            await backend.wish("ana", "profile", name="Ana")
            await backend.wish("ana", "mute", aspect="author", object="ben")
            group = await backend.update("ana", "g", count=2)
            await backend.notice(["ana"], "n", expires_at=int(time.time() * 1000) + 50, data=b'{"a":1}')
            await client.say("read", ids=["g"], ref="m1")
            await until(lambda: "accepted" in seen)
            await client.say("ping", ref="p1")
            backend.fails = Busy(2)
            await client.say("read", ids=["g"], ref="m2")
            await until(lambda: {"gone", "state", "refused", "pong", "counts"} <= set(seen))
            await backend.retract("ana", "g", group.row_seq)
            await until(lambda: "retract" in seen)
            hearing.cancel()
        async with server.as_user("ana", cursor) as client:
            hearing = asyncio.ensure_future(hear_all(client, seen))
            await until(lambda: "kept" in seen)
            hearing.cancel()

    assert set(seen) == set(SERVER)
