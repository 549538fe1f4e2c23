"""What is wrong with an activity or a change that came as Avro: what JSON is held to while it is parsed.

Avro says which fields there are and of which type, not how long an id may be or when time begins. Nothing here depends
on the machine: every fold must find the same.
"""

from typing import Final

from msgspec.structs import asdict

from fanbell.schemas import limits
from fanbell.schemas.parse import (
    IMPORTANCES,
    FieldError,
    Invalid,
    id_fault,
    parse_preferences,
    time_fault_or_ms,
)
from fanbell.schemas.parse_change import PROFILE_FIELDS, profile_shape_fault
from fanbell.schemas.records import Activity, Change

_IDS: Final = ("id", "kind", "actor", "object", "owner", "target", "thread", "scope")
_LISTS: Final = (("mentions", limits.MENTIONS_MAX), ("recipients", limits.RECIPIENTS_MAX))
_TIMES: Final = ("occurred_at", "deliver_at", "expires_at")


def activity_faults(activity: Activity) -> list[FieldError]:
    """Every field of `activity` that is not as it must be, whatever the rules; empty if all are."""
    if _is_plain(activity):
        return []
    errors = [
        (name, fault)
        for name in _IDS
        if (value := getattr(activity, name)) is not None and (fault := id_fault(value))
    ]
    for name, at_most in _LISTS:
        ids = getattr(activity, name)
        if len(ids) > at_most:
            errors.append((name, f"has {len(ids)} ids, at most {at_most} are allowed"))
        else:
            errors += [(name, f"[{i}] {fault}") for i, item in enumerate(ids) if (fault := id_fault(item))]
    for name in _TIMES:
        ms = getattr(activity, name)
        if ms is not None and isinstance(wrong := time_fault_or_ms(ms), str):
            errors.append((name, wrong))
    if activity.importance is not None and activity.importance not in IMPORTANCES:
        errors.append(("importance", f"must be one of {', '.join(IMPORTANCES)}"))
    if activity.data is not None and len(activity.data) > limits.DATA_BYTES_MAX:
        size = len(activity.data)
        errors.append(("data", f"has {size} bytes, at most {limits.DATA_BYTES_MAX} are allowed"))
    return errors


def change_fault(change: Change) -> str | None:
    """The first field of `change` that is not as it must be, and what is wrong; None if all are."""
    for name, value in (("id", change.id), ("user", change.user), ("object", change.object)):
        if value is not None and (fault := id_fault(value)):
            return f"{name}: {fault}"
    if len(change.ids) > limits.BATCH_MAX:
        return f"ids: has {len(change.ids)} ids, at most {limits.BATCH_MAX} are allowed"
    for i, item in enumerate(change.ids):
        if fault := id_fault(item):
            return f"ids: [{i}] {fault}"
    for name in PROFILE_FIELDS:
        value = getattr(change, name)
        if value is not None and (fault := profile_shape_fault(name, value)):
            return f"{name}: {fault}"
    if change.occurred_at is not None and isinstance(wrong := time_fault_or_ms(change.occurred_at), str):
        return f"occurred_at: {wrong}"
    if change.kind == "preferences":
        return _preferences_fault(change)
    return None


def _is_plain(activity: Activity) -> bool:
    """Whether a closer look could find no fault with it, as with nearly all: this is asked of every activity."""
    a = activity
    text = (
        f"{a.id}{a.kind}{a.actor}{a.object}{a.owner or ''}{a.target or ''}{a.thread or ''}{a.scope or ''}"
        f"{''.join(a.mentions)}{''.join(a.recipients)}"
    )
    return (
        len(text) <= limits.ID_BYTES_MAX  # all together, and so each
        and text.isascii()
        and text.isprintable()
        and "" not in (a.id, a.kind, a.actor, a.object, a.owner, a.target, a.thread, a.scope)
        and "" not in a.mentions
        and "" not in a.recipients
        and len(a.mentions) <= limits.MENTIONS_MAX
        and (a.occurred_at is None or limits.TIME_MIN_MS <= a.occurred_at < limits.TIME_MAX_MS)
        and (a.data is None or len(a.data) <= limits.DATA_BYTES_MAX)
        and a.importance is None
        and a.deliver_at is None
        and a.expires_at is None
    )


def _preferences_fault(change: Change) -> str | None:
    if change.preferences is None:
        return "preferences: is required for a change of kind preferences"
    try:
        parse_preferences([asdict(item) for item in change.preferences])
    except Invalid as error:
        field, message = error.errors[0]
        return f"{field.replace('items', 'preferences', 1)}: {message}"
    return None
