"""What every keeper of tickets does, asked of each adapter."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from fanbell.edge.backend import Tickets
from fanbell.edge.tickets import MemoryTickets
from fanbell.projections.cassandra_tickets import CassandraTickets
from tests.cluster import keyspaces

T = TypeVar("T")
PATIENCE_S = 30.0


@pytest.fixture(params=["memory", pytest.param("cassandra", marks=pytest.mark.cluster)])
def made(request: pytest.FixtureRequest) -> Callable[[], Tickets]:
    """Makes a keeper, as each process of one installation has it: those of Cassandra know of each other's tickets."""
    if request.param == "memory":
        one = MemoryTickets()  # the embedded mode is one process
        return lambda: one
    cassandra = keyspaces.shared(request.getfixturevalue("servers"))
    return lambda: CassandraTickets(cassandra)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_ticket_made_at_one_process_counts_at_another_once(made: Callable[[], Tickets]) -> None:
    """
    A ticket counts at whichever process it is shown first, and nowhere after that; one never made counts nowhere.
    """

    async def story() -> None:
        here, there = made(), made()
        digest = secrets.token_bytes(32)
        assert not await there.spend(digest)
        await here.keep(digest, "ana", 30)
        assert await there.spend(digest)
        assert not await here.spend(digest)
        assert not await there.spend(digest)

    run(story())


def test_of_many_at_once_one_spends(made: Callable[[], Tickets]) -> None:
    """
    However many show a ticket at the same moment, wherever, it counts for one of them.
    """

    async def story() -> None:
        processes = [made() for _ in range(4)]
        digests = [secrets.token_bytes(32) for _ in range(3)]
        for digest in digests:
            await processes[0].keep(digest, "ana", 30)
            spent = await asyncio.gather(*(process.spend(digest) for process in processes * 4))
            assert spent.count(True) == 1

    run(story())


def test_tickets_go_by_themselves(made: Callable[[], Tickets]) -> None:
    """
    A ticket that is not used counts no more once its time is over.
    """

    async def story() -> None:
        tickets = made()
        async with asyncio.timeout(PATIENCE_S):
            while True:  # a try spends the ticket, so each is of a new one
                digest = secrets.token_bytes(32)
                await tickets.keep(digest, "ana", 1)
                await asyncio.sleep(1.1)
                if not await tickets.spend(digest):
                    return

    run(story())
