"""Reads of the SQLite store: one statement and one step each, on connections of their own.

Each answer comes as one JSON text. Python's sqlite3 lets other threads run at every step, and beside a busy writer
each way back costs up to 5 ms; so rows are not stepped through. (It is also faster: 200 rows in 56 µs, not 97.)
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from fanbell.projections.sqlite_tables import SHIFT
from fanbell.projections.store import Body, Profile, Reading, Row, StoreFailed
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Preference
from fanbell.streams.sqlite import DatabaseFailed, failure, open_database

T = TypeVar("T")

BODIES_CACHED: Final = 20_000  # decoded, about 1 KB each
USERS_CACHED: Final = 200_000  # names and partitions, about 200 bytes each
WORDS_CACHED: Final = 200_000

_ROWS: Final = """
SELECT u.partition, (
    SELECT json_group_array(json_array(seq, changed_later, flags, kind, scope, expires, body_later))
    FROM (SELECT * FROM inbox WHERE user = u.id ORDER BY seq DESC LIMIT ?2)),
    (SELECT seq FROM taken_back WHERE user = u.id)
FROM users u WHERE u.name = ?1"""
_BODIES: Final = f"""
SELECT u.partition, (
    SELECT json_group_array(json_array(j.value, b.note, w.word, json(b.grouped), hex(b.content)))
    FROM json_each(?2) j JOIN bodies b ON b.id = (u.partition << {SHIFT}) | j.value JOIN words w ON w.id = b.reason)
FROM users u WHERE u.name = ?1"""  # noqa: S608 - constants only
_SEQS: Final = f"""
SELECT json_group_array(json_array(b.note, i.seq)) FROM users u
JOIN (SELECT user, seq, body_later FROM inbox WHERE user = (SELECT id FROM users WHERE name = ?1)
      ORDER BY seq DESC LIMIT ?3) i ON i.user = u.id
JOIN bodies b ON b.id = (u.partition << {SHIFT}) | (i.seq + i.body_later)
WHERE b.note IN (SELECT value FROM json_each(?2))"""  # noqa: S608 - constants only
_WORDS: Final = (
    "SELECT json_group_array(json_array(id, word)) FROM words WHERE id IN (SELECT value FROM json_each(?))"
)
_PROFILES: Final = """
SELECT json_group_array(json_array(u.name, p.name, p.avatar_url, p.locale, p.timezone))
FROM json_each(?) j JOIN users u ON u.name = j.value JOIN profiles p ON p.user = u.id"""
_PREFERENCES: Final = "SELECT items FROM preferences WHERE user = (SELECT id FROM users WHERE name = ?)"
_LISTED: Final = """
SELECT json_group_array(item) FROM (
    SELECT item FROM lists WHERE user = (SELECT id FROM users WHERE name = ?1) AND what = ?2 AND item > ?3
    ORDER BY item LIMIT ?4)"""
_TRACED: Final = """
SELECT json_group_array(json_array((SELECT word FROM words WHERE id = rule), count)) FROM (
    SELECT rule, count FROM traces_0 WHERE activity = ?1
    UNION ALL SELECT rule, count FROM traces_1 WHERE activity = ?1)"""

_row_fields: Final = msgspec.json.Decoder(list[tuple[int, int, int, int, int, int | None, int]])
_body_fields: Final = msgspec.json.Decoder(list[tuple[int, str, str, tuple[int, int, list[str]] | None, str]])
_seq_fields: Final = msgspec.json.Decoder(list[tuple[str, int]])
_word_fields: Final = msgspec.json.Decoder(list[tuple[int, str]])
_profile_fields: Final = msgspec.json.Decoder(
    list[tuple[str, str | None, str | None, str | None, str | None]]
)
_items: Final = msgspec.json.Decoder(list[str])
_trace_fields: Final = msgspec.json.Decoder(list[tuple[str | None, int]])
preference_fields: Final = msgspec.json.Decoder(list[tuple[str, str, str, str]])


def json_text(value: object) -> str:
    """`value` as JSON text, which SQLite's JSON functions take (bytes they do not)."""
    return msgspec.json.encode(value).decode()


