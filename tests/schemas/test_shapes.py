"""The Avro files: one record each, every field explained, matched by its class, compatible with what was released."""

import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

import avro.schema
import msgspec
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from fanbell.schemas import codec
from fanbell.schemas.records import RECORDS
from fanbell.schemas.topics import TOPICS

FILES = sorted(codec.AVRO_DIR.glob("*.avsc"))
NAMES = [cls.__name__ for cls in RECORDS]
PLAIN = {"null": type(None), "boolean": bool, "int": int, "long": int, "string": str, "bytes": bytes}


def load(path: Path) -> dict[str, Any]:
    return typing.cast(dict[str, Any], json.loads(path.read_text()))


def python_type(node: Any) -> Any:
    """The annotation that a field of the Avro type `node` has in its class."""
    if isinstance(node, list):
        branches = [python_type(branch) for branch in node]
        return typing.Union[tuple(branches)]  # noqa: UP007 - made of a list
    if isinstance(node, str):
        return PLAIN.get(node) or next(cls for cls in RECORDS if f"fanbell.{cls.__name__}" == node)
    if node["type"] == "array":
        return types.GenericAlias(list, (python_type(node["items"]),))
    if node["type"] == "enum":
        return Literal[tuple(node["symbols"])]
    raise AssertionError(f"no class has a field of {node}")


def compatible(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    """Whether what `writer` wrote can be read as `reader`, as the avro library sees it."""
    found = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    return bool(found.compatibility is SchemaCompatibilityType.compatible)


def test_one_file_for_each_record() -> None:
    """Every class has its file, and every file its class."""
    assert sorted(path.stem for path in FILES) == sorted(name.lower() for name in NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_one_explained_record(path: Path) -> None:
    """A file is one record of ours, in which the record and every field say what they mean."""
    schema = load(path)

    assert (schema["type"], schema["namespace"]) == ("record", "fanbell")
    assert schema["name"].lower() == path.stem
    assert schema["doc"].strip().endswith(".")
    for field in schema["fields"]:
        assert field["doc"].strip().endswith("."), field["name"]
    assert '"type": "record"' not in json.dumps(schema["fields"])  # others are named, not written out


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_a_class_matches_its_schema(cls: type[msgspec.Struct]) -> None:
    """A class has the fields of its schema in the same order, of the same types."""
    fields = load(codec.AVRO_DIR / f"{cls.__name__.lower()}.avsc")["fields"]
    hints = typing.get_type_hints(cls)

    assert list(cls.__struct_fields__) == [field["name"] for field in fields]
    assert {name: hints[name] for name in cls.__struct_fields__} == {
        field["name"]: python_type(field["type"]) for field in fields
    }


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_defaults_agree(cls: type[msgspec.Struct]) -> None:
    """Where a class has a default, its schema has the same one."""
    fields = {
        field["name"]: field for field in load(codec.AVRO_DIR / f"{cls.__name__.lower()}.avsc")["fields"]
    }
    for field in msgspec.structs.fields(cls):
        if field.default_factory is not msgspec.NODEFAULT:
            assert fields[field.name]["default"] == field.default_factory(), field.name
        elif field.default is not msgspec.NODEFAULT:
            assert fields[field.name]["default"] == field.default, field.name


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_avro_to_the_avro_library(name: str) -> None:
    """Every schema is valid to a second implementation, and its canonical form is the same there."""
    schema = avro.schema.parse(json.dumps(codec.schema_json(name)))

    ours = codec.fingerprint(schema.canonical_form, "CRC-64-AVRO")
    assert codec.HEADERS[CLASSES[name]] == codec.MAGIC + bytes.fromhex(ours)


CLASSES = {cls.__name__: cls for cls in RECORDS}


@pytest.mark.parametrize(
    ("cls", "released"),
    list(codec.released_shapes(codec.RELEASED_DIR)),
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_released_shape_is_compatible_both_ways(
    cls: type[msgspec.Struct], released: dict[str, Any]
) -> None:
    """What was written by a released version is read by this one, and what this one writes by a released one."""
    current = codec.schema_json(cls.__name__)
    shape = without_hints(released)

    assert compatible(reader=current, writer=shape)
    assert compatible(reader=shape, writer=current)


def without_hints(schema: Any) -> Any:
    """`schema` without what fastavro noted down in it."""
    if isinstance(schema, dict):
        return {key: without_hints(value) for key, value in schema.items() if not key.startswith("__")}
    return [without_hints(item) for item in schema] if isinstance(schema, list) else schema


def test_the_checker_notices_a_break() -> None:
    """A field without a default, a changed type and a new symbol are each seen as a break."""
    schema = codec.schema_json("Tick")
    added = schema | {"fields": [*schema["fields"], {"name": "x", "type": "int"}]}
    changed = schema | {"fields": [{"name": "time_ms", "type": "string"}]}
    change = codec.schema_json("Change")
    grown = json.loads(json.dumps(change).replace('"both"]', '"both", "none"]'))

    assert not compatible(reader=added, writer=schema)
    assert not compatible(reader=changed, writer=schema)
    assert grown != change
    assert not compatible(reader=change, writer=grown)


def test_released_shapes_are_not_edited() -> None:
    """What was released stays as it was, byte by byte: `released/SHA256SUMS` names every file and its hash."""
    lines = (codec.RELEASED_DIR / "SHA256SUMS").read_text().splitlines()

    listed = dict(reversed(line.split("  ")) for line in lines)

    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in codec.RELEASED_DIR.glob("*.avsc")
    }


def test_topics_carry_records_that_there_are() -> None:
    """The table of topics names classes of records, and each topic once."""
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    for topic in TOPICS:
        assert set(topic.carries) <= set(NAMES), topic.name
