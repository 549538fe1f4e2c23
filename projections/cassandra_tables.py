"""What the Cassandra store reads and writes: statements, keys, and what is put into blobs.

    inbox      (bucket, user, 16, seq) -> what it shows; and above the rows, in the same place, marks on all of them,
               and, stamped with its seq, that a record took a row back from the full inbox
    bodies     (partition, chunk, seq) -> what is shown, once for all recipients in a partition
    people     (bucket, user)          -> profile, preferences
    lists      (bucket, user, what, item)
    traces     (bucket, activity, partition, seq) -> counts by record; they go after a day
    positions  partition -> offset in `notices` of the last record applied
    logs       the log that these `notices` are of

Users share Cassandra partitions, the buckets: a batch of rows inside one of them is a single mutation, which costs a
server half of what rows of their own partitions do. Everything of one user lies in one bucket, so its writes are
applied in the order in which they are sent, each batch whole or not at all.

Every write and delete is stamped with the seq of the record that asked for it (USING TIMESTAMP). All of a user's rows
come from one partition, whose seqs only grow; so whatever is applied late, again or out of turn changes nothing that
came after it.
"""

from typing import Final

import msgspec
from msgspec import Struct

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Body
from fanbell.schemas.codec import content_of
from fanbell.schemas.partitions import murmur2
from fanbell.schemas.records import Notice, Update

BUCKETS: Final = (
    4_096  # a power of two, as partitions mostly are: then a partition's users lie in few of them.
)
# A million users are 244 in each, and 6 MB at 200 rows; ten millions 60 MB, which Cassandra still takes well.
CHUNK_BITS: Final = 6  # bodies of 64 seqs lie together: 20 KB, one batch
TRACE_BUCKETS: Final = 512
TRACE_KEPT_S: Final = 86_400  # of 100 activities a second in 8 partitions 70 million rows, 10 MB a bucket
TTL_MOST_S: Final = 600_000_000  # 19 years; Cassandra takes no longer one
ROW: Final = 16
"""The value of `what` for rows; below it are the bits of flags, for marks on all rows."""
TAKEN_BACK: Final = 0
"""The value of `what` for the last record that took a row back from the full inbox; `shown` is empty."""
FLAGS: Final = {SEEN: "seen", READ: "read", ARCHIVED: "archived", CLICKED: "clicked"}
"""The column of each flag."""
POSITIONS: Final = "inbox"

