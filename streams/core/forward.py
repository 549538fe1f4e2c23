"""From `changes` to `routed`: what producers wish who use neither our API nor our SDK, as Avro or JSON.

One partition of `changes` in, commands for the partitions of `routed` that must hear of each change out. Commands, and
not the changes as they stand, because a command is dropped by its origin when it comes again: a follow that were
repeated after a crash would undo the unfollow that followed on it.
"""

from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from fanbell.schemas.by_hand import ask_bytes, command_bytes
from fanbell.schemas.codec import Undecodable, decode, encode, encode_body
from fanbell.schemas.parse import Invalid, parse_json
from fanbell.schemas.parse_change import parse_change
from fanbell.schemas.records import Ask, Change, Dead
from fanbell.schemas.topics import CHANGES, DEAD, ROUTED
from fanbell.schemas.wellformed import change_fault
from fanbell.streams.core.changes import fault_of, placed
from fanbell.streams.core.fold import (
    DETAIL_MAX,
    NONE_YET,
    Output,
    effective_ms,
    number,
    pair_bytes,
    why_unreadable,
)
from fanbell.streams.core.slices import Steps, finished
from fanbell.streams.log import Record

RULES: Final = 0  # commands that carry a change are for every version of the rules


class Forwarding:
    """One partition of `changes`: the last pair put out for each partition of `routed`, and nothing else.

    Sources are numbered above those of stage 1, which are partitions of `activities`.
    """

    stage: ClassVar[str] = "forward"
    fold_version = (
        1  # of which it knows nothing: no rules enter `changes`, so what it puts out is never to change
    )

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.clock_ms = 0
        self.forwarded = 0
        """Changes passed on since opening; a gauge, no state."""
        self._command = command_bytes(number(partitions + partition))
        self._last: list[bytes] = [pair_bytes(*NONE_YET)] * partitions
        """By partition of `routed`, the last pair put out, as the next command names it"""

    def step(self, record: Record) -> list[Output]:
        self.clock_ms = max(self.clock_ms, record.timestamp_ms)
        try:
            change = self._read(record.value)
        except (Undecodable, Invalid) as error:
            return [self._dead(record, "", why_unreadable(error), str(error))]
        if type(change) is not Change:
            name = type(change).__name__
            return [self._dead(record, "", "misplaced", f"a {name} does not belong into {CHANGES}")]
        fault = change_fault(change) or fault_of(change)
        if fault is not None:
            return [self._dead(record, change.id, "invalid", fault)]
        own_ms = effective_ms(change.occurred_at, record.timestamp_ms)
        self.forwarded += 1
        return [
            self._put(record.offset, index, partition, copy, own_ms)
            for index, (partition, copy) in enumerate(placed(change, self.partitions))
        ]

    def numbers(self) -> dict[str, int]:
        return {"changes_forwarded": self.forwarded}

    def due_ms(self) -> int | None:
        return None

    def dump(self) -> bytes:
        return finished(self.dumping())

    def dumping(self) -> Steps[bytes]:
        yield from ()  # it is small
        return msgspec.msgpack.encode({"clock_ms": self.clock_ms, "last": self._last})

    @classmethod
    def load(cls, partition: int, partitions: int, data: bytes) -> "Forwarding":
        tree = msgspec.msgpack.decode(data)
        made = cls(partition, partitions)
        made.clock_ms, made._last = tree["clock_ms"], tree["last"]
        return made

    @staticmethod
    def _read(value: bytes) -> Any:
        return parse_change(parse_json(value)) if value[:1] == b"{" else decode(value)

    def _put(self, n: int, index: int, partition: int, change: Change, own_ms: int) -> Output:
        ask = Ask(RULES, own_ms, "change", None, encode_body(replace(change, occurred_at=own_ms)), [])
        pair = pair_bytes(n, index)
        value = self._command + pair + self._last[partition] + ask_bytes(ask)
        self._last[partition] = pair
        return Output(ROUTED, partition, value, n, index)

    def _dead(self, record: Record, id_: str, reason: str, detail: str) -> Output:
        n = record.offset
        told = detail[:DETAIL_MAX]
        dead = Dead(CHANGES, self.partition, n, 0, n, id_, reason, told, self.clock_ms, record.value)
        return Output(DEAD, 0, encode(dead), n, 0)
