"""Which inboxes of the SQLite store are due for trimming, by counting rows as they are written.

Nothing here reads the file: a user not looked at yet since the process began counts as holding `keep` rows and some.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable


class Held:
    """How many rows each user's inbox holds on disk, as far as known without looking."""

    def __init__(self, keep: int, trim_rows: int) -> None:
        self.keep = keep
        self.trim_rows = trim_rows
        self.slack = min(max(50, keep // 4), trim_rows)
        self._rows = array("q")
        self._exact = bytearray()
        self.over: defaultdict[int, set[int]] = defaultdict(set)
        """Users to trim, by partition."""
        self.excess: Counter[int] = Counter()
        """Rows that trimming them would delete, about, by partition."""

    def grow(self, last: int) -> None:
        """Make room for users up to number `last`, spread over the slack at first, so that not all trim at once."""
        first = len(self._rows)
        if first <= last:
            self._rows.extend(self.keep + user % self.slack for user in range(first, last + 1))
            self._exact.extend(bytes(last + 1 - first))

    def add(self, partition: int, users: Iterable[int]) -> None:
        limit, rows, over = self.keep + self.slack, self._rows, self.over[partition]
        excess = 0
        for user, count in Counter(users).items():
            held = rows[user] = rows[user] + count
            if held > limit:
                excess += count if user in over else held - self.keep
                over.add(user)
        self.excess[partition] += excess

    def due(self) -> list[tuple[int, set[int]]]:
        """Partitions to trim now, and which of their users: the one with most to trim, and those long past due.

        Partitions fill at the same pace; one at a time keeps the transactions that trim short.
        """
        ready = [p for p, excess in self.excess.most_common() if excess >= self.trim_rows]
        ready = ready[:1] + [p for p in ready[1:] if self.excess[p] >= 2 * self.trim_rows]
        for partition in ready:
            del self.excess[partition]
        return [(partition, self.over.pop(partition)) for partition in ready]

    def doubtful(self, users: Iterable[int]) -> list[int]:
        """Those of `users` whose inbox may hold more than `keep` rows."""
        return [user for user in users if self._rows[user] > self.keep or not self._exact[user]]

    def full(self, users: Iterable[int]) -> list[int]:
        """Those of `users` whose inbox may hold `keep` rows or more."""
        return [user for user in users if self._rows[user] >= self.keep]

    def found(self, user: int, rows: int) -> None:
        """The inbox of `user` now holds exactly `rows`."""
        self._rows[user] = rows
        self._exact[user] = 1
