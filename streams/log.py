"""The log, as Fanbell needs one: a port. Adapters: `log_memory.py`, `log_sqlite.py`; Kafka in the cluster."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class LogFailed(Exception):
    """An append or read failed, or its outcome is unknown. Whoever appended throws its state away and opens anew."""


class Entry(Struct, frozen=True, gc=False):
    """What is appended. `timestamp_ms`: when it was first appended anywhere, Unix ms."""

    value: bytes
    timestamp_ms: int
    key: bytes | None = None


class Record(Struct, frozen=True, gc=False):
    """What is read."""

    offset: int
    value: bytes
    timestamp_ms: int
    key: bytes | None = None


class Log(Protocol):
    """Topics of partitions of records. Offsets start at 0, only grow, and may have holes (aborted or trimmed records)."""

    @property
    def identity(self) -> str:
        """Names this very log: another one, or the same made anew, has another. Snapshots and cursors carry it."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions a partitioned topic has; fixed for the life of the log."""
        ...

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        """Put `entries` at the end, in order, contiguous, and return the first one's offset once they are acknowledged.

        All or nothing, but a failure (LogFailed, or cancellation) leaves open which. Two calls that overlap are taken in
        either order. An empty sequence returns the end.
        """
        ...

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        """Up to `at_most` records from `offset` on, in order; empty at the end. Below `start`, reading begins at `start`."""
        ...

    async def start(self, topic: str, partition: int) -> int:
        """The offset of the first record kept, or of the next one if none is."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will have; all acknowledged records are below."""
        ...

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget the records below `before`. What is kept stays where it is; forgetting twice changes nothing."""
        ...

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember that `group` needs nothing below `offset` any more. The latest commit stands, also if it is lower."""
        ...

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        """What `group` committed last; None if nothing."""
        ...
