"""The records that a fan-out is made of, written and read by hand: fastavro takes 3 to 8 µs for one.

tests/schemas/test_by_hand.py holds them to the same bytes and values.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, get_args

from fanbell.schemas.codec import (
    HEADER_BYTES,
    HEADERS,
    decode,
    long_at,
    pack,
    zigzag,
)
from fanbell.schemas.records import (
    Ask,
    Command,
    Content,
    Notice,
    Op,
    Outcome,
    Silenced,
    Told,
    Update,
)

_COMMAND: Final = HEADERS[Command]
_NOTICE: Final = HEADERS[Notice]
_OUTCOME: Final = HEADERS[Outcome]
_UPDATE: Final = HEADERS[Update]


_SOME: Final = b"\x02"  # the second branch of a union whose first is null
_NULL: Final = b"\0"
_OPS: Final = {op: bytes((2 * i,)) for i, op in enumerate(get_args(Op))}


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _SOME + pack(text)


@lru_cache(maxsize=4096)
def _known(text: str) -> bytes:
    """`pack` of one of few words: kinds, reasons, rules."""
    return pack(text)


def content_bytes(content: Content) -> bytes:
    """A Content in Avro binary."""
    data, importance, expires_at = content.data, content.importance, content.expires_at
    return b"".join(
        (
            pack(content.id), _known(content.kind), pack(content.actor), pack(content.object),
            _optional(content.target), _optional(content.thread), _optional(content.scope),
            _NULL if data is None else _SOME + packed_bytes(data),
            _NULL if importance is None else _SOME + _known(importance),
            zigzag(content.at_ms),
            _NULL if expires_at is None else _SOME + zigzag(expires_at),
        )
    )  # fmt: skip


def ask_bytes(ask: Ask) -> bytes:
    """An Ask in Avro binary."""
    parts = [
        zigzag(ask.rules),
        zigzag(ask.time_ms),
        _OPS[ask.op],
        _optional(ask.why),
        packed_bytes(ask.content),
    ]
    if ask.audiences:
        parts.append(zigzag(len(ask.audiences)))
        for audience in ask.audiences:
            parts += (_known(audience.reason), _optional(audience.followers_of))
            if audience.users:
                parts += (zigzag(len(audience.users)), *map(pack, audience.users))
            parts.append(_NULL)
    parts.append(_NULL)
    return b"".join(parts)


def outcome_bytes(numbers: bytes, id_: str, heard: int, silenced: list[Silenced]) -> bytes:
    """An Outcome from its first five fields in Avro binary, and the others."""
    parts = [_OUTCOME, numbers, pack(id_), zigzag(heard)]
    if silenced:
        parts.append(zigzag(len(silenced)))
        for one in silenced:
            parts += (_known(one.rule), zigzag(one.count))
    parts.append(_NULL)
    return b"".join(parts)


def update_bytes(numbers: bytes, update: Update, recipients: bytes) -> bytes:
    """An Update from its first five fields in Avro binary, its others, and its recipients, both too."""
    actors = update.actors
    return b"".join(
        (
            _UPDATE, numbers, pack(update.id), _known(update.reason), zigzag(update.row_seq),
            zigzag(update.prev_row_seq), b"\1" if update.announces else _NULL, zigzag(update.count),
            zigzag(len(actors)) if actors else b"", *map(pack, actors), _NULL,
            zigzag(update.created_ms), packed_bytes(update.content), recipients,
        )
    )  # fmt: skip


def command_bytes(origin: bytes, ask: bytes = b"") -> bytes:
    """A Command from its first five fields and its Ask, both in Avro binary; of some of these, what it begins with."""
    return _COMMAND + origin + ask


def recipients_bytes(packed: Sequence[bytes]) -> bytes:
    """Packed names (at least one) as an Avro array of strings."""
    return b"".join((zigzag(len(packed)), *packed, _NULL))


def with_recipients(encoded: bytes, packed: Sequence[bytes]) -> bytes:
    """`encoded`, a record whose last field is an empty `recipients`, with packed names put in.

    An Avro array is blocks of a count and that many items, then a zero: that zero stands for the empty array.
    """
    return encoded[:-1] + recipients_bytes(packed) if packed else encoded


def notice_bytes(numbers: bytes, reason: bytes, content: bytes, recipients: bytes) -> bytes:
    """A Notice from its first five fields and the others, all in Avro binary."""
    return b"".join((_NOTICE, numbers, reason, content, recipients))


def packed_bytes(data: bytes) -> bytes:
    """`data` as Avro bytes."""
    return zigzag(len(data)) + data


def told_of(value: bytes) -> Told:
    """The record of `notices` whose single-object encoding is `value`. Its recipients are shared: not to be changed.

    Raises Undecodable.
    """
    read = _BY_HAND.get(value[:HEADER_BYTES])
    if read is not None:
        try:
            return read(value)
        except (IndexError, UnicodeDecodeError):
            pass  # as another writer may have written it, or damaged: fastavro knows
    found: Told = decode(value)
    return found


def _notice(value: bytes) -> Notice:
    n, index, prev_n, prev_index, seq, at = _place(value)
    reason, at = _text(value, at)
    content, at = _bytes(value, at)
    return Notice(n, index, prev_n, prev_index, seq, reason, content, recipients_of(value[at:]))


def _update(value: bytes) -> Update:
    n, index, prev_n, prev_index, seq, at = _place(value)
    id_, at = _text(value, at)
    reason, at = _text(value, at)
    row_seq, at = long_at(value, at)
    prev_row_seq, at = long_at(value, at)
    announces = _BOOLEANS[value[at]]
    count, at = long_at(value, at + 1)
    actors = []
    actors_count, at = _count(value, at)
    if actors_count:
        for _ in range(actors_count):
            actor, at = _text(value, at)
            actors.append(actor)
        at = _ended(value, at)
    created_ms, at = long_at(value, at)
    content, at = _bytes(value, at)
    return Update(
        n, index, prev_n, prev_index, seq, id_, reason, row_seq, prev_row_seq, announces, count, actors,
        created_ms, content, recipients_of(value[at:]),
    )  # fmt: skip


def _outcome(value: bytes) -> Outcome:
    n, index, prev_n, prev_index, seq, at = _place(value)
    id_, at = _text(value, at)
    heard, at = long_at(value, at)
    silenced = []
    rules, at = _count(value, at)
    if rules:
        for _ in range(rules):
            rule, at = _text(value, at)
            count, at = long_at(value, at)
            silenced.append(Silenced(rule, count))
        at = _ended(value, at)
    if at != len(value):
        raise IndexError("bytes are left over")
    return Outcome(n, index, prev_n, prev_index, seq, id_, heard, silenced)


_BY_HAND: Final[dict[bytes, Callable[[bytes], Told]]] = {
    _NOTICE: _notice,
    _UPDATE: _update,
    _OUTCOME: _outcome,
}


def _place(value: bytes) -> tuple[int, int, int, int, int, int]:
    """n, index, prev_n, prev_index, seq: what every record of `notices` begins with; and where they end."""
    n, at = long_at(value, HEADER_BYTES)
    index, at = long_at(value, at)
    prev_n, at = long_at(value, at)
    prev_index, at = long_at(value, at)
    seq, at = long_at(value, at)
    return n, index, prev_n, prev_index, seq, at


def _bytes(value: bytes, at: int) -> tuple[bytes, int]:
    size, at = long_at(value, at)
    end = at + size
    if not at <= end <= len(value):
        raise IndexError("a length that cannot be")
    return value[at:end], end


def _text(value: bytes, at: int) -> tuple[str, int]:
    data, at = _bytes(value, at)
    return data.decode(), at


_BOOLEANS: Final = (False, True)


def _count(value: bytes, at: int) -> tuple[int, int]:
    """Of items in an array's first block, 0 if it has none."""
    count, at = long_at(value, at)
    if count < 0:
        raise IndexError("a block with its size")
    return count, at


def _ended(value: bytes, at: int) -> int:
    """Where an array of one block, whose items ended at `at`, ends."""
    if value[at] != 0:
        raise IndexError("an array of several blocks")
    return at + 1


def recipients_of(data: bytes) -> list[str]:
    """The names in `data`, an Avro array of strings; shared, not to be changed.

    Raises IndexError or UnicodeDecodeError if it is not one of one block.
    """
    return _few(data) if len(data) <= _FEW_BYTES else _names(data)


def _names(data: bytes) -> list[str]:
    """An Avro array of strings, all of `data`."""
    count, at = _count(data, 0)
    names = []
    for _ in range(count):
        name, at = _text(data, at)
        names.append(name)
    if (_ended(data, at) if count else at) != len(data):
        raise IndexError("bytes are left over")
    return names


_few: Final = lru_cache(maxsize=2_048)(
    _names
)  # an author's next post, and a group's next update, tell the same people
_FEW_BYTES: Final = 2_048
