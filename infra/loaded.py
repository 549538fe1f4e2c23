"""Which files were loaded, and how far: whoever loads one again goes on after it.

An activity's id counts for a day of fold time, and history is longer than that. So what tells a file's lines from new
ones is the file's beginning itself: its length and BLAKE2b, noted in the transaction that makes its lines durable.
"""

import sqlite3
from hashlib import blake2b
from typing import BinaryIO, Final

KEPT: Final = 100  # files; of those loaded before them, only ids tell
_BLOCK_BYTES: Final = 1 << 20
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS loaded (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, digest BLOB NOT NULL)"
)


class Beginning:
    """The first `size` bytes, `lines` lines, of a file."""

    def __init__(self) -> None:
        self.size = self.lines = 0
        self._hash = blake2b(digest_size=16)

    def add(self, data: bytes, lines: int) -> None:
        self.size += len(data)
        self.lines += lines
        self._hash.update(data)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def copy(self) -> "Beginning":
        made = Beginning()
        made.size, made.lines, made._hash = self.size, self.lines, self._hash.copy()
        return made


class Loaded:
    """The table of it, in whose `connection` the lines are made durable. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(_TABLE)
        self._id: int | None = None

    def find(self, file: BinaryIO) -> Beginning:
        """How much of `file` was loaded before; it is left standing there."""
        noted = set(self._connection.execute("SELECT bytes, digest FROM loaded").fetchall())
        reading, found = Beginning(), Beginning()
        for size, digest in sorted(noted):
            while reading.size < size and (data := file.read(min(_BLOCK_BYTES, size - reading.size))):
                reading.add(data, data.count(b"\n"))
            if reading.size < size:
                break
            if reading.digest == digest:
                found = reading.copy()
        file.seek(found.size)
        return found

    def note(self, beginning: Beginning) -> None:
        """So much of the file is loaded; part of the transaction in which its lines are."""
        row = (self._id, beginning.size, beginning.digest)
        self._id = self._connection.execute("INSERT OR REPLACE INTO loaded VALUES (?, ?, ?)", row).lastrowid
        self._connection.execute("DELETE FROM loaded WHERE id <= ?", ((self._id or 0) - KEPT,))
