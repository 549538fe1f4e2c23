"""Records of `notices` for the edge to tell, made fast enough that making them is not what is measured.

An activity is encoded once per partition of its recipients, and kept with holes for what differs from one telling to
the next: its seq and its id, which carries the time (`sockets.c` reads it). All of it is synthetic.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from fanbell.edge.backend import Listener
from fanbell.edge.cursor import encode_cursor
from fanbell.projections.inbox import Inbox
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import HEADER_BYTES, decode, encode, encode_body, zigzag
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Change, Content, Notice, Told
from fanbell.streams.core.kinds import default_source, parse_rules

EPOCH: Final = "benchmark"
AT_MS: Final = 1_900_000_000_000
NO_STAMP: Final = 0
_HOLE: Final = f"t{NO_STAMP:020}-{0:08}".encode()
_SEQ_AT: Final = HEADER_BYTES + 4  # after n, index, prev_n and prev_index, of one byte each here


def id_of(stamp_ns: int, number: int) -> str:
    """The id of the activity `number`, published at `stamp_ns` of CLOCK_MONOTONIC (`NO_STAMP`: not timed)."""
    return f"t{stamp_ns:020}-{number:08}"


class Shape(NamedTuple):
    """One activity's notice in one partition, but for seq and id."""

    partition: int
    users: list[str]
    head: bytes
    middle: bytes
    tail: bytes

    def record(self, seq: int, id_: bytes) -> bytes:
        return self.head + zigzag(seq) + self.middle + id_ + self.tail


def shapes_of(number: int, recipients: Sequence[str], partitions: int, data_bytes: int) -> list[Shape]:
    """An activity for `recipients`, with so much data beside its text."""
    by_partition: dict[int, list[str]] = {}
    for user in recipients:
        by_partition.setdefault(partition_of(user, partitions), []).append(user)
    data = b'{"title":"%s"}' % (b"x" * data_bytes)
    content = encode_body(
        Content(
            _HOLE.decode(), "post", f"author{number % 200}", object=f"post:{number}", target=None, thread=None,
            scope=None, data=data, importance=None, at_ms=AT_MS, expires_at=None,
        )
    )  # fmt: skip
    found = []
    for partition, users in sorted(by_partition.items()):
        whole = encode(Notice(0, 0, -1, -1, 0, "post", content, users))
        middle, tail = whole[_SEQ_AT + 1 :].split(_HOLE)
        found.append(Shape(partition, users, whole[:_SEQ_AT], middle, tail))
    return found


def drawn(users: Sequence[str], recipients: int, seed: int) -> Iterator[list[str]]:
    """Groups of so many of `users`, without end: everybody is in one before anybody is in the next."""
    random_ = random.Random(seed)
    order = list(users)
    while True:
        random_.shuffle(order)
        for at in range(0, len(order) - recipients + 1, recipients):
            yield order[at : at + recipients]


def activities(
    users: Sequence[str], partitions: int, *, recipients: int, count: int, data_bytes: int, seed: int = 1
) -> list[list[Shape]]:
    """So many activities, each for so many of `users`."""
    groups = islice(drawn(users, recipients, seed), count)
    return [shapes_of(number, group, partitions, data_bytes) for number, group in enumerate(groups)]


class Fed:
    """A backend whose `notices` are handed to it: what the edge asks of one, and nothing else.

    Its store holds what was told only if `keeps`: an edge of a cluster does not write it either.
    """

    epoch = EPOCH
    on_demand = False

    def __init__(self, partitions: int, *, keeps: bool) -> None:
        self.partitions = partitions
        self.rules = parse_rules(default_source(), 1)
        self.store = MemoryStore()
        self.inbox = Inbox(self.store, lambda: self.rules, lambda seq: encode_cursor(EPOCH, seq))
        self._keeps = keeps
        self._logs: list[list[bytes]] = [[] for _ in range(partitions)]
        self._seqs = [0] * partitions
        self._listeners: list[Listener] = [self.inbox.told]
        self._number = 0

    def tell(self, told: Sequence[tuple[Sequence[Shape], int]]) -> int:
        """Let listeners hear of activities, each with its time; to how many recipients that was."""
        recipients = 0
        for partition, records in self._written(told).items():
            batch = [(offset, decode(data)) for offset, data in records]
            recipients += sum(len(record.recipients) for _, record in batch)
            for listener in self._listeners:
                listener(partition, batch)
        return recipients

    async def keep(self, told: Sequence[Sequence[Shape]]) -> int:
        """Put activities into log and store before anybody listens; to how many recipients that was."""
        recipients = 0
        for partition, records in self._written([(shapes, NO_STAMP) for shapes in told]).items():
            batch = [decode(data) for _, data in records]
            recipients += sum(len(record.recipients) for record in batch)
            await self.store.apply({partition: batch}, {partition: records[-1][0]})
        return recipients

    def _written(self, told: Sequence[tuple[Sequence[Shape], int]]) -> dict[int, list[tuple[int, bytes]]]:
        by_partition: dict[int, list[tuple[int, bytes]]] = {}
        for shapes, stamp_ns in told:
            id_ = id_of(stamp_ns, self._number).encode()
            self._number += 1
            for shape in shapes:
                seq = self._seqs[shape.partition] = self._seqs[shape.partition] + 1
                data = shape.record(seq, id_)
                if self._keeps:
                    self._logs[shape.partition].append(data)
                by_partition.setdefault(shape.partition, []).append((seq - 1, data))
        return by_partition

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        found = self._logs[partition][offset : offset + at_most]
        return [(offset + i, decode(data)) for i, data in enumerate(found)]

    async def change(self, changes: Sequence[Change]) -> Any:
        raise NotImplementedError("nobody marks anything here")

    async def follow(self, partition: int) -> None:
        """All partitions are always heard of."""

    def unfollow(self, partition: int) -> None:
        """The same."""

    def presence(self, user: str) -> None:
        """Nobody asks here who is connected."""

    async def say_presence(self, partition: int, said: Sequence[Any]) -> None:
        """What an edge says of its users goes nowhere: a real one appends it to a topic of its own."""
