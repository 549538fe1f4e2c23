"""What producers write is parsed strictly, and every fault is told by field."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.schemas import limits
from fanbell.schemas.parse import (
    ERRORS_MAX,
    FIELD_CHARS_MAX,
    FIELDS,
    Invalid,
    data_fault_or_bytes,
    id_fault,
    parse_activity,
    parse_json,
    parse_preferences,
    time_fault_or_ms,
)
from fanbell.schemas.records import Activity, Preference

LIKE = {"id": "a1", "kind": "like", "actor": "ben", "object": "post:1"}
NOON_MS = 1_769_860_800_000  # 2026-01-31T12:00:00Z


def faults(**fields: Any) -> dict[str, str]:
    """What is wrong with a like that has `fields` beside its own, by field."""
    with pytest.raises(Invalid) as found:
        parse_activity(LIKE | fields)
    return dict(found.value.errors)


# JSON


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
        (b' "\\u00e9\\ud83d\\ude00" ', "é😀"),
        (b"{}", {}),
    ],
)
def test_json_is_parsed(data: bytes, value: Any) -> None:
    """JSON in UTF-8 gives its value; a pair of surrogates is one character."""
    assert parse_json(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"01",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\\ud800\\u0041"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"a\x00b"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "{}".encode("utf-16"),
    ],
    ids=repr,
)
def test_what_is_not_strictly_json_is_refused(data: bytes) -> None:
    """Duplicate keys, NaN, lone surrogates, other encodings, endless depth: refused, never guessed at."""
    with pytest.raises(Invalid, match="not valid JSON") as found:
        parse_json(data)

    assert found.value.errors[0][0] == ""


@given(data=st.binary(max_size=60))
def test_any_bytes_are_json_or_invalid(data: bytes) -> None:
    """Whatever is sent, it parses or is Invalid; what parses is what Python's parser sees."""
    try:
        value = parse_json(data)
    except Invalid:
        return
    assert value == json.loads(data) or "e" in data.decode().lower()


# ids


@pytest.mark.parametrize(
    "value",
    ["a", "post:1", "../etc/passwd", "' OR 1=1", "<b>", "*", "null", "é", "日本", "😀", "a b", " ", "%00", "{}",
     "x" * 256, "é" * 128, "\u200b", "\u202e", "\ufeff", "\u2028"],
)  # fmt: skip
def test_ids_are_any_text(value: str) -> None:
    """An id is opaque: anything printable or not, as long as it has no control characters."""
    assert id_fault(value) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "must not be empty"),
        (None, "must be a string, not null"),
        (1, "must be a string, not a number"),
        (1.5, "must be a string, not a number"),
        (True, "must be a string, not a boolean"),
        ([], "must be a string, not an array"),
        ({}, "must be a string, not an object"),
        ("x" * 257, "has 257 bytes of UTF-8, at most 256 are allowed"),
        ("é" * 129, "has 258 bytes of UTF-8, at most 256 are allowed"),
        ("a\x00b", "must not contain control characters (found U+0000)"),
        ("a\n", "must not contain control characters (found U+000A)"),
        ("\x7f", "must not contain control characters (found U+007F)"),
        ("é\x85", "must not contain control characters (found U+0085)"),
        ("\ud800", "must not contain lone surrogates"),
    ],
)
def test_what_is_no_id(value: object, said: str) -> None:
    """The fault of an id says what was found and what is allowed."""
    assert id_fault(value) == said


@pytest.mark.parametrize("field", ["id", "kind", "actor", "object", "owner", "target", "thread", "scope"])
def test_every_id_of_an_activity_is_checked(field: str) -> None:
    """No field that is an id takes what is none."""
    assert faults(**{field: "a\tb"}) == {field: "must not contain control characters (found U+0009)"}
    assert faults(**{field: 7}) == {field: "must be a string, not a number"}


# Times


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("2026-01-31T12:00:00Z", NOON_MS),
        ("2026-01-31t12:00:00z", NOON_MS),
        ("2026-01-31T14:00:00+02:00", NOON_MS),
        ("2026-01-31T04:30:00-07:30", NOON_MS),
        ("2026-01-31T12:00:00-00:00", NOON_MS),
        ("2026-01-31T12:00:00.5Z", NOON_MS + 500),
        ("2026-01-31T12:00:00.123456789Z", NOON_MS + 123),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2099-12-31T23:59:59.999Z", limits.TIME_MAX_MS - 1),
        (NOON_MS, NOON_MS),
        (0, 0),
    ],
)
def test_times(value: object, ms: int) -> None:
    """RFC 3339 with an offset, or Unix milliseconds."""
    assert time_fault_or_ms(value) == ms


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2026", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "20260131T120000Z",
        "2026-W05-6T12:00:00Z", "2026-031T12:00:00Z", "2026-01-31T12Z", "2026-01-31T12:00Z",
        "2026-01-31T12:00:00+02", "2026-01-31T12:00:00+0200", "2026-01-31T12:00:00+02:00:30",
        "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00Z\n", " 2026-01-31T12:00:00Z",
        "２０26-01-31T12:00:00Z", "+2026-01-31T12:00:00Z", "2026-01-31T12:00:00 Z",
        None, True, 1.7e12, "1769860800000", [], {},
    ],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    """Nothing wider than RFC 3339 passes, and the fault shows how a time is written."""
    assert "must be RFC 3339 with an offset, such as 2026-01-31T12:00:00Z" in str(time_fault_or_ms(value))


