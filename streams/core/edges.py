"""Edges to people: who follows, mutes or blocks an id, in 12 bytes an edge.

Most ids have one or two followers in a shard. As a dictionary of small sets, slashdot-zoo's graph took 94 bytes an
edge; here an edge is a pair of the id's hash and an ordinal, in sorted arrays cut into buckets by the lowest bits of
the hash. The few ids with many edges have a Roaring bitmap each.

Ids are told apart by 64 bits of BLAKE2b. Two of ten million share them with probability 3·10⁻⁶ (`hashes.py`); then who
follows one hears of the other too. To find a second id for a given one takes 2⁶⁴ attempts.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import Any, Final

from pyroaring import BitMap

BUCKETS: Final = 256  # at ten million edges a bucket has 40,000: inserting moves at most 480 KB, about 20 µs
MANY: Final = 64  # above it a bitmap is smaller, and an id followed by all does not make a bucket of its own


class Edges:
    """(64-bit hash of an id, ordinal) pairs: a set for each hash."""

    def __init__(self) -> None:
        self._hashes: list[array[int] | None] = [None] * BUCKETS
        self._ordinals: list[array[int] | None] = [None] * BUCKETS
        """Beside `_hashes`, the ordinals of one hash rising."""
        self._many: dict[int, BitMap] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, hash_: int) -> BitMap | None:
        """Those with an edge to the id; None if there are none. May be the stored set: not to be changed."""
        hashes = self._hashes[hash_ % BUCKETS]
        if hashes is not None:
            low = bisect_left(hashes, hash_)
            if low < len(hashes) and hashes[low] == hash_:
                ordinals = self._ordinals[hash_ % BUCKETS]
                assert ordinals is not None
                return BitMap(ordinals[low : bisect_right(hashes, hash_, low)])
        return self._many.get(hash_)

    def has(self, hash_: int, ordinal: int) -> bool:
        found = self.get(hash_)
        return found is not None and ordinal in found

    def add(self, hash_: int, ordinal: int) -> bool:
        """Whether the edge is new."""
        many = self._many.get(hash_)
        if many is not None:
            if ordinal in many:
                return False
            many.add(ordinal)
            self._size += 1
            return True
        hashes, ordinals = self._bucket(hash_)
        low = bisect_left(hashes, hash_)
        high = bisect_right(hashes, hash_, low)
        at = bisect_left(ordinals, ordinal, low, high)
        if at < high and ordinals[at] == ordinal:
            return False
        hashes.insert(at, hash_)
        ordinals.insert(at, ordinal)
        self._size += 1
        if high - low >= MANY:
            self._many[hash_] = BitMap(ordinals[low : high + 1])
            del hashes[low : high + 1], ordinals[low : high + 1]
        return True

    def discard(self, hash_: int, ordinal: int) -> bool:
        """Whether the edge was there."""
        many = self._many.get(hash_)
        if many is not None:
            if ordinal not in many:
                return False
            many.remove(ordinal)
            self._size -= 1
            if len(many) <= MANY // 2:  # half: a set at the border does not change form at every step
                del self._many[hash_]
                hashes, ordinals = self._bucket(hash_)
                low = bisect_left(hashes, hash_)
                hashes[low:low] = array("Q", [hash_]) * len(many)
                ordinals[low:low] = array("I", many)
            return True
        hashes, ordinals = self._bucket(hash_)
        low = bisect_left(hashes, hash_)
        high = bisect_right(hashes, hash_, low)
        at = bisect_left(ordinals, ordinal, low, high)
        if at == high or ordinals[at] != ordinal:
            return False
        del hashes[at], ordinals[at]
        self._size -= 1
        return True

    def _bucket(self, hash_: int) -> "tuple[array[int], array[int]]":
        bucket = hash_ % BUCKETS
        hashes, ordinals = self._hashes[bucket], self._ordinals[bucket]
        if hashes is None or ordinals is None:
            hashes = self._hashes[bucket] = array("Q")
            ordinals = self._ordinals[bucket] = array("I")
        return hashes, ordinals

    def dump(self) -> list[Any]:
        """The edges in values that msgpack knows."""
        buckets = [
            [bucket, hashes.tobytes(), ordinals.tobytes()]
            for bucket, (hashes, ordinals) in enumerate(zip(self._hashes, self._ordinals, strict=True))
            if hashes and ordinals
        ]
        return [buckets, [[hash_, bytes(self._many[hash_].serialize())] for hash_ in sorted(self._many)]]

    @classmethod
    def load(cls, data: list[Any]) -> "Edges":
        """The reverse of `dump`."""
        made = cls()
        for bucket, hashes, ordinals in data[0]:
            made._hashes[bucket], made._ordinals[bucket] = array("Q", hashes), array("I", ordinals)
            made._size += len(made._ordinals[bucket] or ())
        made._many = {hash_: BitMap.deserialize(many) for hash_, many in data[1]}
        made._size += sum(map(len, made._many.values()))
        return made
