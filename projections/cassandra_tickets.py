"""Single-use tickets in Cassandra, for any number of processes: `edge.backend.Tickets`.

Both ends are lightweight transactions, whose order is one for all: a plain insert with the clock of a server that is
ahead would outlive the delete. A delete that was repeated after a timeout may find that it had worked, and the ticket
does not count then: its owner asks for another one. How many there are is bounded by what a token may ask for within
the half minute that they live.
"""

from typing import Final

from fanbell.projections.store_cassandra import said
from fanbell.streams.cassandra import Cassandra

KEEP: Final = "INSERT INTO tickets (digest, made) VALUES (?, true) IF NOT EXISTS USING TTL ?"
FIND: Final = "SELECT made FROM tickets WHERE digest = ?"
SPEND: Final = "DELETE FROM tickets WHERE digest = ? IF EXISTS"


class CassandraTickets:
    """The port `Tickets` on an open connection, which is its owner's to close."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra

    async def keep(self, digest: bytes, user: str, ttl_s: int) -> None:
        await said(self._cassandra.execute(KEEP, (digest, ttl_s)))

    async def spend(self, digest: bytes) -> bool:
        if not await said(self._cassandra.execute(FIND, (digest,))):
            return False  # a transaction costs four times as much: not for who tries out tickets
        rows = await said(self._cassandra.execute(SPEND, (digest,)))
        return bool(rows[0][0])