@pytest.mark.parametrize(
    "value",
    ["2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z",
     "0000-01-01T00:00:00Z", "2026-01-31T12:00:00+24:00"],
)  # fmt: skip
def test_times_that_never_are(value: str) -> None:
    """What has the form of a time but names none is told apart."""
    assert str(time_fault_or_ms(value)).startswith("is no time: ")


@pytest.mark.parametrize(
    "value",
    [-1, limits.TIME_MAX_MS, 10**30, -(10**30), "1969-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00+00:01"],
)  # fmt: skip
def test_times_out_of_bounds(value: object) -> None:
    """Times before 1970 and from 2100 on are refused: they would stop a partition's clock, or run it away."""
    assert time_fault_or_ms(value) == "must lie between 1970 and 2100"


@pytest.mark.parametrize("field", ["occurred_at", "deliver_at", "expires_at"])
def test_every_time_of_an_activity_is_checked(field: str) -> None:
    """No field that is a time takes what is none; what is one becomes Unix milliseconds."""
    assert "must be RFC 3339" in faults(**{field: "tomorrow"})[field]
    assert getattr(parse_activity(LIKE | {field: "2026-01-31T12:00:00Z"}), field) == NOON_MS


# data


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({}, b"{}"),
        ({"title": "Ünï <b>", "n": [1, {"x": None}]}, '{"title":"Ünï <b>","n":[1,{"x":null}]}'.encode()),
        ({"big": 2**64 - 1, "low": -(2**63)}, b'{"big":18446744073709551615,"low":-9223372036854775808}'),
    ],
)
def test_data_is_kept_as_compact_json(value: object, data: bytes) -> None:
    """`data` is any JSON object, kept in its own order."""
    assert data_fault_or_bytes(value) == data


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "must be a JSON object, not an array"),
        ("{}", "must be a JSON object, not a string"),
        ({"a": float("inf")}, "has a number too large for JSON readers"),
        ({"a": [{"b": float("nan")}]}, "has a number too large for JSON readers"),
        ({"a": 2**64}, "has a number too large for JSON readers"),
        ({"a": -(10**5_000)}, "has a number too large for JSON readers"),
        ({"a": "\ud800"}, "must not contain lone surrogates"),
        ({"\udc00": 1}, "must not contain lone surrogates"),
        ({"a": "x" * 16_377}, "has 16385 bytes as JSON, at most 16384 are allowed"),
    ],
)
def test_what_is_no_data(value: object, said: str) -> None:
    """`data` that readers could not take is refused."""
    assert data_fault_or_bytes(value) == said


def test_data_of_the_largest_size() -> None:
    """16 KiB of JSON, counted as we keep it, are just allowed."""
    assert len(data_fault_or_bytes({"a": "x" * 16_376})) == limits.DATA_BYTES_MAX


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_data_is_nested_16_deep_at_most(opening: str) -> None:
    """Objects and arrays are counted alike, the outermost included."""

    def nested(depth: int) -> object:
        value: object = 1
        for _ in range(depth - 1):
            value = [value] if opening == "[" else {"a": value}
        return {"a": value}

    assert type(data_fault_or_bytes(nested(16))) is bytes
    assert data_fault_or_bytes(nested(17)) == "is nested deeper than 16"


def test_a_huge_number_on_the_wire() -> None:
    """1e999 is JSON, but nobody could read back what it becomes."""
    value = parse_json(b'{"id":"a","kind":"k","actor":"u","object":"o","data":{"n":1e999}}')

    with pytest.raises(Invalid, match="data: has a number too large"):
        parse_activity(value)


# Activities


def test_a_whole_activity() -> None:
    """Every field arrives where it belongs."""
    whole = LIKE | {
        "owner": "ana", "target": "post:0", "thread": "post:0", "scope": "project:1", "mentions": ["cleo"],
        "recipients": ["dora", "emil"], "data": {"a": 1}, "importance": "high", "occurred_at": NOON_MS,
        "deliver_at": "2026-01-31T12:00:00Z", "expires_at": NOON_MS + 1,
    }  # fmt: skip

    assert parse_activity(whole) == Activity(
        "a1", "like", "ben", "post:1", "ana", "post:0", "post:0", "project:1", ["cleo"], ["dora", "emil"],
        b'{"a":1}', "high", NOON_MS, NOON_MS, NOON_MS + 1,
    )  # fmt: skip
    assert set(whole) == set(FIELDS)


