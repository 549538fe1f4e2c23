"""Names and words of the SQLite store as numbers, for its one writer.

What is kept in memory here repeats what the file says; after a transaction that was rolled back it may say more, and
is to be thrown away.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

import msgspec

from fanbell.projections.sqlite_reader import json_text
from fanbell.projections.sqlite_tables import USERS_MAX
from fanbell.projections.store import StoreFailed
from fanbell.streams.sqlite import put_rows

NAMES_CACHED: Final = (
    1 << 20
)  # names of users, about 150 bytes each: as many as a batch must never push each other out
WORDS_CACHED: Final = 1 << 17

_KNOWN: Final = """
SELECT json_group_array(json_array(u.name, u.id)) FROM json_each(?) j JOIN users u ON u.name = j.value"""
_known_fields: Final = msgspec.json.Decoder(list[tuple[str, int]])


class Names:
    """Numbers of users and words, given out densely from 1 as they are first met."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.ids: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._last = int(connection.execute("SELECT coalesce(max(id), 0) FROM users").fetchone()[0])

    def learn(self, names: Mapping[int, set[str]]) -> None:
        """See to it that `ids` has all of `names`, by the partition that they live in."""
        # Not `some - self.ids.keys()`: that goes through all the keys, of which there may be a million.
        missing = {name: partition for partition, some in names.items() for name in some.difference(self.ids)}
        if not missing:
            return
        if len(self.ids) + len(missing) > NAMES_CACHED:
            self.ids.clear()
            missing = {name: partition for partition, some in names.items() for name in some}
        text = self._connection.execute(_KNOWN, (json_text(list(missing)),)).fetchone()[0]
        found = dict(_known_fields.decode(text))
        new = sorted((partition, name) for name, partition in missing.items() if name not in found)
        if new:
            if self._last + len(new) >= USERS_MAX:
                raise StoreFailed(f"there are {self._last} users; this store takes at most {USERS_MAX}")
            rows = [(self._last + i, name, partition) for i, (partition, name) in enumerate(new, 1)]
            put_rows(self._connection, "INSERT OR ROLLBACK INTO users", rows)
            self._last += len(new)
            found.update((name, id_) for id_, name, _ in rows)
        self.ids.update(found)

    @property
    def last(self) -> int:
        """The highest number given to a user."""
        return self._last

    def word(self, word: str) -> int:
        """The number of a kind, scope, reason or rule."""
        number = self._words.get(word)
        if number is None:
            self._connection.execute("INSERT OR IGNORE INTO words (word) VALUES (?)", (word,))
            row = self._connection.execute("SELECT id FROM words WHERE word = ?", (word,)).fetchone()
            if len(self._words) >= WORDS_CACHED:
                self._words.clear()
            number = self._words[word] = int(row[0])
        return number
