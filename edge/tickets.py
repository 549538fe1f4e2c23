"""Tickets for who can send no header: a bare `EventSource`. The only secret of ours that is ever in an address.

A ticket is 256 random bits and the moment when the session that it opens is to end. What is kept of it is a digest
over both and over the user, so a ticket that was changed, or is shown for somebody else, is simply not known. It counts
once, and for 30 seconds: an address that gets into somebody's log is of no use there.
"""

import hashlib
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from fanbell.edge.backend import Busy

TTL_S: Final = 30  # from asking for a ticket to opening the stream, a slow phone's second try included
TICKETS_MAX: Final = 100_000  # of all users together, about 300 bytes each: 3,000 a second
PER_USER_MAX: Final = 64  # as many as sessions; the oldest makes room, so one user's script harms nobody else
TICKET_CHARS_MAX: Final = 64  # 43 of randomness, a point, and a moment
_BYTES: Final = 32


def new_ticket(ends_ms: int | None) -> str:
    """A ticket for a session that is to end at `ends_ms` (Unix ms), or never."""
    return f"{secrets.token_urlsafe(_BYTES)}.{ends_ms or 0}"


def digest_of(ticket: str, user: str) -> bytes:
    """What is kept of `ticket`, which is for `user`."""
    return hashlib.sha256(f"{user}\0{ticket}".encode("utf-8", "surrogatepass")).digest()


def ends_of(ticket: str) -> int | None:
    """When the session is to end that `ticket`, which has been spent, opens: Unix ms; None is never."""
    return int(ticket.partition(".")[2]) or None


class MemoryTickets:
    """The port `Tickets` of one process. `clock`: seconds that only grow."""

    def __init__(self, tickets_max: int = TICKETS_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._tickets_max = tickets_max
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._by_user: dict[str, deque[bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def keep(self, digest: bytes, user: str, ttl_s: int) -> None:
        self._forget_old()
        mine = self._by_user.get(user)
        if mine is not None and len(mine) >= PER_USER_MAX:
            self._forget(mine[0])
        if len(self._kept) >= self._tickets_max:
            raise Busy(ttl_s)
        self._kept[digest] = (self._clock() + ttl_s, user)
        self._by_user.setdefault(user, deque()).append(digest)

    async def spend(self, digest: bytes) -> bool:
        self._forget_old()
        if digest not in self._kept:
            return False
        self._forget(digest)
        return True

    def _forget_old(self) -> None:
        """All live equally long, so the oldest expire first."""
        now = self._clock()
        while self._kept:
            digest, (until, _) = next(iter(self._kept.items()))
            if until > now:
                return
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        _, user = self._kept.pop(digest)
        mine = self._by_user[user]
        mine.remove(digest)
        if not mine:
            del self._by_user[user]
