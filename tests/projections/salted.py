"""The same history for other people: many histories then share one keyspace, which takes long to empty."""

from collections.abc import Sequence

from msgspec.structs import replace

from fanbell.projections import apply as meaning
from fanbell.schemas.codec import encode_body
from fanbell.schemas.records import Mark, Told, Wish

NAME_MAX = 200


def salted(name: str, salt: str) -> str:
    return f"{name[:NAME_MAX]}~{salt}"


def for_others(history: Sequence[Told], salt: str) -> list[Told]:
    """`history` with `salt` added to the name of everybody who has an inbox or lists."""
    return [_record(record, salt) for record in history]


def _record(record: Told, salt: str) -> Told:
    if isinstance(record, Mark):
        return replace(record, user=salted(record.user, salt))
    if isinstance(record, Wish):
        change = meaning.change_of(record)
        other = None if change.object is None else salted(change.object, salt)
        change = replace(change, user=salted(change.user, salt), object=other)
        return replace(record, change=encode_body(change))
    if hasattr(record, "recipients"):
        return replace(record, recipients=[salted(user, salt) for user in record.recipients])
    return record