def test_null_is_as_absent() -> None:
    """A field that is null is one that was not given."""
    nulls = dict.fromkeys(set(FIELDS) - set(LIKE))

    assert parse_activity(LIKE | nulls) == parse_activity(LIKE) == Activity("a1", "like", "ben", "post:1")


@pytest.mark.parametrize("field", ["id", "kind", "actor", "object"])
def test_what_is_required(field: str) -> None:
    """Without its id, kind, actor or object an activity is none; null does not help."""
    assert faults(**{field: None}) == {field: "is required"}


@pytest.mark.parametrize("value", [None, [], "like", 1, True])
def test_an_activity_is_an_object(value: object) -> None:
    """Anything but a JSON object is refused as a whole."""
    with pytest.raises(Invalid, match="an activity must be a JSON object, not "):
        parse_activity(value)


@pytest.mark.parametrize("field", ["by_operator", "Id", "actor ", "__class__", "", "verb"])
def test_unknown_fields_are_refused(field: str) -> None:
    """A field that does not exist is a mistake to be told; a producer cannot make itself an operator."""
    assert faults(**{field: True})[field].startswith("unknown field; known are id, kind, actor, object")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mentions", "cleo", "must be an array of ids, not a string"),
        ("mentions", {"cleo": 1}, "must be an array of ids, not an object"),
        ("mentions", ["u"] * 51, "has 51 ids, at most 50 are allowed"),
        ("mentions", ["cleo", ""], "[1] must not be empty"),
        ("recipients", ["u"] * 1_001, "has 1001 ids, at most 1000 are allowed"),
        ("recipients", ["u", ["v"]], "[1] must be a string, not an array"),
        ("importance", "urgent", "must be one of high, normal, low"),
        ("importance", ["high"], "must be one of high, normal, low"),
        ("importance", True, "must be one of high, normal, low"),
        ("data", [1], "must be a JSON object, not an array"),
    ],
)
def test_faults_of_other_fields(field: str, value: object, said: str) -> None:
    """Lists, importance and data say what is wrong with them, and where."""
    assert faults(**{field: value}) == {field: said}


def test_all_faults_are_told_at_once() -> None:
    """Whoever has to mend an activity sees everything that is wrong with it."""
    found = faults(id=None, kind=1, actor="", occurred_at="x", data=[], colour="red", mentions=[1])

    assert set(found) == {"id", "kind", "actor", "occurred_at", "data", "colour", "mentions"}


def test_very_many_faults_are_cut_short() -> None:
    """An answer is not larger than its question: so many faults are told, and of a name only its beginning."""
    with pytest.raises(Invalid) as found:
        parse_activity({f"{i:0>1000}": 1 for i in range(1_000)})

    errors = found.value.errors
    assert len(errors) == ERRORS_MAX + 1
    assert errors[-1] == ("", "and 904 more")
    assert max(len(field) for field, _ in errors) == FIELD_CHARS_MAX


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.sampled_from([*FIELDS, "x"]), any_json) | any_json)
def test_any_json_is_an_activity_or_invalid(value: object) -> None:
    """No JSON value makes parsing fail in any other way than with faults by field."""
    with suppress(Invalid):
        parse_activity(value)


# Preferences


def test_preferences() -> None:
    """What is left out of a preference stands for any."""
    items = [{"value": "off"}, {"kind": "like", "channel": "push", "scope": "project:1", "value": "digest"}]

    assert parse_preferences(items) == [
        Preference("*", "*", "*", "off"),
        Preference("like", "push", "project:1", "digest"),
    ]
    assert parse_preferences([]) == []


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({}, {"items": "must be an array of preferences, not an object"}),
        ([{"value": "on"}] * 1_001, {"items": "has 1001 items, at most 1000 are allowed"}),
        (["on"], {"items[0]": "must be an object, not a string"}),
        ([{}], {"items[0].value": "must be one of on, off, digest"}),
        ([{"value": ["on"]}], {"items[0].value": "must be one of on, off, digest"}),
        ([{"value": "on", "kind": ""}], {"items[0].kind": "must not be empty"}),
        ([{"value": "on", "kind": None}], {"items[0].kind": "must be a string, not null"}),
        (
            [{"value": "on", "color": 1}],
            {"items[0].color": "unknown field; known are kind, channel, scope, value"},
        ),
        (
            [{"value": "on", "kind": "like"}, {"value": "off", "channel": "*", "kind": "like"}],
            {"items[1]": "says again what an earlier item says (same kind, channel and scope)"},
        ),
    ],
)
def test_faults_of_preferences(value: object, errors: dict[str, str]) -> None:
    """A fault names the item and its field; two wishes for the same are not decided between."""
    with pytest.raises(Invalid) as found:
        parse_preferences(value)

    assert dict(found.value.errors) == errors


@given(
    value=any_json
    | st.lists(st.dictionaries(st.sampled_from(["kind", "channel", "scope", "value"]), any_json))
)
def test_any_json_is_preferences_or_invalid(value: object) -> None:
    """No JSON value makes parsing fail in any other way than with faults by field."""
    with suppress(Invalid):
        parse_preferences(value)
