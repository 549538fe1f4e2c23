"""What a stopped server's folder holds, read for the hash of an answer and for what was heard."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fanbell.infra.folder import STATE_FILE
from fanbell.infra.intake import run as now
from fanbell.schemas.codec import content_of, decode
from fanbell.schemas.records import Notice, Outcome, Told
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import open_database

_ROWS = """
SELECT b.note, b.grouped, b.content, i.flags FROM (
    SELECT * FROM inbox WHERE user = ? ORDER BY seq DESC LIMIT ?) i
JOIN bodies b ON b.id = (? << 36) | (i.seq + i.body_later) ORDER BY i.seq DESC"""


def inboxes(folder: Path, keep: int) -> Iterator[bytes]:
    """Every inbox, by user: ids, counts, actors and flags of its rows, newest first; no seqs."""
    connection = open_database(folder / STATE_FILE, read_only=True)
    try:
        users = connection.execute("SELECT name, id, partition FROM users ORDER BY name").fetchall()
        for name, number, partition in users:
            yield name.encode()
            yield from map(_row, connection.execute(_ROWS, (number, keep, partition)))
    finally:
        connection.close()


def _row(fields: tuple[str, str | None, bytes, int]) -> bytes:
    note, grouped, content, flags = fields
    return f"{note}|{grouped or content_of(content).actor}|{flags}\n".encode()


def ends(folder: Path) -> dict[int, int]:
    """partition → offset that its next record in `notices` will have."""
    with_log = _Log(folder)
    try:
        return with_log.ends()
    finally:
        with_log.close()


def notices(folder: Path, since: dict[int, int]) -> Iterator[Told]:
    """What `notices` gained since `ends` was asked."""
    opened = _Log(folder)
    try:
        for partition, at in since.items():
            while records := now(opened.log.read(NOTICES, partition, at, 5_000)):
                at = records[-1].offset + 1
                for record in records:
                    yield decode(record.value)
    finally:
        opened.close()


def heard(told: Told) -> int:
    """How many more have heard of an activity: activity × recipient that passed all rules, each once."""
    if isinstance(told, Notice):
        return len(told.recipients)
    return told.heard if isinstance(told, Outcome) else 0


class _Log:
    def __init__(self, folder: Path) -> None:
        self._connection: sqlite3.Connection = open_database(folder / STATE_FILE, read_only=True)
        self.log = SqliteLog.reading(self._connection)

    def ends(self) -> dict[int, int]:
        return {p: now(self.log.end(NOTICES, p)) for p in range(self.log.partitions)}

    def close(self) -> None:
        self._connection.close()
