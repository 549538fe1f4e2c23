"""Records in and out of bytes: nothing is lost, nothing else is taken for a record, old ones stay readable."""

import json
import shutil
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from fanbell.schemas import codec
from fanbell.schemas.codec import Undecodable
from fanbell.schemas.records import (
    RECORDS,
    Activity,
    Ask,
    Audience,
    Command,
    Content,
    Notice,
    Preference,
    Tick,
)
from tests.schemas.records import any_record

LIKE = Activity(
    id="a1", kind="like", actor="ben", object="post:1", mentions=["cleo"], data=b"{}", occurred_at=5
)
CONTENT = Content("a1", "like", "ben", "post:1", None, None, None, b"{}", None, 5, None)
NOTICE = Notice(7, 1, 6, 0, 40, "post", codec.encode_body(CONTENT), [])

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


@given(record=any_record)
def test_what_is_encoded_is_decoded(record: Struct) -> None:
    """Every record of every class comes back equal, with its header and without."""
    data = codec.encode(record)

    assert codec.decode(data) == record
    assert codec.decode_body(type(record), data[codec.HEADER_BYTES :]) == record
    assert codec.encode_body(record) == data[codec.HEADER_BYTES :]
    assert codec.kind_of_record(data) is type(record)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_the_header_is_single_object_encoding(cls: type[Struct]) -> None:
    """A record begins with C3 01 and its schema's CRC-64-AVRO, little endian, computed here bit by bit."""
    canonical = fastavro.schema.to_parsing_canonical_form(codec.SCHEMAS[cls]).encode()
    empty = fingerprint = 0xC15D213AA4D7A795
    for byte in canonical:
        fingerprint ^= byte
        for _ in range(8):
            fingerprint = (fingerprint >> 1) ^ (empty if fingerprint & 1 else 0)

    assert codec.HEADERS[cls] == b"\xc3\x01" + fingerprint.to_bytes(8, "little")


def test_each_class_has_its_own_header() -> None:
    """A record's class is told by its header alone."""
    assert len(set(codec.HEADERS.values())) == len(RECORDS)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "starts with nothing, not with c3 01"),
        (b"{}", "starts with 7b 7d, not with c3 01"),
        (b"\xc3\x01", "no schema of ours has the fingerprint"),
        (b"\xc3\x01" + bytes(8), "no schema of ours has the fingerprint 0000000000000000"),
        (codec.HEADERS[Tick], "Tick: "),
        (codec.encode(Tick(5)) + b"?", "Tick: ValueError: 1 bytes are left over"),
        (codec.encode(LIKE)[:-3], "Activity: "),
    ],
)
def test_what_is_no_record_is_said(data: bytes, said: str) -> None:
    """Bytes that are not a record are Undecodable, with where they stop making sense."""
    with pytest.raises(Undecodable, match=said):
        codec.decode(data)


@given(cls=st.sampled_from(RECORDS), body=st.binary(max_size=60))
def test_any_bytes_are_a_record_or_undecodable(cls: type[Struct], body: bytes) -> None:
    """Whatever the bytes, decoding ends in a record or in Undecodable, nothing else."""
    with suppress(Undecodable):
        assert type(codec.decode(codec.HEADERS[cls] + body)) is cls


def test_a_record_cut_anywhere_is_undecodable() -> None:
    """No beginning of a record is a record."""
    data = codec.encode(LIKE)

    for length in range(len(data)):
        with pytest.raises(Undecodable):
            codec.decode(data[:length])


# What is written and read by hand


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_avro_longs(value: int) -> None:
    """Our zigzag is Avro's."""
    out = BytesIO()
    fastavro.schemaless_writer(out, "long", value)

    assert codec.zigzag(value) == out.getvalue()


@given(name=names)
def test_names_are_avro_strings(name: str) -> None:
    """A packed name is an Avro string, and is unpacked to itself."""
    out = BytesIO()
    fastavro.schemaless_writer(out, "string", name)

    assert codec.pack(name) == out.getvalue()
    assert codec.unpack(codec.pack(name)) == name


