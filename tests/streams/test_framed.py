"""`streams/framed.py` and `streams/registry.py`: records framed by Confluent's serializers, a registry over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from structlog.testing import capture_logs

from fanbell.schemas.codec import decode, encode, schema_json
from fanbell.schemas.records import Activity, Change, Dead, Preference, Rules
from fanbell.schemas.topics import ACTIVITIES, CHANGES, DEAD, ROUTED
from fanbell.streams import registry as module
from fanbell.streams.core.forward import Forwarding
from fanbell.streams.core.kinds import default_source
from fanbell.streams.core.route import Route
from fanbell.streams.framed import Framed
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.registry import Registry, Unusable
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots_memory import MemorySnapshots
from tests.streams.schema_registry import SchemaRegistry, schema_registry

pytestmark = pytest.mark.anyio
NOW_MS = 1_760_000_000_000
LIKE = Activity("1", "like", "bob", "p", owner="ana")

FOREIGN = {
    "type": "record",
    "name": "SocialAction",
    "namespace": "com.example.social",
    "fields": [
        {"name": "actor", "type": "string"},
        {"name": "kind", "type": "string"},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "object", "type": "string"},
        {"name": "owner", "type": "string"},
        {"name": "shop", "type": ["null", "int"], "default": None},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
"""Another name, another order, one field that we do not have and some that it does not, strings where we have optional
ones."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[SchemaRegistry]:
    with schema_registry() as made:
        yield made


@pytest.fixture
async def registry(server: SchemaRegistry) -> AsyncIterator[Registry]:
    opened = Registry.open(server.url)
    yield opened
    await opened.aclose()


def framed(server: SchemaRegistry, schema: Any, fields: dict[str, Any], topic: str = ACTIVITIES) -> bytes:
    """What Confluent's serializer makes of `fields`; it registers the schema."""
    client = SchemaRegistryClient({"url": server.url})
    text = schema if isinstance(schema, str) else module.json.dumps(schema)
    serialize = AvroSerializer(client, text)
    return serialize(fields, SerializationContext(topic, MessageField.VALUE))  # type: ignore[return-value]


def like_fields() -> dict[str, Any]:
    return {name: getattr(LIKE, name) for name in Activity.__struct_fields__}


def record(value: bytes, offset: int = 0) -> Record:
    return Record(offset, value, NOW_MS)


async def translated(registry: Registry, *values: bytes, topic: str = ACTIVITIES) -> list[bytes]:
    records = [record(value, offset) for offset, value in enumerate(values)]
    found = await Framed(topic, registry).translate(records)
    assert [(one.offset, one.timestamp_ms) for one in found] == [(n, NOW_MS) for n in range(len(values))]
    return [one.value for one in found]


async def test_our_schema_in_a_registry(server: SchemaRegistry, registry: Registry) -> None:
    """An activity that Confluent's serializer wrote by our schema is the activity, byte by byte."""
    value = framed(server, schema_json("Activity"), like_fields())
    assert value[:1] == b"\0"

    assert await translated(registry, value, encode(LIKE)) == [encode(LIKE), encode(LIKE)]


async def test_a_schema_of_their_own(server: SchemaRegistry, registry: Registry) -> None:
    """A writer's own record is taken by the names of its fields: what we lack is left out, what it lacks is absent."""
    fields = {"actor": "bob", "kind": "like", "id": "0" * 8, "object": "p", "owner": "ana", "shop": 3}

    (value,) = await translated(registry, framed(server, FOREIGN, {**fields, "occurred_at": NOW_MS}))

    assert decode(value) == Activity("0" * 8, "like", "bob", "p", owner="ana", occurred_at=NOW_MS)


async def test_changes(server: SchemaRegistry, registry: Registry) -> None:
    """What stands in `changes` is read as a change, preferences and all."""
    fields = {"id": "c", "kind": "preferences", "user": "ana"}
    wish = {"kind": "like", "channel": "inbox", "scope": "*", "value": "off"}

    (value,) = await translated(
        registry,
        framed(server, schema_json("Change"), {**fields, "preferences": [wish]}, CHANGES),
        topic=CHANGES,
    )

    assert decode(value) == Change(**fields, preferences=[Preference("like", "inbox", "*", "off")])


