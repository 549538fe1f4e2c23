"""Avro in and out of the log.

A log record is Avro single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes, little endian),
then the record in Avro binary (Apache Avro specification, "Single-object encoding"). A *body* is the same without the
ten bytes before it. Names of recipients are kept packed (as Avro strings) and joined, never encoded one by one.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from msgspec import Struct
from msgspec.structs import asdict

from fanbell import schemas
from fanbell.schemas.records import (
    RECORDS,
    Activity,
    Ask,
    Audience,
    Change,
    Command,
    Content,
    Outcome,
    Preference,
    Presence,
    Present,
    Silenced,
)

_FOLDER: Final = Path(schemas.__path__[0])  # this file may lie elsewhere, compiled
AVRO_DIR: Final = _FOLDER / "avro"
RELEASED_DIR: Final = _FOLDER / "released"
MAGIC: Final = b"\xc3\x01"
HEADER_BYTES: Final = 10

R = TypeVar("R", bound=Struct)


class Undecodable(ValueError):
    """The bytes are not a record that we know; the message says where they stop making sense."""


def written_out(schema: Any, folder: Path) -> Any:
    """`schema` (JSON) with the records that it names, `fanbell.Ask` and so on, written out where first named."""
    seen: set[str] = set()

    def out(node: Any) -> Any:
        if isinstance(node, str) and node.startswith("fanbell."):
            if node in seen:
                return node
            seen.add(node)
            return out(json.loads((folder / f"{node.removeprefix('fanbell.').lower()}.avsc").read_text()))
        if isinstance(node, list):
            return [out(item) for item in node]
        if isinstance(node, dict):
            inner = ("type", "items", "fields")
            return {key: out(value) if key in inner else value for key, value in node.items()}
        return node

    return out(schema)


def schema_json(name: str, folder: Path = AVRO_DIR) -> dict[str, Any]:
    """The schema of the record `name` as JSON, the records that it names written out where first named."""
    return cast(dict[str, Any], written_out(f"fanbell.{name}", folder))


def parsed(name: str, folder: Path = AVRO_DIR) -> dict[str, Any]:
    """The schema of the record `name` as fastavro wants it."""
    return cast(dict[str, Any], fastavro.parse_schema(schema_json(name, folder)))


def header_of(schema: dict[str, Any]) -> bytes:
    """The ten bytes before a single-object record of `schema`. (fastavro's hex is little endian already.)"""
    return MAGIC + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


SCHEMAS: Final = {cls: parsed(cls.__name__) for cls in RECORDS}
HEADERS: Final = {cls: header_of(SCHEMAS[cls]) for cls in RECORDS}
_write = fastavro.schemaless_writer
_read = fastavro.schemaless_reader


def _change_of(fields: dict[str, Any]) -> Change:
    if fields["preferences"] is not None:
        fields["preferences"] = [Preference(**item) for item in fields["preferences"]]
    return Change(**fields)


def _ask_of(fields: dict[str, Any]) -> Ask:
    fields["audiences"] = [Audience(**item) for item in fields["audiences"]]
    return Ask(**fields)


def _command_of(fields: dict[str, Any]) -> Command:
    fields["ask"] = _ask_of(fields["ask"])
    return Command(**fields)


def _outcome_of(fields: dict[str, Any]) -> Outcome:
    fields["silenced"] = [Silenced(**item) for item in fields["silenced"]]
    return Outcome(**fields)


def _presence_of(fields: dict[str, Any]) -> Presence:
    fields["here"] = [Present(**item) for item in fields["here"]]
    return Presence(**fields)


def _maker(cls: type[Struct]) -> Callable[[dict[str, Any]], Struct]:
    nested = {
        Change: _change_of,
        Ask: _ask_of,
        Command: _command_of,
        Outcome: _outcome_of,
        Presence: _presence_of,
    }
    return nested.get(cls) or (lambda fields: cls(**fields))


_MAKERS: Final = {cls: _maker(cls) for cls in RECORDS}


def made_of(cls: type[Struct], fields: dict[str, Any]) -> Struct:
    """The record of class `cls` with the fields as fastavro reads them by our schema, every one."""
    return _MAKERS[cls](fields)


class _Reader:
    """How to read records written with one schema: ours, or an older one of ours."""

    def __init__(self, cls: type[Struct], writer: dict[str, Any]) -> None:
        self.cls = cls
        self.make = _MAKERS[cls]
        self.writer = writer
        self.reader = None if writer is SCHEMAS[cls] else SCHEMAS[cls]

    def body(self, data: bytes) -> Struct:
        source = BytesIO(data)
        record = self.make(cast(dict[str, Any], _read(source, self.writer, self.reader)))
        if source.tell() != len(data):
            raise ValueError(f"{len(data) - source.tell()} bytes are left over")
        return record


def released_shapes(folder: Path) -> Iterator[tuple[type[Struct], dict[str, Any]]]:
    """Every shape that was ever released: the class it is read as, and its schema.

    `activity.avsc` is the shape of the latest release, `activity.v1.avsc` and so on are those of earlier ones. An
    earlier one writes out the records in it that have changed as well.
    """
    classes = {cls.__name__.lower(): cls for cls in RECORDS}
    for path in sorted(folder.glob("*.avsc")):
        cls = classes[path.name.split(".")[0]]
        if path.stem == cls.__name__.lower():
            yield cls, parsed(cls.__name__, folder)
        else:
            schema = written_out(json.loads(path.read_text()), folder)
            yield cls, cast(dict[str, Any], fastavro.parse_schema(schema))


def readers(folder: Path) -> dict[bytes, _Reader]:
    """By header, how to read records of today's shapes and of those released in `folder`: readable for ever."""
    found = {HEADERS[cls]: _Reader(cls, SCHEMAS[cls]) for cls in RECORDS}
    for cls, shape in released_shapes(folder):
        found.setdefault(header_of(shape), _Reader(cls, shape))
    return found


_READERS: Final = readers(RELEASED_DIR)


def _fields(record: Struct) -> dict[str, Any]:
    fields = asdict(record)
    if type(record) is Change and record.preferences is not None:
        fields["preferences"] = [asdict(item) for item in record.preferences]
    elif type(record) is Ask:
        fields["audiences"] = [asdict(item) for item in record.audiences]
    elif type(record) is Command:
        fields["ask"] = _fields(record.ask)
    elif type(record) is Outcome:
        fields["silenced"] = [asdict(item) for item in record.silenced]
    elif type(record) is Presence:
        fields["here"] = [asdict(item) for item in record.here]
    return fields


def encode_body(record: Struct) -> bytes:
    """`record` in Avro binary, without the header."""
    out = BytesIO()
    _write(out, SCHEMAS[type(record)], _fields(record))
    return out.getvalue()


def encode(record: Struct) -> bytes:
    """`record` in Avro single-object encoding."""
    out = BytesIO()
    out.write(HEADERS[type(record)])
    _write(out, SCHEMAS[type(record)], _fields(record))
    return out.getvalue()


def decode_body(cls: type[R], data: bytes) -> R:
    """The record of class `cls` whose Avro binary is `data`. Raises Undecodable."""
    try:
        return cast(R, _READERS[HEADERS[cls]].body(data))
    except Exception as error:
        raise Undecodable(f"{cls.__name__}: {type(error).__name__}: {error}") from error


def decode(data: bytes) -> Any:
    """The record whose single-object encoding is `data`: one of `RECORDS`. Raises Undecodable."""
    reader = _READERS.get(data[:HEADER_BYTES])
    if reader is None:
        if data[:1] == b"\0" and len(data) >= 5:
            raise Undecodable(
                f"is framed for a schema registry, with schema id {int.from_bytes(data[1:5], 'big')}, and none that is "
                "configured (schema_registry_url) could tell what it is"
            )
        if data[:2] != MAGIC:
            begins = data[:2].hex(" ") or "nothing"
            raise Undecodable(f"starts with {begins}, not with c3 01 (Avro single-object encoding)")
        raise Undecodable(f"no schema of ours has the fingerprint {data[2:HEADER_BYTES].hex()}")
    try:
        return reader.body(data[HEADER_BYTES:])
    except Exception as error:
        raise Undecodable(f"{reader.cls.__name__}: {type(error).__name__}: {error}") from error


def kind_of_record(data: bytes) -> type[Struct] | None:
    """The class of the record that `data` encodes, by its header alone; None if it is none of ours."""
    reader = _READERS.get(data[:HEADER_BYTES])
    return reader.cls if reader else None


def zigzag(value: int) -> bytes:
    """`value` as an Avro long (Apache Avro specification, "Binary encoding")."""
    value = (value << 1) ^ (value >> 63)
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x20_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if value < 0x1000_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21))
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def long_at(data: bytes, at: int) -> tuple[int, int]:
    """The Avro long at `data[at]`, and where it ends. Raises IndexError if it does not, or is none of 64 bits."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            break
    raise IndexError("a number of more than 64 bits")


_ONE_BYTE: Final = [bytes((value,)) for value in range(0x80)]


def pack(name: str) -> bytes:
    """`name` as an Avro string."""
    data = name.encode()
    return zigzag(len(data)) + data


def unpack(name: bytes) -> str:
    """The name whose Avro string is `name`. An id has at most 256 bytes, so its length takes one or two."""
    return name[1 if name[0] < 0x80 else 2 :].decode()


@lru_cache(maxsize=16)  # in one process the runner looks at it, and stage 1 right after
def activity_of(data: bytes) -> Activity:
    """The Activity whose single-object encoding is `data`; shared, not to be changed. Raises Undecodable."""
    return decode_body(Activity, data[HEADER_BYTES:])


@lru_cache(maxsize=256)  # one Ask goes to every partition, and a process holds several: decoded once
def ask_of(data: bytes) -> Ask:
    """The Ask whose Avro binary is `data`; shared, not to be changed. Raises Undecodable."""
    return decode_body(Ask, data)


@lru_cache(maxsize=256)
def content_of(data: bytes) -> Content:
    """The Content whose Avro binary is `data`; shared, not to be changed. Raises Undecodable."""
    return decode_body(Content, data)
