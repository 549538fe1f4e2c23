"""The log, as Fanbell needs one: a port. Adapters: `log_memory.py`, `log_sqlite.py`, `log_kafka.py`."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.topics import TOPICS

VALUE_BYTES_MAX: Final = 2 * RECORD_BYTES_MAX  # Kafka's default; a dead letter holds a whole record
COMMIT_AGAIN_S: Final = 86_400.0
"""So often what is committed is said again, though nothing came: Kafka forgets after 7 days what a group without
members committed (`offsets.retention.minutes`)."""
_ONE_PARTITION: Final = frozenset(topic.name for topic in TOPICS if not topic.partitioned)


class LogFailed(Exception):
    """An append or read failed, or its outcome is unknown: who appended drops its state and opens anew."""


class Entry(Struct, frozen=True, gc=False, array_like=True):
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


def check_place(topic: str, partition: int, partitions: int) -> None:
    """Raise ValueError if `topic`, in a log of `partitions`, has no such partition."""
    if not 0 <= partition < (1 if topic in _ONE_PARTITION else partitions):
        raise ValueError(f"topic {topic} has no partition {partition} (the log has {partitions} partitions)")


def check_entries(entries: Sequence[Entry]) -> None:
    """Raise ValueError if one of `entries` is larger than a log takes."""
    largest = max((len(entry.value) for entry in entries), default=0)
    if largest > VALUE_BYTES_MAX:
        raise ValueError(f"a record of {largest} bytes is more than a log takes ({VALUE_BYTES_MAX})")


class Log(Protocol):
    """Topics of partitions of records. Offsets start at 0, only grow, and may have holes (aborted records).

    Everywhere, a partition that the topic does not have is a ValueError.
    """

    @property
    def identity(self) -> str:
        """Names this very log: the same made anew has another. Snapshots and cursors carry it."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions a partitioned topic has; fixed for the life of the log."""
        ...

    async def append(self, topic: str, partition: int, entries: Sequence[Entry]) -> int:
        """Put `entries` at the end, in order, contiguous; return the first one's offset once acknowledged.

        All or nothing, but a failure (LogFailed, or cancellation) leaves open which. Two calls that overlap
        are taken in either order. An empty sequence returns the end. A value above VALUE_BYTES_MAX is a
        ValueError, and nothing is put.
        """
        ...

    async def append_all(self, batches: Sequence[tuple[str, int, Sequence[Entry]]]) -> list[int]:
        """`append` each (topic, partition, entries), in this order; the first offset of each.

        Not all or nothing, unless the adapter says so: what failed may have been preceded by what did not.
        """
        ...

    async def read(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        """Up to `at_most` records, in order, from `offset` or, if above, `start` on; empty at the end."""
        ...

    async def start(self, topic: str, partition: int) -> int:
        """The offset of the first record kept, or of the next one if none is."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will have; all acknowledged records are below."""
        ...

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget the records below `before`. What is kept stays where it is; twice changes nothing.

        Beyond the end, `before` means the end: offsets go on from there.
        """
        ...

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Remember that `group` needs nothing below `offset` any more. The latest stands, also if lower."""
        ...

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        """What `group` committed last; None if nothing."""
        ...
