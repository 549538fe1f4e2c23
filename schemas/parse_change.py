"""What producers wish for their users, as JSON: changes of the graph, preferences, profiles."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from fanbell.schemas.limits import PROFILE_BYTES_MAX
from fanbell.schemas.parse import ASPECTS, FieldError, Invalid, id_fault, parse_preferences, time_fault_or_ms
from fanbell.schemas.records import Change

GRAPH_KINDS: Final = ("follow", "unfollow", "mute", "unmute", "block", "unblock")
KINDS: Final = (*GRAPH_KINDS, "preferences", "profile")
PROFILE_FIELDS: Final = ("name", "avatar_url", "locale", "timezone")
_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_IDS: Final = ("id", "user", "object")
FIELDS: Final = ("id", "kind", "user", "object", "aspect", "preferences", *PROFILE_FIELDS, "occurred_at")


def parse_change(value: object) -> Change:
    """The change that the JSON value `value` describes; null is as absent. Raises Invalid with every fault."""
    if type(value) is not dict:
        raise Invalid([("", "a change must be a JSON object")])
    fields: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, item in value.items():
        if name not in FIELDS:
            errors.append((name, f"unknown field; known are {', '.join(FIELDS)}"))
        elif item is not None:
            fields[name], faults = _field(name, item)
            errors += faults
    errors += [(name, "is required") for name in ("id", "kind", "user") if name not in fields]
    if not errors:
        errors = _misfits(fields)
    if errors:
        raise Invalid(errors)
    return Change(**fields)


def profile_shape_fault(name: str, value: object) -> str | None:
    """What is wrong with `value` as the field `name` of a profile, whatever the machine; None if nothing is."""
    if type(value) is not str or not value:
        return "must be a string with at least one character, or null"
    if len(value.encode()) > PROFILE_BYTES_MAX:
        return f"has more than {PROFILE_BYTES_MAX} bytes of UTF-8"
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in value):
        return "must not contain control characters"
    if name == "avatar_url" and not _is_web_address(value):
        return "must be an http or https address, or a path from /"
    if name == "locale" and not is_locale(value):
        return "must be a language tag such as en or pt-BR"
    return None


def is_locale(text: str) -> bool:
    """Whether `text` has the form of a BCP 47 language tag."""
    return len(text) <= 35 and _LOCALE.fullmatch(text) is not None


def _field(name: str, item: object) -> tuple[Any, list[FieldError]]:
    """What the field holds, and what is wrong with it."""
    if name == "occurred_at":
        ms = time_fault_or_ms(item)
        return ms, [(name, ms)] if isinstance(ms, str) else []
    if name == "preferences":
        try:
            return parse_preferences(item), []
        except Invalid as error:
            return None, [(field.replace("items", name, 1), message) for field, message in error.errors]
    if name in _IDS:
        fault = id_fault(item)
    elif name == "kind":
        fault = None if item in KINDS else f"must be one of {', '.join(KINDS)}"
    elif name == "aspect":
        fault = None if item in ASPECTS else f"must be one of {', '.join(ASPECTS)}"
    else:
        fault = profile_shape_fault(name, item)
    return item, [(name, fault)] if fault else []


def _misfits(fields: dict[str, Any]) -> list[FieldError]:
    """Which fields the kind needs and has not, or has and does not know."""
    kind = fields["kind"]
    needs = ("object",) if kind in GRAPH_KINDS else ("preferences",) if kind == "preferences" else ()
    knows = {"id", "kind", "user", "occurred_at", *needs}
    if kind in ("mute", "unmute"):
        needs, knows = (*needs, "aspect"), knows | {"aspect"}
    if kind == "profile":
        knows |= set(PROFILE_FIELDS)
    errors = [(name, f"is required for a change of kind {kind}") for name in needs if name not in fields]
    errors += [(name, f"does not belong to a change of kind {kind}") for name in fields if name not in knows]
    if kind in GRAPH_KINDS and kind not in ("mute", "unmute") and fields.get("object") == fields["user"]:
        errors.append(("object", f"nobody can {kind} themselves"))
    return errors


def _is_web_address(value: str) -> bool:
    """Browsers show it, so a `javascript:` or `data:` address is none."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return (parts.scheme in ("http", "https") and bool(parts.netloc)) or (
        not parts.scheme and value.startswith("/")
    )
