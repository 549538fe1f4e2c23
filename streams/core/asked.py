"""A command's question, made ready once for all the shards of a process.

The same Ask goes to every partition, and a process holds several: its names are packed and its content is read once.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from fanbell.schemas.codec import ask_of, content_of, decode_body, pack, packed_bytes
from fanbell.schemas.records import Change, Content, Op
from fanbell.streams.core.kinds import REASONS

REASON_BYTES: Final = {reason: pack(reason) for reason in REASONS}


class Happening(Struct, gc=False):
    """What was done, as the rules of who hears see it; the ids packed."""

    content: Content
    data: bytes
    """The content in Avro binary."""
    field: bytes
    """The same with its length before it, as a notice has it."""
    actor: bytes
    object: bytes
    target: bytes | None
    thread: bytes | None
    scope: bytes | None


class Asked(Struct, gc=False):
    """An Ask, ready. `audiences`: (reason, packed id whose followers are meant or None, packed users)."""

    op: Op
    rules: int
    time_ms: int
    why: str | None
    what: Happening | None
    change: Change | None
    audiences: list[tuple[str, bytes | None, list[bytes]]]


def happening(content: Content, data: bytes) -> Happening:
    """`content`, whose Avro binary is `data`, ready."""
    target, thread, scope = content.target, content.thread, content.scope
    return Happening(
        content,
        data,
        packed_bytes(data),
        pack(content.actor),
        pack(content.object),
        None if target is None else pack(target),
        None if thread is None else pack(thread),
        None if scope is None else pack(scope),
    )


@lru_cache(maxsize=64)  # a command's copies for the partitions of one process come close together
def asked_of(data: bytes) -> Asked:
    """The Ask whose Avro binary is `data`; shared, not to be changed. Raises Undecodable."""
    ask = ask_of(data)
    if ask.op == "change":
        return Asked(ask.op, ask.rules, ask.time_ms, ask.why, None, decode_body(Change, ask.content), [])
    audiences = [
        (
            audience.reason,
            None if audience.followers_of is None else pack(audience.followers_of),
            [pack(user) for user in audience.users],
        )
        for audience in ask.audiences
    ]
    return Asked(
        ask.op,
        ask.rules,
        ask.time_ms,
        ask.why,
        happening(content_of(ask.content), ask.content),
        None,
        audiences,
    )
