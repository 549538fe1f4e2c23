"""What a call of the Cassandra store is to write, gathered by Cassandra partition and sent in packed batches.

Batches of one Cassandra partition go one after the other, each once the one before is acknowledged: what is there of
a user after a failure is what was asked for up to some moment. Those of different ones go together.
"""

from typing import Final

from fanbell.streams.cassandra import Cassandra, each
from fanbell.streams.cassandra_packed import PackedBatch

BATCH_ROWS: Final = 250  # rows of one batch, about 25 KB: more saves nothing, and takes the server a pause
HEAVY_ROWS: Final = 25  # what a body, a profile or preferences count for: a few KB each


class Bucket:
    """The batches of one Cassandra partition, the last of them still open."""

    __slots__ = ("closed", "pieces", "rows", "weight")

    def __init__(self) -> None:
        self.closed: list[tuple[int, list[bytes]]] = []
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

        async def write(item: tuple[bytes, Bucket]) -> None:
            key, bucket = item
            bucket.close()
            for rows, pieces in bucket.closed:
                await cassandra.execute_packed(PackedBatch(key, rows, pieces))

        await each(buckets.items(), write)
