"""Tickets in memory: once, for a while, and not without end."""

import asyncio

import pytest

from fanbell.edge.backend import Busy
from fanbell.edge.tickets import PER_USER_MAX, TICKET_CHARS_MAX, MemoryTickets, digest_of, ends_of, new_ticket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def digests(many: int) -> list[bytes]:
    return [digest_of(f"ticket {number}", "ana") for number in range(many)]


def keep(tickets: MemoryTickets, *kept: bytes, user: str = "ana") -> None:
    for digest in kept:
        asyncio.run(tickets.keep(digest, user, 30))


def test_a_ticket_counts_once() -> None:
    """
    A ticket counts the first time it is shown; one that was never made does not.
    """
    one, other = digests(2)
    tickets = MemoryTickets()
    keep(tickets, one)

    assert [asyncio.run(tickets.spend(digest)) for digest in (other, one, one)] == [False, True, False]
    assert len(tickets) == 0


def test_a_ticket_expires() -> None:
    """
    A ticket counts until its time is over, and is forgotten then.
    """
    clock = Clock()
    tickets = MemoryTickets(clock=clock)
    early, late = digests(2)
    keep(tickets, early, late)
    clock.now = 29.9
    assert asyncio.run(tickets.spend(early))
    clock.now = 30.0
    assert not asyncio.run(tickets.spend(late))
    assert len(tickets) == 0


def test_one_users_tickets_crowd_out_only_their_own() -> None:
    """
    Of one user's tickets the newest count; of all users' there are so many, and then the next is refused.
    """
    tickets = MemoryTickets(tickets_max=PER_USER_MAX + 1)
    mine = digests(PER_USER_MAX + 5)
    keep(tickets, digest_of("t", "ben"), user="ben")
    keep(tickets, *mine)
    with pytest.raises(Busy):
        keep(tickets, digest_of("t", "cem"), user="cem")

    assert asyncio.run(tickets.spend(digest_of("t", "ben")))
    assert [asyncio.run(tickets.spend(digest)) for digest in mine].count(True) == PER_USER_MAX
    assert not tickets._by_user


def test_a_ticket_is_of_its_user_and_its_end() -> None:
    """
    A ticket that is shown for another user, or with another end, is another one.
    """
    ticket = new_ticket(1_800_000_000_000)
    later = ticket.replace("1800000000000", "1900000000000")

    assert len({digest_of(ticket, "ana"), digest_of(ticket, "ben"), digest_of(later, "ana")}) == 3
    assert (ends_of(ticket), ends_of(new_ticket(None))) == (1_800_000_000_000, None)
    assert len(ticket) <= TICKET_CHARS_MAX


def test_tickets_are_chance() -> None:
    """
    No two tickets are the same, and each has 256 bits.
    """
    made = {new_ticket(None).partition(".")[0] for _ in range(1_000)}

    assert len(made) == 1_000
    assert {len(ticket) for ticket in made} == {43}
