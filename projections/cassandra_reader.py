"""Reads of the Cassandra store. An inbox is one read of neighbouring rows; what a page of it shows is another.

A read goes over no more than it shows, but for what was taken back lately, and marks of rows that are gone.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from fanbell.projections import cassandra_tables as tables
from fanbell.projections.cassandra_inbox import StoredInbox, inbox_of
from fanbell.projections.cassandra_tables import ROW, bucket_of, decode_shown
from fanbell.projections.store import Body, Profile, Reading, Traced
from fanbell.schemas.records import Preference
from fanbell.streams.cassandra import Cassandra, Rows

BODIES_CACHED: Final = 20_000  # decoded, about 1 KB each
MORE_ROWS: Final = (
    16  # asked for beyond what is kept: marks on all rows, and what is left of rows that are gone
)
AT_ONCE: Final = 50
"""Bodies or profiles asked for in one request: a page. They lie in as many Cassandra partitions at worst, each of which
is asked for all of them, so a request costs the square; a request for each partition cost five times as much."""
SEQ_END: Final = (1 << 63) - 1

T = TypeVar("T")

_profile: Final = msgspec.json.Decoder(tuple[str | None, str | None, str | None, str | None])
_preferences: Final = msgspec.json.Decoder(list[tuple[str, str, str, str]])
_silenced: Final = msgspec.json.Decoder(dict[str, int])


async def stored(cassandra: Cassandra, user: str, keep: int) -> StoredInbox:
    """What is stored of the user's inbox. Raises CassandraFailed."""
    bucket, at_most = bucket_of(user), keep + MORE_ROWS
    cells = await cassandra.execute(tables.READ_INBOX, (bucket, user, at_most))
    last: Rows = cells
    while len(last) == at_most and _rows_in(cells) < keep:
        below = last[-1][1] if last[-1][0] == ROW else SEQ_END
        if below == SEQ_END:  # marks only: the rows begin after them
            at_most = min(2 * at_most, 10 * keep + 10_000)
            last = cells = await cassandra.execute(tables.READ_INBOX, (bucket, user, at_most))
            continue
        last = await cassandra.execute(tables.READ_BELOW, (bucket, user, below, at_most))
        cells += last
    return inbox_of(cells, keep)


def _rows_in(cells: Rows) -> int:
    return sum(1 for row in cells if row[0] == ROW and row[2] is not None)


async def live_seqs(cassandra: Cassandra, user: str, before_put: int, keep: int) -> list[int]:
    """The seqs of the newest `keep` rows that were put by a record before the seq `before_put`."""
    bucket, at_most = bucket_of(user), keep + MORE_ROWS
    found: list[int] = []
    below = SEQ_END
    while len(found) < keep:
        rows = await cassandra.execute(tables.READ_SEQS, (bucket, user, below, at_most))
        found += [seq for seq, put_seq in rows if put_seq is not None and put_seq < before_put]
        if len(rows) < at_most:
            break
        below = rows[-1][0]
    return found[:keep]


def _parts(items: list[T]) -> list[list[T]]:
    return [items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE)]


class Reader:
    """Answers of what is acknowledged. All of its methods raise CassandraFailed."""

    def __init__(self, cassandra: Cassandra, keep: int) -> None:
        self.keep = keep
        self._cassandra = cassandra
        self._bodies: dict[tuple[int, int], Body] = {}
        self._partitions: dict[str, int] = {}

    async def read(self, user: str) -> Reading:
        return (await self._stored(user)).reading()

    async def _stored(self, user: str) -> StoredInbox:
        inbox = await stored(self._cassandra, user, self.keep)
        if inbox.rows:
            if len(self._partitions) > 10 * BODIES_CACHED:
                self._partitions = {}
            self._partitions[user] = decode_shown(inbox.rows[0].shown).partition
        return inbox

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        partition = self._partitions.get(user)
        if partition is None:
            await self._stored(user)
            partition = self._partitions.get(user)
            if partition is None:
                return {}
        wanted = set(seqs)
        found = {seq: body for seq in wanted if (body := self._bodies.get((partition, seq))) is not None}
        missing = sorted(wanted - found.keys())  # neighbours in one request
        asked = [
            (tables.READ_BODIES, (partition, sorted({seq >> tables.CHUNK_BITS for seq in some}), some))
            for some in _parts(missing)
        ]
        for rows in await self._cassandra.execute_all(asked):
            for seq, data in rows:
                found[seq] = self._keep(partition, seq, data)
        return found

    def _keep(self, partition: int, seq: int, data: bytes) -> Body:
        if len(self._bodies) >= BODIES_CACHED:
            self._bodies = {}
        body = self._bodies[partition, seq] = tables.body_of(data)
        return body

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        rows = (await self.read(user)).rows
        bodies = await self.bodies(user, [row.body for row in rows])
        wanted = set(ids)
        return {
            body.id: row.seq
            for row in rows
            if (body := bodies.get(row.body)) is not None and body.id in wanted
        }

    async def positions(self) -> dict[int, int]:
        return dict(await self._cassandra.execute(tables.READ_POSITIONS, (tables.POSITIONS,)))

    async def preferences(self, user: str) -> list[Preference]:
        rows = await self._cassandra.execute(tables.READ_PREFERENCES, (bucket_of(user), user))
        text = rows[0][0] if rows else None
        return [] if text is None else [Preference(*item) for item in _preferences.decode(text)]

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        wanted = sorted(set(users), key=bucket_of)
        asked = [
            (tables.READ_PEOPLE, (sorted({bucket_of(user) for user in some}), some))
            for some in _parts(wanted)
        ]
        answers: list[Any] = [row for rows in await self._cassandra.execute_all(asked) for row in rows]
        return {user: Profile(*_profile.decode(text)) for user, text in answers if text is not None}

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        rows = await self._cassandra.execute(
            tables.READ_LISTED, (bucket_of(user), user, what, after or "", limit)
        )
        return [item for (item,) in rows]

    async def traced(self, activity: str) -> Traced | None:
        rows = await self._cassandra.execute(tables.READ_TRACE, (tables.trace_bucket_of(activity), activity))
        if not rows:
            return None
        silenced: dict[str, int] = {}
        for _, text in rows:
            for rule, count in _silenced.decode(text).items():
                silenced[rule] = silenced.get(rule, 0) + count
        return Traced(sum(heard for heard, _ in rows), {rule: n for rule, n in silenced.items() if n})
