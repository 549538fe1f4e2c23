"""Bounds of one session and of one address. Pure: time comes with the question.

How often an address may connect is a `RateLimit`, as for requests; here is how many sessions it has, and how many
frames a session may send.
"""


class Bucket:
    """Frames that one session may send: `per_s` a second, and `burst` more after a silence."""

    __slots__ = ("_at_s", "_burst", "_level", "_per_s")

    def __init__(self, per_s: float, burst: int, now_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._level = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether one more may come at `now_s`, s; one that may not takes nothing."""
        self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class Places:
    """How many sessions each address has, at most `most`; 0 is no bound. Addresses without any take no room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, address: str) -> bool:
        """Count one more; whether it is within the bound. It is to `leave` in either case."""
        self._taken[address] = taken = self._taken.get(address, 0) + 1
        return not self._most or taken <= self._most

    def leave(self, address: str) -> None:
        """One that entered is gone."""
        left = self._taken[address] - 1
        if left:
            self._taken[address] = left
        else:
            del self._taken[address]
