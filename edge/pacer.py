"""When a session writes: once per turn of the loop, and counters at a pace."""

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fanbell.edge.link import SocketLink

COUNTS_EVERY_MS: Final = 100  # counters of one session, at most so often; the last always
SLOTS: Final = 10  # the sessions' turns are spread over that time, so that a thousand never come at once


class Turn:
    """What a link says within one turn of the loop goes out at its end, in one write.

    A call into the kernel costs as much as everything else that a frame does, and records come in batches.
    """

    def __init__(self) -> None:
        self._links: list[SocketLink] = []

    def add(self, link: "SocketLink") -> None:
        if not self._links:
            asyncio.get_running_loop().call_soon(self._end)
        self._links.append(link)

    def _end(self) -> None:
        links, self._links = self._links, []
        for link in links:
            link.write_out()


class Pacer:
    """Gives each link that has something to count one turn per 100 ms."""

    def __init__(self) -> None:
        self.turn = Turn()
        self._slots: list[list[SocketLink]] = [[] for _ in range(SLOTS)]
        self._links = 0
        self._next = 0
        self._slot = 0
        self._timer: asyncio.TimerHandle | None = None

    def slot(self) -> int:
        """The slot of a new link."""
        self._slot = (self._slot + 1) % SLOTS
        return self._slot

    def add(self, link: "SocketLink") -> None:
        """Give `link`, which waits for none, a turn."""
        self._slots[link.slot].append(link)
        self._links += 1
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COUNTS_EVERY_MS / SLOTS / 1000, self._turn)

    def _turn(self) -> None:
        self._next = (self._next + 1) % SLOTS
        links, self._slots[self._next] = self._slots[self._next], []
        self._links -= len(links)
        for link in links:
            link.paced = False
            link.send_counts()
        if self._links:
            self._wait()
        else:
            self._timer = None