class Reader:
    """Answers about committed inboxes, from at most `threads` threads, so that the event loop never waits for the
    disk.
    """

    def __init__(self, path: str, keep: int, threads: int) -> None:
        self.path, self.keep = path, keep
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inbox-reader")
        self._mine = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._bodies: dict[tuple[int, int], Body] = {}
        self._partitions: dict[str, int] = {}
        self._words: dict[int, str] = {}

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    async def read(self, user: str) -> Reading:
        return await self._within(self._read, user)

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        found: dict[int, Body] = {}
        partition = self._partitions.get(user)
        missing = list(seqs)
        if partition is not None:
            cached = self._bodies
            found = {seq: body for seq in seqs if (body := cached.get((partition, seq))) is not None}
            missing = [seq for seq in seqs if seq not in found]
        if missing:
            found.update(await self._within(self._read_bodies, user, missing))
        return found

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        text = await self._within(self._one, _SEQS, (user, json_text(ids), self.keep))
        return dict(_seq_fields.decode(text))

    async def preferences(self, user: str) -> list[Preference]:
        text = await self._within(self._one, _PREFERENCES, (user,))
        return [] if text is None else [Preference(*item) for item in preference_fields.decode(text)]

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        text = await self._within(self._one, _PROFILES, (json_text(users),))
        return {user: Profile(*fields) for user, *fields in _profile_fields.decode(text)}

    async def listed(self, user: str, what: int, after: str | None, limit: int) -> list[str]:
        return _items.decode(await self._within(self._one, _LISTED, (user, what, after or "", limit)))

    async def traced(self, activity: int) -> list[tuple[str | None, int]]:
        """(rule, count) of one activity, by its number; rule None is having heard."""
        return _trace_fields.decode(await self._within(self._one, _TRACED, (activity,)))

    def positions(self) -> dict[int, int]:
        """Read at once, in the thread that asks: a handful of rows, wanted before there is an event loop."""
        connection = open_database(self.path, read_only=True)
        try:
            return dict(connection.execute("SELECT partition, position FROM positions").fetchall())
        except sqlite3.Error as error:
            raise failure(error, self.path) from error
        finally:
            connection.close()

    async def _within(self, read: Callable[..., T], *args: Any) -> T:
        """`read(*args)`, made in one of the pool's threads."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, read, *args)
        except sqlite3.Error as error:
            raise StoreFailed(str(failure(error, self.path))) from error
        except DatabaseFailed as error:
            raise StoreFailed(str(error)) from error

    # What follows runs in the pool's threads. The caches are plain dicts: every touch of them is one atomic operation.

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = open_database(self.path, read_only=True)
            self._opened.append(connection)
        return connection

    def _one(self, sql: str, args: tuple[object, ...]) -> Any:
        """The first column of the first row; None if there is none."""
        row = self._connection().execute(sql, args).fetchone()
        return None if row is None else row[0]

    def _read(self, user: str) -> Reading:
        row = self._connection().execute(_ROWS, (user, self.keep)).fetchone()
        if row is None:
            return Reading([], 0)
        self._remember(user, row[0])
        fields = _row_fields.decode(row[1])
        words = self._words_of({f[3] for f in fields} | {f[4] for f in fields})
        rows = [
            Row(seq, seq + changed, flags, words[kind], words[scope] if scope else None, expires, seq + body)
            for seq, changed, flags, kind, scope, expires, body in fields
        ]
        return Reading(rows, max([row[2] or 0, *(one.changed_seq for one in rows)]))

    def _words_of(self, ids: set[int]) -> dict[int, str]:
        """At least these words; 0 stands for none."""
        words = self._words
        missing = [word for word in ids if word and word not in words]
        if missing:
            if len(words) > WORDS_CACHED:
                words = self._words = {}
                missing = [word for word in ids if word]
            words.update(_word_fields.decode(self._one(_WORDS, (json_text(missing),))))
        return words

    def _read_bodies(self, user: str, seqs: list[int]) -> dict[int, Body]:
        row = self._connection().execute(_BODIES, (user, json_text(seqs))).fetchone()
        if row is None:
            return {}
        partition = row[0]
        self._remember(user, partition)
        found = {fields[0]: _body(*fields) for fields in _body_fields.decode(row[1])}
        if len(self._bodies) > BODIES_CACHED:
            self._bodies = {}
        self._bodies.update({(partition, seq): body for seq, body in found.items()})
        return found

    def _remember(self, user: str, partition: int) -> None:
        if len(self._partitions) > USERS_CACHED:
            self._partitions = {}
        self._partitions[user] = partition


def _body(
    _: int, note: str, reason: str, grouped: tuple[int, int, list[str]] | None, content_hex: str
) -> Body:
    content = content_of(bytes.fromhex(content_hex))
    if grouped is None:
        return Body(note, reason, 1, (content.actor,), content.at_ms, content)
    count, created_ms, actors = grouped
    return Body(note, reason, count, tuple(actors), created_ms, content)