_AT: Final = "bucket = ? AND user = ?"
_PUT: Final = (
    "INSERT INTO inbox (bucket, user, what, seq, {}) VALUES (?, ?, {}, ?, ?{}) USING TIMESTAMP ? AND TTL ?"
)
PUT: Final = _PUT.format("shown", ROW, "")
RESTORE: Final = _PUT.format("shown, seen, read, archived, clicked", ROW, ", true, true, false, false")
PUT_TAKEN_BACK: Final = _PUT.format("shown", TAKEN_BACK, "")
_SET: Final = (
    "INSERT INTO inbox (bucket, user, what, seq, {}) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
CORRECT: Final = _SET.format("corrected")
MARK: Final = {bit: _SET.format(column) for bit, column in FLAGS.items()}
MARK_ALL: Final = _SET.format("sets")
DELETE: Final = f"DELETE FROM inbox USING TIMESTAMP ? WHERE {_AT} AND what = ? AND seq = ?"  # noqa: S608
DELETE_BELOW: Final = f"DELETE FROM inbox USING TIMESTAMP ? WHERE {_AT} AND what = ? AND seq < ?"  # noqa: S608
PUT_BODY: Final = (
    "INSERT INTO bodies (partition, chunk, seq, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
PUT_TRACE: Final = (
    "INSERT INTO traces (bucket, activity, partition, seq, heard, silenced) VALUES (?, ?, ?, ?, ?, ?) "
    "USING TIMESTAMP ? AND TTL ?"
)
PUT_POSITION: Final = "INSERT INTO positions (name, partition, position) VALUES (?, ?, ?) USING TIMESTAMP ?"
PUT_PROFILE: Final = "INSERT INTO people (bucket, user, profile) VALUES (?, ?, ?) USING TIMESTAMP ?"
PUT_PREFERENCES: Final = "INSERT INTO people (bucket, user, preferences) VALUES (?, ?, ?) USING TIMESTAMP ?"
PUT_LISTED: Final = "INSERT INTO lists (bucket, user, what, item) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
STRIKE_LISTED: Final = f"DELETE FROM lists USING TIMESTAMP ? WHERE {_AT} AND what = ? AND item = ?"  # noqa: S608

_COLUMNS: Final = ", ".join(
    f"{name}, writetime({name})"
    for name in ("shown", "corrected", "seen", "read", "archived", "clicked", "sets")
)
READ_INBOX: Final = f"SELECT what, seq, {_COLUMNS} FROM inbox WHERE {_AT} LIMIT ?"  # noqa: S608
READ_BELOW: Final = (
    f"SELECT what, seq, {_COLUMNS} FROM inbox WHERE {_AT} AND what = {ROW} AND seq < ? LIMIT ?"  # noqa: S608
)
READ_SEQS: Final = f"SELECT seq, writetime(shown) FROM inbox WHERE {_AT} AND what = {ROW} AND seq < ? LIMIT ?"  # noqa: S608
READ_BODIES: Final = "SELECT seq, body FROM bodies WHERE partition = ? AND chunk IN ? AND seq IN ?"
READ_POSITIONS: Final = "SELECT partition, position FROM positions WHERE name = ?"
READ_LOG: Final = "SELECT identity FROM logs WHERE name = ?"
CLAIM: Final = "INSERT INTO logs (name, identity) VALUES (?, ?) IF NOT EXISTS"
READ_PEOPLE: Final = "SELECT user, profile FROM people WHERE bucket IN ? AND user IN ?"
READ_PREFERENCES: Final = f"SELECT preferences FROM people WHERE {_AT}"  # noqa: S608
READ_LISTED: Final = f"SELECT item FROM lists WHERE {_AT} AND what = ? AND item > ? LIMIT ?"  # noqa: S608
READ_TRACE: Final = "SELECT heard, silenced FROM traces WHERE bucket = ? AND activity = ?"

WRITES: Final = (
    PUT, RESTORE, PUT_TAKEN_BACK, CORRECT, *MARK.values(), MARK_ALL, DELETE, DELETE_BELOW, PUT_BODY, PUT_TRACE,
    PUT_PROFILE, PUT_PREFERENCES, PUT_LISTED, STRIKE_LISTED,
)  # fmt: skip
"""What is sent in packed batches."""


class Shown(Struct, array_like=True, frozen=True):
    """What a row says of what it shows; the same bytes for all recipients of a notice."""

    partition: int
    body: int
    kind: str
    scope: str | None
    expires_at: int | None


class KeptBody(Struct, array_like=True, frozen=True):
    """A body as stored; `grouped` is id, count, time of creation and actors, of what is a group."""

    reason: str
    content: bytes
    grouped: tuple[str, int, int, list[str]] | None = None


encode: Final = msgspec.msgpack.Encoder().encode
decode_shown: Final = msgspec.msgpack.Decoder(Shown).decode
_decode_body: Final = msgspec.msgpack.Decoder(KeptBody).decode


def bucket_of(user: str) -> int:
    """The Cassandra partition that a user's rows are in."""
    return murmur2(user.encode()) & (BUCKETS - 1)


def trace_bucket_of(activity: str) -> int:
    return murmur2(activity.encode()) & (TRACE_BUCKETS - 1)


def kept_body(record: Notice | Update, actors_shown: int) -> bytes:
    """What `record` shows, as stored."""
    if isinstance(record, Notice):
        return encode(KeptBody(record.reason, record.content))
    grouped = (record.id, record.count, record.created_ms, list(record.actors[:actors_shown]))
    return encode(KeptBody(record.reason, record.content, grouped))


def body_of(data: bytes) -> Body:
    """What `kept_body` stored."""
    kept = _decode_body(data)
    content = content_of(kept.content)
    if kept.grouped is None:
        return Body(content.id, kept.reason, 1, (content.actor,), content.at_ms, content)
    id_, count, created_ms, actors = kept.grouped
    return Body(id_, kept.reason, count, tuple(actors), created_ms, content)