async def test_json_that_is_framed(server: SchemaRegistry, registry: Registry) -> None:
    """Of a JSON schema only the frame is taken off."""
    id_ = server.register({"type": "object"}, schemaType="JSON")

    assert await translated(registry, b"\0" + id_.to_bytes(4, "big") + b'{"id": "1"}') == [b'{"id": "1"}']


async def test_a_schema_is_asked_for_once(server: SchemaRegistry, registry: Registry) -> None:
    """However many partitions meet an id at once, the registry is asked for it once."""
    value = framed(server, schema_json("Activity"), like_fields())
    server.asked.clear()

    await asyncio.gather(*(translated(registry, value, value) for _ in range(5)))

    assert server.asked == [("GET", "/schemas/ids/1")]


async def test_what_is_kept_is_bounded(
    server: SchemaRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many schemas those used last are kept; one that was dropped is asked for again."""
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    for n in range(3):
        server.register({"type": "record", "name": f"A{n}", "fields": []})

    for id_ in (1, 2, 1, 3, 1, 2):
        await registry.written(id_)

    assert [path[-1] for _, path in server.asked] == ["1", "2", "3", "2"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\0\0\0\0\x09abc", "knows no schema 9"),
        (b"\0\0\0\0\x01\xff\xff\xff", "does not fit Activity"),
        (b"\0\0\0\0\x02\x02a", "does not fit Activity"),
        (b"\0\0\0\0\x03a", "of type PROTOBUF"),
        (b"\0\0\0\0\x04a", "refers to other schemas"),
        (b"\0\0\0\0\x05a", "cannot be parsed"),
    ],
)
async def test_what_cannot_be_read_stays_as_it_stands(
    server: SchemaRegistry, registry: Registry, value: bytes, said: str
) -> None:
    """An id that the registry does not know, a body that is none: the record stays, and the log says why."""
    server.register(schema_json("Activity"))
    server.register({"type": "record", "name": "Activity", "fields": [{"name": "id", "type": "string"}]})
    server.register("syntax = 'proto3';", schemaType="PROTOBUF")
    server.register({"type": "record", "name": "A", "fields": []}, references=[{"name": "b"}])
    server.register("{")

    with capture_logs() as logs:
        assert await translated(registry, value) == [value]

    assert [(one["event"], said in one["error"]) for one in logs] == [("record_not_readable", True)]


async def test_an_unknown_id_is_waited_for(
    server: SchemaRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Registries follow each other: an id that one of them does not know yet holds the partition until the record is a
    minute old, so that the fold decides the same now and in a replay. After that it is garbage, and stays as it stands.
    """
    monkeypatch.setattr(module, "UNKNOWN_S", 0.0)
    clock = iter([NOW_MS - 59_999, NOW_MS, NOW_MS + 59_999, NOW_MS + 59_999, NOW_MS + 60_000])
    framing = Framed(ACTIVITIES, registry, lambda: next(clock))
    value = framed(server, schema_json("Activity"), like_fields())
    unknown = value.replace(b"\0\0\0\x01", b"\0\0\0\x02", 1)
    for _ in range(3):
        with pytest.raises(LogFailed, match=r"knows no schema 2.*waited for"):
            await framing.translate([record(value), record(unknown, 1)])
    server.register(schema_json("Activity") | {"doc": "of another version"})
    assert [one.value for one in await framing.translate([record(value), record(unknown, 1)])] == [
        encode(LIKE),
        encode(LIKE),
    ]

    garbage = record(b"\0\0\0\0\x09abc")
    with pytest.raises(LogFailed):
        await framing.translate([garbage])
    assert await framing.translate([garbage]) == [garbage]


async def test_a_clock_that_is_ahead_holds_nothing_up(registry: Registry) -> None:
    """A record by an unknown schema whose producer's clock is off by more than that minute is not waited for."""
    garbage = record(b"\0\0\0\0\x09abc")
    framing = Framed(ACTIVITIES, registry, lambda: NOW_MS - 60_000)

    assert await framing.translate([garbage]) == [garbage]


async def test_a_record_with_bytes_left_over_is_none(server: SchemaRegistry, registry: Registry) -> None:
    """Bytes after a record mean that it was not read as it was written."""
    value = framed(server, schema_json("Activity"), like_fields())

    assert await translated(registry, value + b"\0") == [value + b"\0"]


async def test_an_unknown_id_is_not_asked_for_at_once_again(
    server: SchemaRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of records by an unknown schema does not become a stream of requests; later it may be known."""
    for _ in range(3):
        with pytest.raises(Unusable):
            await registry.written(1)
    assert len(server.asked) == 1
    server.register(schema_json("Activity"))
    monkeypatch.setattr(module, "UNKNOWN_S", 0.0)

    assert (await registry.written(1)).avro is not None


@pytest.mark.parametrize(
    "trouble",
    [
        (500, b"{}"),
        (401, b'{"error_code": 401}'),
        (404, b"<html>a proxy</html>"),
        (200, b"{}"),
        (200, b"[" * 100_000),
        (200, b"x" * (2 << 20)),
    ],
    ids=["error", "login", "other server", "no schema", "deep", "endless"],
)
async def test_a_registry_in_trouble_stops_and_loses_nothing(
    server: SchemaRegistry, registry: Registry, trouble: tuple[int, bytes]
) -> None:
    """While the registry does not say what an id is, nobody guesses: the partition stops, and later goes on."""
    value = framed(server, schema_json("Activity"), like_fields())
    server.trouble = trouble
    with pytest.raises(LogFailed, match="schemas/ids/1"):
        await translated(registry, value)
    server.trouble = None

    assert await translated(registry, value) == [encode(LIKE)]


async def test_a_registry_that_is_away() -> None:
    """One that cannot be reached at all is the same."""
    with schema_registry() as server:
        away = Registry.open(server.url)
    try:
        with pytest.raises(LogFailed, match="does not answer"):
            await translated(away, b"\0\0\0\0\x01a")
    finally:
        await away.aclose()


async def test_a_registry_with_a_login() -> None:
    """User and password are those of HTTP."""
    with schema_registry("ben:secret") as server:
        server.register(schema_json("Activity"))
        for password, knows in (("secret", True), ("wrong", False)):
            registry = Registry.open(server.url + "/", "ben", password)
            try:
                if knows:
                    assert (await registry.written(1)).avro is not None
                else:
                    with pytest.raises(LogFailed, match="schema_registry_password"):
                        await registry.written(1)
            finally:
                await registry.aclose()


@pytest.mark.parametrize("url", ["registry:8081", "ftp://registry", "http://", "x"])
def test_an_address_that_is_none(url: str) -> None:
    """An address that is none of HTTP is refused before anything runs."""
    with pytest.raises(ValueError, match="schema_registry_url must be"):
        Registry.open(url)


async def test_replicas_fold_what_was_framed(server: SchemaRegistry, registry: Registry) -> None:
    """
    A replica that is handed framed records, or reads them from the log itself, puts out what it would for ours; another
    one that folds the log anew puts out the same; unreadable ones are dead letters as they stand.
    """
    value = framed(server, schema_json("Activity"), like_fields())
    log, plain = MemoryLog(1), MemoryLog(1)
    rules = encode(Rules(1, 1, default_source(), NOW_MS))
    bad = b"\0\0\0\0\x63bad"
    await log.append(ACTIVITIES, 0, [Entry(one, NOW_MS) for one in (rules, value, bad)])
    await plain.append(ACTIVITIES, 0, [Entry(one, NOW_MS) for one in (rules, encode(LIKE), bad)])
    outs = []
    for which in (log, plain, log):
        replica = Replica(
            ACTIVITIES, 0, which, MemorySnapshots(), lambda: Route(0, 1), lambda data: Route.load(0, 1, data),
            Framed(ACTIVITIES, registry).translate,
        )  # fmt: skip
        await replica.open()
        before = [await which.end(topic, 0) for topic in (ROUTED, DEAD)]
        await replica.advance(
            (await which.read(ACTIVITIES, 0, 2, 10)) if which is log else await replica.missing()
        )
        outs.append(
            [
                [one.value for one in await which.read(topic, 0, begin, 100)]
                for topic, begin in zip((ROUTED, DEAD), before, strict=True)
            ]
        )

    assert outs[0] == outs[1] == outs[2]
    (dead,) = (decode(one) for one in outs[0][1])
    assert isinstance(dead, Dead)
    assert (dead.reason, dead.value) == ("undecodable", bad)
    assert "schema id 99" in dead.detail


async def test_without_a_registry_it_is_a_dead_letter() -> None:
    """Where none is configured a framed change is put aside, with what to configure."""
    (output,) = Forwarding(0, 1).step(record(b"\0\0\0\0\x01abc"))

    assert "schema_registry_url" in decode(output.value).detail
