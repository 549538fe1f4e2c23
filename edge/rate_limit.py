"""Rate limits: a token bucket for each name, in a table that never grows past a bound.

A bucket holds `BURST_S` seconds' worth of requests and refills all the time. When the table is full, the name
not seen for the longest time is forgotten, and would begin anew with a full bucket.

Told by the three fields of draft-ietf-httpapi-ratelimit-headers-06: `RateLimit-Limit` (what a full bucket
holds), `RateLimit-Remaining` (requests it still holds), `RateLimit-Reset` (seconds until it is full again).
"""

import math
from collections import OrderedDict
from typing import Final, NamedTuple

BURST_S: Final = 5  # a page that opens asks several things at once; a shift's start asks for all at once
NAMES_MAX: Final = 10_000  # about 2 MB


class Allowance(NamedTuple):
    """What a bucket said to one request. Times in whole seconds, rounded up."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class RateLimit:
    """`per_s` requests a second for each name; `now_s` (monotonic seconds) comes with every question."""

    def __init__(self, per_s: float, names_max: int = NAMES_MAX) -> None:
        if per_s <= 0:
            raise ValueError("a rate limit is above zero; leave the limit away instead")
        self._per_s = per_s
        self._capacity = max(1, math.ceil(per_s * BURST_S))
        self._names_max = names_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name: (level, at_s)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now_s: float) -> Allowance:
        """Take one request out of the bucket of `name`; a refused one takes nothing."""
        level, at_s = self._buckets.pop(name, (float(self._capacity), now_s))
        level = min(self._capacity, level + max(0.0, now_s - at_s) * self._per_s)
        allowed = level >= 1.0
        if allowed:
            level -= 1.0
        self._buckets[name] = (level, now_s)
        if len(self._buckets) > self._names_max:
            self._buckets.popitem(last=False)
        return Allowance(
            allowed=allowed,
            limit=self._capacity,
            remaining=int(level),
            reset_s=math.ceil((self._capacity - level) / self._per_s),
            retry_after_s=0 if allowed else max(1, math.ceil((1.0 - level) / self._per_s)),
        )
