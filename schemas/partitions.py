"""Which partition an id lives in: murmur2 of its UTF-8, as Kafka's own clients compute it.

Source: the Java client's `Utils.murmur2` and `BuiltInPartitioner.partitionForKey` (Apache Kafka).
"""

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of `data`, unsigned."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    tail = length & 3
    if tail == 3:
        h ^= data[whole + 2] << 16
    if tail >= 2:
        h ^= data[whole + 1] << 8
    if tail >= 1:
        h ^= data[whole]
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 15)  # ids repeat: a thread's entity, a busy actor; 32,768 entries are about 6 MB
def partition_of(key: str, partitions: int) -> int:
    """The partition, 0 ≤ p < `partitions`, of the user or entity `key`."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