@pytest.mark.parametrize("size", [1, 63, 64, 255, 256])
def test_names_of_every_size(size: int) -> None:
    """Lengths of one and of two bytes are told apart."""
    assert codec.unpack(codec.pack("x" * size)) == "x" * size


def test_content_is_read_once() -> None:
    """The same bytes give the same, shared, Content and Ask."""
    data = codec.encode_body(CONTENT)
    ask = codec.encode_body(Ask(1, 5, "announce", None, data, [Audience("post", "ben")]))

    assert codec.content_of(data) == CONTENT
    assert codec.content_of(bytes(bytearray(data))) is codec.content_of(data)
    assert codec.ask_of(bytes(bytearray(ask))) is codec.ask_of(ask)


# Shapes of earlier releases


def released_with(tmp_path: Path, name: str, shape: dict[str, Any]) -> Path:
    """The folder of released shapes, with one more in it."""
    folder = tmp_path / "released"
    shutil.copytree(codec.RELEASED_DIR, folder)
    (folder / name).write_text(json.dumps(shape))
    return folder


def written(shape: dict[str, Any], fields: dict[str, Any]) -> bytes:
    """What an older Fanbell wrote: `fields` in its shape of a record."""
    schema = fastavro.parse_schema(shape)
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, fields)
    return codec.header_of(schema) + out.getvalue()


def without(shape: dict[str, Any], field: str) -> dict[str, Any]:
    return shape | {"fields": [item for item in shape["fields"] if item["name"] != field]}


def test_records_of_an_older_shape_are_read(tmp_path: Path) -> None:
    """An activity written before `by_operator` was a field is read, and was not by an operator."""
    older = without(codec.schema_json("Activity"), "by_operator")
    fields = {name: getattr(LIKE, name) for name in LIKE.__struct_fields__ if name != "by_operator"}
    data = written(older, fields)
    with pytest.raises(Undecodable, match="no schema of ours"):
        codec.decode(data)

    reader = codec.readers(released_with(tmp_path, "activity.v1.avsc", older))[data[: codec.HEADER_BYTES]]

    assert reader.body(data[codec.HEADER_BYTES :]) == LIKE


def test_records_with_a_field_that_is_gone_are_read(tmp_path: Path) -> None:
    """A preference written with a field that later went is read without it."""
    older = codec.schema_json("Preference")
    older["fields"].insert(0, {"name": "why", "type": "string", "default": ""})
    wish = Preference("like", "push", "*", "off")
    data = written(
        older, {"why": "too many", **{name: getattr(wish, name) for name in wish.__struct_fields__}}
    )

    reader = codec.readers(released_with(tmp_path, "preference.v1.avsc", older))[data[: codec.HEADER_BYTES]]

    assert reader.body(data[codec.HEADER_BYTES :]) == wish


def test_an_older_shape_inside_another_is_read(tmp_path: Path) -> None:
    """A command written with an Ask that had no `why` is read: an earlier shape writes out what changed in it."""
    older = codec.schema_json("Command")
    older["fields"][-1]["type"] = without(older["fields"][-1]["type"], "why")
    ask = {"rules": 1, "time_ms": 5, "op": "announce", "content": b"c", "audiences": [{"reason": "post"}]}
    data = written(older, {"source": 0, "n": 1, "index": 2, "prev_n": -1, "prev_index": -1, "ask": ask})

    reader = codec.readers(released_with(tmp_path, "command.v1.avsc", older))[data[: codec.HEADER_BYTES]]

    expected = Command(0, 1, 2, -1, -1, Ask(1, 5, "announce", None, b"c", [Audience("post")]))
    assert reader.body(data[codec.HEADER_BYTES :]) == expected


def test_every_released_shape_is_read() -> None:
    """Whatever is in the folder of released shapes has a reader."""
    shapes = list(codec.released_shapes(codec.RELEASED_DIR))

    assert {cls for cls, _ in shapes} == set(RECORDS)
    for cls, shape in shapes:
        assert codec.kind_of_record(codec.header_of(shape)) is cls
