"""What producers write, as JSON: parsed strictly, every fault of an activity named by its field.

Strict means: no duplicate keys, no NaN or Infinity, no lone surrogates, no bytes that are not UTF-8.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jiter
import msgspec

from fanbell.schemas import limits
from fanbell.schemas.records import Activity, Preference

VERBS: Final = ("read", "unread", "seen", "archive", "unarchive", "click")
ASPECTS: Final = ("author", "entity", "thread", "scope")
VALUES: Final = ("on", "off", "digest")
IMPORTANCES: Final = ("high", "normal", "low")

ERRORS_MAX: Final = 100  # told of one item; a body of 2 MiB could have a million of them
FIELD_CHARS_MAX: Final = 300  # of a field's name that are told back

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_TIME_WANTED: Final = "must be RFC 3339 with an offset, such as 2026-01-31T12:00:00Z, or Unix milliseconds"

_JSON_TYPES: Final[dict[type, str]] = {
    dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null",
}  # fmt: skip

FieldError = tuple[str, str]
"""(field, message)"""


class Invalid(ValueError):
    """What is wrong with one item, by field; of very many errors, the first ERRORS_MAX."""

    def __init__(self, errors: list[FieldError]) -> None:
        more = len(errors) - ERRORS_MAX
        errors = [(field[:FIELD_CHARS_MAX], message) for field, message in errors[:ERRORS_MAX]]
        if more > 0:
            errors.append(("", f"and {more} more"))
        super().__init__("; ".join(f"{field}: {message}" if field else message for field, message in errors))
        self.errors = errors


def parse_json(data: bytes) -> Any:
    """The JSON value `data`. Raises Invalid, with line and column in the message."""
    try:
        return jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise Invalid([("", f"not valid JSON: {error}")]) from None


def id_fault(value: object) -> str | None:
    """What is wrong with `value` as an id; None if nothing is."""
    if type(value) is not str:
        return f"must be a string, not {_json_type(value)}"
    if not value:
        return "must not be empty"
    if value.isascii() and value.isprintable() and len(value) <= limits.ID_BYTES_MAX:  # nearly all
        return None
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "must not contain lone surrogates"
    if size > limits.ID_BYTES_MAX:
        return f"has {size} bytes of UTF-8, at most {limits.ID_BYTES_MAX} are allowed"
    for char in value:
        if char < " " or "\x7f" <= char <= "\x9f":
            return f"must not contain control characters (found U+{ord(char):04X})"
    return None


def time_fault_or_ms(value: object) -> int | str:
    """Unix ms of a time in JSON (RFC 3339 with an offset, or Unix ms), or what is wrong with it."""
    if type(value) is int:
        ms = value
    elif type(value) is str:
        if not _RFC3339.fullmatch(value):  # fromisoformat takes much more: weeks, no seconds, no offset
            return _TIME_WANTED
        try:
            moment = datetime.fromisoformat(value.upper())
        except ValueError as error:  # the 31st of February, or a leap second, which no clock of ours can name
            return f"is no time: {error}"
        ms = (moment - _EPOCH) // _MS
    else:
        return _TIME_WANTED
    if not limits.TIME_MIN_MS <= ms < limits.TIME_MAX_MS:
        return "must lie between 1970 and 2100"
    return ms


def data_fault_or_bytes(value: object) -> bytes | str:
    """`data` as compact JSON, or what is wrong with it."""
    if type(value) is not dict:
        return f"must be a JSON object, not {_json_type(value)}"
    fault = _deep_fault(value, 1)
    if fault:
        return fault
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "must not contain lone surrogates"
    if len(data) > limits.DATA_BYTES_MAX:
        return f"has {len(data)} bytes as JSON, at most {limits.DATA_BYTES_MAX} are allowed"
    return data


def _deep_fault(value: object, depth: int) -> str | None:
    if depth > limits.DATA_DEPTH_MAX:
        return f"is nested deeper than {limits.DATA_DEPTH_MAX}"
    for item in value.values() if type(value) is dict else value:  # type: ignore[attr-defined]
        kind = type(item)
        if kind is dict or kind is list:
            fault = _deep_fault(item, depth + 1)
            if fault:
                return fault
        elif (kind is float and not math.isfinite(item)) or (kind is int and not -(2**63) <= item < 2**64):
            return "has a number too large for JSON readers"
    return None


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "a number")


def _ids_fault(value: object, at_most: int) -> str | None:
    if type(value) is not list:
        return f"must be an array of ids, not {_json_type(value)}"
    if len(value) > at_most:
        return f"has {len(value)} ids, at most {at_most} are allowed"
    for i, item in enumerate(value):
        fault = id_fault(item)
        if fault:
            return f"[{i}] {fault}"
    return None


def _mentions_fault(value: object) -> str | None:
    return _ids_fault(value, limits.MENTIONS_MAX)


def _recipients_fault(value: object) -> str | None:
    return _ids_fault(value, limits.RECIPIENTS_MAX)


def _importance_fault(value: object) -> str | None:
    return None if value in IMPORTANCES else f"must be one of {', '.join(IMPORTANCES)}"


_FAULTS: Final[dict[str, Callable[[object], str | None]]] = {
    "id": id_fault, "kind": id_fault, "actor": id_fault, "object": id_fault,
    "owner": id_fault, "target": id_fault, "thread": id_fault, "scope": id_fault,
    "mentions": _mentions_fault, "recipients": _recipients_fault, "importance": _importance_fault,
}  # fmt: skip
_TIMES: Final = ("occurred_at", "deliver_at", "expires_at")
_REQUIRED: Final = ("id", "kind", "actor", "object")
FIELDS: Final = tuple(f for f in Activity.__struct_fields__ if f != "by_operator")


def parse_activity(value: object) -> Activity:
    """The activity that the JSON value `value` describes; null is as absent. Raises Invalid with every fault."""
    if type(value) is not dict:
        raise Invalid([("", f"an activity must be a JSON object, not {_json_type(value)}")])
    fields: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, item in value.items():
        check = _FAULTS.get(name)
        if item is None and name in FIELDS:
            continue
        if check is not None:
            fault = check(item)
            if fault:
                errors.append((name, fault))
            fields[name] = item
        elif name in _TIMES:
            ms = time_fault_or_ms(item)
            if type(ms) is str:
                errors.append((name, ms))
            fields[name] = ms
        elif name == "data":
            data = data_fault_or_bytes(item)
            if type(data) is str:
                errors.append((name, data))
            fields[name] = data
        else:
            errors.append((name, f"unknown field; known are {', '.join(FIELDS)}"))
    errors += [(name, "is required") for name in _REQUIRED if name not in fields]
    if errors:
        raise Invalid(errors)
    return Activity(**fields)


def parse_preferences(value: object) -> list[Preference]:
    """The preferences that the JSON array `value` describes. Raises Invalid with every fault."""
    if type(value) is not list:
        raise Invalid([("items", f"must be an array of preferences, not {_json_type(value)}")])
    if len(value) > limits.PREFERENCES_MAX:
        raise Invalid([("items", f"has {len(value)} items, at most {limits.PREFERENCES_MAX} are allowed")])
    errors: list[FieldError] = []
    items: dict[tuple[str, str, str], Preference] = {}
    for i, item in enumerate(value):
        at = f"items[{i}]"
        if type(item) is not dict:
            errors.append((at, f"must be an object, not {_json_type(item)}"))
            continue
        errors += [
            (f"{at}.{name}", "unknown field; known are kind, channel, scope, value")
            for name in item
            if name not in Preference.__struct_fields__
        ]
        key = {name: item.get(name, "*") for name in ("kind", "channel", "scope")}
        faults = [(f"{at}.{name}", fault) for name, wish in key.items() if (fault := id_fault(wish))]
        if item.get("value") not in VALUES:
            faults.append((f"{at}.value", f"must be one of {', '.join(VALUES)}"))
        errors += faults
        if not faults:
            triple = (key["kind"], key["channel"], key["scope"])
            if triple in items:
                errors.append((at, "says again what an earlier item says (same kind, channel and scope)"))
            items[triple] = Preference(**key, value=item["value"])
    if errors:
        raise Invalid(errors)
    return list(items.values())
