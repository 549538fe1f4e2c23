"""What a worker holds of a partition: a port. Adapters: `shard.py`, `projections/agents/project_inbox.py`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fanbell.streams.log import Record


class Part(Protocol):
    """One partition of one topic, brought to where the log is and kept there.

    After an exception it is thrown away and another one opened. What failed for a time raises one of the exceptions
    that the stage names as such; anything else ends the process.
    """

    @property
    def offset(self) -> int:
        """Of the last record whose effects are acknowledged."""
        ...

    async def open(self) -> None:
        """Find out where it stands."""
        ...

    async def missing(self) -> Sequence[Record]:
        """The next records after `offset`, as the log has them; empty at its end."""
        ...

    async def end(self) -> int:
        """The offset after the last record in the log."""
        ...

    async def advance(self, records: Sequence[Record]) -> None:
        """Take records as they were handed over: drop repeats, read what was skipped; until all is acknowledged."""
        ...

    async def rest(self, idle_s: float) -> None:
        """Called between batches, and once a second without any: `idle_s` since the last. For what is due by time.

        While a long log is read, too: what is saved and committed then need not be done again.
        """
        ...

    def hurry(self) -> None:
        """Called when others wait for it to be at rest: what `rest` is at and can as well do later is broken off."""
        ...

    async def leave(self) -> None:
        """Called before it is given up in good order, at rest: what makes it quick to open elsewhere."""
        ...

    def numbers(self) -> dict[str, float]:
        """What to show of it, by name with unit."""
        ...


class Stage(NamedTuple):
    """One row of what a worker runs."""

    name: str
    topic: str
    make: Callable[[int], Part]
    """The part of a partition; not opened yet"""
    attach: Callable[[Any, Any, Any], Any]
    """Given app, topic and partitions, declares the agent that hands batches of the topic to the partitions"""
    failures: tuple[type[Exception], ...]
    """What passes: the part is opened anew, for as long as it takes"""
    gather_s: float = 0.0
    """The least time from one taking to the next (`beat.py`): few large writes cost less than many small ones"""
    together: bool = False
    """Whether all partitions of a worker share the beat; where each takes long, they had better come one by one"""
