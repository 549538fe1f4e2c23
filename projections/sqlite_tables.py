"""The tables of the SQLite store, and how numbers are packed in them.

    users    name -> number, partition             numbers are dense, so that rows and memory per user are small
    words    kinds, scopes, reasons, rules -> number
    inbox    (user, seq) -> flags, what it shows    clustered: an inbox lies on a few neighbouring pages
    taken_back                                      user -> seq of the last record that took a row back when it was full
    bodies   (partition, seq) -> what is shown, once for all recipients, and how many rows show it
    lists    (user, what, item)                     follows, mutes, blocks
    profiles, preferences                           by user
    traces_0, traces_1                              (activity, rule) -> count; two generations, the older is dropped
    positions                                       partition -> offset in `notices` of the last record applied

A row says how much later than its `seq` it changed and its body was told (0, which SQLite stores in no bytes,
for nearly all). A pair of a user or partition and a seq travels as one integer, `high << 36 | seq`: a list of
them is one JSON array, and so one statement and one step for thousands of rows, during which other threads
run.
"""

import sqlite3
from typing import Final

from fanbell.projections.store import StoreFailed
from fanbell.streams.sqlite import DatabaseFailed, settle_format, transaction

FORMAT: Final = 1
SHIFT: Final = 36
SEQ_MAX: Final = (1 << SHIFT) - 1  # 68 billion notices a partition: 200 years of 10 a second
USERS_MAX: Final = 1 << 27  # 134 million in one file: the cluster's size, not this mode's
LISTS: Final = {"follows": 0, "mutes": 1, "blocks": 2}

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partition INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS inbox (
    user INTEGER, seq INTEGER, changed_later INTEGER, flags INTEGER, kind INTEGER, scope INTEGER, expires INTEGER,
    body_later INTEGER, PRIMARY KEY (user, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken_back (user INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS bodies (
    id INTEGER PRIMARY KEY, refs INTEGER, note TEXT, reason INTEGER, grouped TEXT, content BLOB);
CREATE INDEX IF NOT EXISTS bodies_unused ON bodies (id) WHERE refs <= 0;
CREATE TABLE IF NOT EXISTS lists (
    user INTEGER, what INTEGER, item TEXT, PRIMARY KEY (user, what, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profiles (user INTEGER PRIMARY KEY, name TEXT, avatar_url TEXT, locale TEXT, timezone TEXT);
CREATE TABLE IF NOT EXISTS preferences (user INTEGER PRIMARY KEY, items TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS traces_0 (
    activity INTEGER, rule INTEGER, count INTEGER, PRIMARY KEY (activity, rule)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traces_1 (
    activity INTEGER, rule INTEGER, count INTEGER, PRIMARY KEY (activity, rule)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trace_generation (only INTEGER PRIMARY KEY CHECK (only = 0), current INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, position INTEGER NOT NULL);
"""


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that are not there yet, in one transaction. Raises StoreFailed, also if they are of a newer
    format.
    """
    try:
        with transaction(connection):
            settle_format(connection, "inboxes", FORMAT)
            for statement in _TABLES.split(";"):
                if statement.strip():
                    connection.execute(statement)
    except DatabaseFailed as error:
        raise StoreFailed(str(error)) from error
