"""Large sets of 64-bit hashes in little memory: who has followed whom before, which ids were used.

A hash is the first 8 bytes of BLAKE2b. Two of ten million differ with probability 1 − 3·10⁻⁶ (birthday bound n²/2⁶⁵);
what a collision costs is said where the sets are used. Nothing here depends on Python's own, seeded hash.
"""

from array import array
from bisect import bisect_left, insort
from collections import deque
from hashlib import blake2b
from typing import Any, Final

from pyroaring import BitMap

BUCKETS: Final = 256  # at ten million hashes a bucket has 40,000: inserting moves at most 320 KB, about 15 µs


def hash64(*parts: bytes) -> int:
    """64-bit hash of the parts, each of which must tell its own length (a packed name does)."""
    return int.from_bytes(blake2b(b"".join(parts), digest_size=8).digest(), "little")


class HashSet:
    """A set of 64-bit hashes, 8 bytes each: sorted arrays by the lowest bits."""

    def __init__(self) -> None:
        self._buckets: list[array[int] | None] = [None] * BUCKETS

    def __contains__(self, value: int) -> bool:
        bucket = self._buckets[value % BUCKETS]
        if bucket is None:
            return False
        at = bisect_left(bucket, value)
        return at < len(bucket) and bucket[at] == value

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets if bucket is not None)

    def add(self, value: int) -> bool:
        """Whether it is new."""
        if value in self:
            return False
        bucket = self._buckets[value % BUCKETS]
        if bucket is None:
            self._buckets[value % BUCKETS] = array("Q", (value,))
        else:
            insort(bucket, value)
        return True

    def discard(self, value: int) -> bool:
        """Whether it was there."""
        if value not in self:
            return False
        bucket = self._buckets[value % BUCKETS]
        assert bucket is not None
        del bucket[bisect_left(bucket, value)]
        return True

    def dump(self) -> bytes:
        whole = array("Q")
        for bucket in self._buckets:
            if bucket is not None:
                whole.extend(bucket)
        return whole.tobytes()

    @classmethod
    def load(cls, data: bytes) -> "HashSet":
        made = cls()
        whole = array("Q")
        whole.frombytes(data)
        for value in whole:  # in the order of buckets, rising in each
            bucket = made._buckets[value % BUCKETS]
            if bucket is None:
                made._buckets[value % BUCKETS] = array("Q", (value,))
            else:
                bucket.append(value)
        return made


class _Generation:
    """Ids used in one stretch of fold time, frozen: sorted hashes and, in their order, what came with each and when."""

    def __init__(self, ids: "array[int]", bodies: "array[int]", times: "array[int]") -> None:
        self.ids, self.bodies, self.times = ids, bodies, times
        self.last_ms = max(times)
        self.low = BitMap([value & 0xFFFFFFFF for value in ids])

    def get(self, value: int, since_ms: int) -> int | None:
        at = bisect_left(self.ids, value)
        found = at < len(self.ids) and self.ids[at] == value and self.times[at] > since_ms
        return self.bodies[at] if found else None


class RecentIds:
    """Which ids were used lately, and with which body: exact in fold time; memory is given back a generation at a time.

    At most `at_most` + a sixteenth of them are kept, 26 bytes each.
    """

    def __init__(self, at_most: int = 1_000_000, keep_ms: int = 86_400_000) -> None:
        self.at_most, self.keep_ms = at_most, keep_ms
        self._young: dict[int, tuple[int, int]] = {}
        self._young_since_ms = 0
        self._old: deque[_Generation] = deque()
        self._maybe = BitMap()  # low halves of all old ids: rules out nearly every look-up in them

    def __len__(self) -> int:
        return len(self._young) + sum(len(generation.ids) for generation in self._old)

    def get(self, value: int, now_ms: int = 0) -> int | None:
        """What was put with this id in the last `keep_ms`; None if it was not used then."""
        since_ms = now_ms - self.keep_ms
        young = self._young.get(value)
        if young is not None:
            return young[0] if young[1] > since_ms else None
        if value & 0xFFFFFFFF in self._maybe:
            for generation in reversed(self._old):
                if (found := generation.get(value, since_ms)) is not None:
                    return found
        return None

    def put(self, value: int, body: int, now_ms: int) -> None:
        """The id is used, at fold time `now_ms`."""
        if not self._young:
            self._young_since_ms = now_ms
        self._young[value] = (body, now_ms)
        if (
            len(self._young) >= max(1, self.at_most // 16)
            or now_ms - self._young_since_ms >= self.keep_ms // 16 > 0
        ):
            self._freeze(now_ms)

    def expire(self, now_ms: int) -> None:
        """Forget the generations whose last id is `keep_ms` old, and those beyond the number."""
        dropped = False
        while self._old and (
            self._old[0].last_ms + self.keep_ms <= now_ms or len(self) - len(self._old[0].ids) >= self.at_most
        ):
            self._old.popleft()
            dropped = True
        if dropped:
            self._maybe = BitMap.union(BitMap(), *(generation.low for generation in self._old))

    def _freeze(self, now_ms: int) -> None:
        ids = array("Q", sorted(self._young))
        bodies, times = ([self._young[value][i] for value in ids] for i in (0, 1))
        generation = _Generation(ids, array("Q", bodies), array("Q", times))
        self._old.append(generation)
        self._maybe |= generation.low
        self._young = {}
        self.expire(now_ms)

    def dump(self) -> Any:
        """The ids in values that msgpack knows."""
        return [
            self.at_most, self.keep_ms, self._young, self._young_since_ms,
            [[part.tobytes() for part in (old.ids, old.bodies, old.times)] for old in self._old],
        ]  # fmt: skip

    @classmethod
    def load(cls, data: Any) -> "RecentIds":
        made = cls(data[0], data[1])
        made._young = {value: (body, at_ms) for value, (body, at_ms) in data[2].items()}
        made._young_since_ms = data[3]
        for parts in data[4]:
            arrays = [array("Q") for _ in parts]
            for made_of, part in zip(arrays, parts, strict=True):
                made_of.frombytes(part)
            generation = _Generation(*arrays)
            made._old.append(generation)
            made._maybe |= generation.low
        return made
