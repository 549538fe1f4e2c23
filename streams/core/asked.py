"""A command's question, made ready once for all the shards of a process.

The same Ask goes to every partition, and a process holds several: its names are packed and its content is read once.
"""

from typing import Final

from msgspec import Struct

from fanbell.schemas.by_hand import packed_bytes
from fanbell.schemas.codec import ask_of, content_of, decode_body, pack
from fanbell.schemas.records import Ask, Change, Content, Op
from fanbell.streams.core.hashes import hash64
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
    actor_hash: int
    object: bytes
    target: bytes | None
    thread: bytes | None
    scope: bytes | None


class Asked(Struct, gc=False):
    """An Ask, ready. `audiences`: (reason, hash of the id whose followers are meant or None, packed users)."""

    op: Op
    rules: int
    time_ms: int
    why: str | None
    what: Happening | None
    change: Change | None
    audiences: list[tuple[str, int | None, list[bytes]]]


def happening(content: Content, data: bytes) -> Happening:
    """`content`, whose Avro binary is `data`, ready."""
    actor, target, thread, scope = pack(content.actor), content.target, content.thread, content.scope
    return Happening(
        content,
        data,
        packed_bytes(data),
        actor,
        hash64(actor),
        pack(content.object),
        None if target is None else pack(target),
        None if thread is None else pack(thread),
        None if scope is None else pack(scope),
    )


_READY: Final[dict[bytes, Asked]] = {}
_BEFORE: Final[dict[bytes, Asked]] = {}
"""Those before, so that not all are forgotten at once; dropping the oldest one by one walks over all dropped before."""
_READY_MAX: Final = 4_096  # a command's copies reach the partitions of one process by whole batches
_READY_BYTES_MAX: Final = 1 << 12  # what is larger is made ready again: 32 MB are what all may come to


def asked_of(data: bytes) -> Asked:
    """The Ask whose Avro binary is `data`; shared, not to be changed. Raises Undecodable."""
    found = _READY.get(data) or _BEFORE.get(data)
    if found is None:
        ask = ask_of(data)
        found = make_ready(data, ask, None if ask.op == "change" else content_of(ask.content))
    return found


def make_ready(data: bytes, ask: Ask, content: Content | None) -> Asked:
    """Keep `ask` ready under `data`, its Avro binary: stage 1 does so, since stage 2 of the same process reads it next.

    `content` is that of the Ask, None if it carries a change.
    """
    if content is None:
        made = Asked(ask.op, ask.rules, ask.time_ms, ask.why, None, decode_body(Change, ask.content), [])
    else:
        audiences = [
            (
                audience.reason,
                None if audience.followers_of is None else hash64(pack(audience.followers_of)),
                [pack(user) for user in audience.users],
            )
            for audience in ask.audiences
        ]
        what = happening(content, ask.content)
        made = Asked(ask.op, ask.rules, ask.time_ms, ask.why, what, None, audiences)
    if len(data) <= _READY_BYTES_MAX:
        if len(_READY) >= _READY_MAX:
            _BEFORE.clear()
            _BEFORE.update(_READY)
            _READY.clear()
        _READY[data] = made
    return made
