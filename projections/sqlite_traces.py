"""What became of activities, in the SQLite store: how many heard, how many each rule silenced.

Two tables take turns. When the one in use is full, the other, older one is emptied and used: so the last 500,000
counts at least are known, and a million at most.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from fanbell.schemas.records import Outcome
from fanbell.streams.sqlite import put_rows

GENERATION_ROWS: Final = 500_000  # 16 bytes each: two generations are 16 MB
HEARD: Final = 0
"""In place of the number of a rule."""


def number_of(activity: str) -> int:
    """64 bits of a hash of an activity's id, signed: among a million, two share one once in 10^7 installations."""
    return int.from_bytes(blake2b(activity.encode(), digest_size=8).digest(), "little", signed=True)


class Traces:
    """Counts gathered within one call and added to those in the file at its end."""

    def __init__(self, connection: sqlite3.Connection, generation_rows: int = GENERATION_ROWS) -> None:
        self._connection = connection
        self._generation_rows = generation_rows
        self._heard: Counter[str] = Counter()
        self._silenced: Counter[tuple[str, str]] = Counter()
        row = connection.execute("SELECT current FROM trace_generation").fetchone()
        self._current = 0 if row is None else int(row[0])
        self._rows = int(connection.execute(f"SELECT count(*) FROM traces_{self._current}").fetchone()[0])  # noqa: S608

    def heard(self, activity: str, count: int) -> None:
        self._heard[activity] += count

    def outcome(self, outcome: Outcome) -> None:
        self._heard[outcome.id] += outcome.heard
        for item in outcome.silenced:
            self._silenced[outcome.id, item.rule] += item.count

    def flush(self, word: Callable[[str], int]) -> None:
        """Add what was gathered to the file. `word`: the number of a rule."""
        rows = [(number_of(activity), HEARD, count) for activity, count in self._heard.items()]
        rows += [
            (number_of(activity), word(rule), count) for (activity, rule), count in self._silenced.items()
        ]
        if not rows:
            return
        self._heard.clear()
        self._silenced.clear()
        if self._rows + len(rows) > self._generation_rows:
            self._turn()
        self._rows += len(rows)
        head = f"INSERT INTO traces_{self._current}"
        put_rows(self._connection, head, rows, "ON CONFLICT DO UPDATE SET count = count + excluded.count")

    def _turn(self) -> None:
        self._current = 1 - self._current
        self._rows = 0
        self._connection.execute(f"DELETE FROM traces_{self._current}")  # noqa: S608 - 0 or 1
        self._connection.execute("INSERT OR REPLACE INTO trace_generation VALUES (0, ?)", (self._current,))
