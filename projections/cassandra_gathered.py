"""What a call of the Cassandra store is to write, gathered by Cassandra partition and sent in packed batches.

Batches of one Cassandra partition go one after the other, each once the one before is acknowledged: what is there of
a user after a failure is what was asked for up to some moment. Those of different ones go together; and small ones that
lie on the same servers in one request, since of a row of its own the request is most of what it costs.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Final

from fanbell.streams.cassandra import Cassandra, each
from fanbell.streams.cassandra_packed import PackedBatch

BATCH_ROWS: Final = 250  # rows of one batch, about 25 KB: more saves nothing, and takes the server a pause
HEAVY_ROWS: Final = 25  # what a body, a profile or preferences count for: a few KB each
# Of a batch over several Cassandra partitions a server warns, and tells the client too, if there are more than 10 of
# them (unlogged_batch_across_partitions_warn_threshold) or above 5 KiB (batch_size_warn_threshold), as it is set up.
TOGETHER_MAX: Final = 10
TOGETHER_BYTES: Final = 4_096

Batch = tuple[int, list[bytes]]
"""Rows, and their heads and values"""


class Bucket:
    """The batches of one Cassandra partition, the last of them still open."""

    __slots__ = ("closed", "pieces", "rows", "weight")

    def __init__(self) -> None:
        self.closed: list[Batch] = []
        self.pieces: list[bytes] = []
        self.rows = self.weight = 0

    def close(self) -> None:
        self.closed.append((self.rows, self.pieces))
        self.pieces = []
        self.rows = self.weight = 0


class Gathered:
    """By routing key, what is to be written."""

    def __init__(self) -> None:
        self.buckets: dict[bytes, Bucket] = {}
        self.rows = 0

    def add(self, key: bytes, *pieces: bytes, rows: int = 1, weight: int = 1) -> None:
        """Add `rows` rows, whose heads and values are `pieces`: they come into force together."""
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = Bucket()
        elif bucket.weight >= BATCH_ROWS:
            bucket.close()
        bucket.pieces += pieces
        bucket.rows += rows
        bucket.weight += weight
        self.rows += rows

    async def send(self, cassandra: Cassandra) -> None:
        """Write it all; afterwards there is nothing to write. Raises CassandraFailed."""
        buckets, self.buckets, self.rows = self.buckets, {}, 0

        async def write(item: tuple[bytes, list[Batch]]) -> None:
            key, batches = item
            for rows, pieces in batches:
                await cassandra.execute_packed(PackedBatch(key, rows, pieces))

        await each(list(requests(buckets, cassandra.replicas)), write)


def requests(
    buckets: dict[bytes, Bucket], replicas: Callable[[bytes], Hashable]
) -> Iterator[tuple[bytes, list[Batch]]]:
    """What goes side by side: a routing key, and the batches that go there one after the other.

    `replicas`: of a routing key, what is equal for those whose rows lie on the same servers.
    """
    open_: dict[Hashable, tuple[bytes, Together]] = {}
    for key, bucket in buckets.items():
        bucket.close()
        size = sum(map(len, bucket.closed[0][1])) if len(bucket.closed) == 1 else TOGETHER_BYTES
        if size >= TOGETHER_BYTES // 2:
            yield key, bucket.closed
            continue
        where = replicas(key)
        first, together = open_.get(where) or (key, Together())
        if together.buckets == TOGETHER_MAX or together.size + size > TOGETHER_BYTES:
            yield first, [together.batch]
            first, together = key, Together()
        together.add(bucket.closed[0], size)
        open_[where] = first, together
    for first, together in open_.values():
        yield first, [together.batch]


class Together:
    """Small batches of several Cassandra partitions, to go in one request."""

    __slots__ = ("buckets", "pieces", "rows", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.buckets = self.rows = self.size = 0

    def add(self, batch: Batch, size: int) -> None:
        rows, pieces = batch
        self.pieces += pieces
        self.rows += rows
        self.buckets += 1
        self.size += size

    @property
    def batch(self) -> Batch:
        return self.rows, self.pieces
