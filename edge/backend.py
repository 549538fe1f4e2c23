"""What the API and the edge need of whatever runs behind them: a port. Embedded: `infra/embedded.py`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from fanbell.edge.presence import Here
from fanbell.projections.store import Store
from fanbell.schemas.records import Activity, Change, Dead, Presence, Told
from fanbell.streams.core.kinds import Rules

Accepted = Literal["accepted", "duplicate"]
Places = Mapping[int, int]
"""Where changes stand in the log, by partition the last of them; for the backend that said so."""


class Conflict(Exception):
    """Ids that were used before with another body: (index in the batch, id)."""

    def __init__(self, items: list[tuple[int, str]]) -> None:
        super().__init__(", ".join(repr(id_) for _, id_ in items))
        self.items = items


class Busy(Exception):
    """The backlog is past its bound; try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"the backlog is past its bound; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Unavailable(Exception):
    """What was asked cannot be made durable now (disk full, read only, stopping); the message says why."""


class Trace(Struct, frozen=True):
    """What became of an activity. `state`: accepted (not routed yet), waiting (its entity is unknown), routed, dead."""

    id: str
    state: Literal["accepted", "waiting", "routed", "dead"]
    heard: int = 0
    silenced: dict[str, int] = {}
    stored: bool = False
    reason: str | None = None


class Letter(Struct, frozen=True):
    """A dead letter and its place in `dead`."""

    offset: int
    dead: Dead


Listener = Callable[[int, Sequence[tuple[int, Told]]], None]
"""Called on the event loop with (partition, [(offset in `notices`, record)]), in order, once projected."""


class Tickets(Protocol):
    """Single-use tickets, as digests: what is kept here is of no use to who reads it."""

    async def keep(self, digest: bytes, user: str, ttl_s: int) -> None:
        """Have `digest`, made for `user`, count for `ttl_s` seconds. Raises Busy, StoreFailed."""
        ...

    async def spend(self, digest: bytes) -> bool:
        """Whether `digest` counts: once, whichever process of an installation is asked. Raises StoreFailed.

        After a failure nobody knows whether it was spent; it is not spent twice.
        """
        ...


class Backend(Protocol):
    @property
    def epoch(self) -> str:
        """Names this very log; cursors carry it."""
        ...

    @property
    def partitions(self) -> int: ...

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        ...

    @property
    def store(self) -> Store: ...

    @property
    def tickets(self) -> Tickets: ...

    async def publish(self, activities: Sequence[Activity]) -> list[Accepted]:
        """Make activities durable in the log, all or none, changes of the graph (`kinds.GRAPH`) included.

        They are well formed and pass `rules.faults`. Raises Conflict, Busy, Unavailable.
        """
        ...

    async def change(self, changes: Sequence[Change]) -> Places:
        """Make changes durable in the log, all or none; where they are. Raises Busy, Unavailable."""
        ...

    async def settle(self, timeout_s: float, places: Places | None = None) -> bool:
        """Wait until what was acknowledged before now shows in the store, at most `timeout_s`; whether it does.

        `places` is what `change` returned: what was put elsewhere need not be waited for then.
        """
        ...

    async def trace(self, activity_id: str) -> Trace | None: ...

    async def apply_rules(self, source: str) -> int:
        """Put a rules file in force; its version. Raises BadRules (the running rules stay), Busy, Unavailable."""
        ...

    async def dead_letters(self, after: int, limit: int) -> list[Letter]:
        """Dead letters not dropped or retried, from offset `after` on (exclusive; -1 for all), in order."""
        ...

    async def retry_dead(self, offsets: Sequence[int]) -> int: ...

    async def drop_dead(self, offsets: Sequence[int]) -> int: ...

    def stats(self) -> dict[str, object]:
        """Counters and positions for people and programs: offsets, backlog, waiting, dead, users, groups, sizes."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether it takes requests, and if not why."""
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what `notices` carries from now on; returns how to stop that."""
        ...

    @property
    def on_demand(self) -> bool:
        """Whether a partition is heard of only once it is followed; else all always are."""
        ...

    async def follow(self, partition: int) -> None:
        """Have listeners told of a partition, and the store be right for its users, from now on; those at once too who
        listen while it is caught up. Raises StoreFailed, LogFailed."""
        ...

    def unfollow(self, partition: int) -> None:
        """Hear of a partition no longer; what the store says of its users may be behind."""
        ...

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        """Up to `at_most` records of `notices` from `offset` on, as far as projected."""
        ...

    def presence(self, user: str) -> Here | None:
        """How the user is connected, as far as edges have said; None if they are not."""
        ...

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        """Tell all processes what an edge has to say of its users in a partition, in order.

        Raises Unavailable: then some of it may have been told, or may be yet.
        """
        ...
