"""The projection as an agent: `notices` in, inboxes out.

It stands here and not beside the other agents because streams know nothing of projections; whoever wires a worker
makes a stage of `attach` and `Inboxes`.
"""

from collections.abc import Sequence
from typing import Any, Final

from fanbell.projections.projector import Projector
from fanbell.projections.store import Store, StoreFailed
from fanbell.streams.log import Log, LogFailed, Record

FAILURES: Final = (LogFailed, StoreFailed)
"""What passes: the partition waits and is opened anew. Discontinued does not."""


def attach(app: Any, notices: Any, partitions: Any) -> None:
    """Bring the inboxes up with each partition that `notices` has news for."""

    @app.agent(notices, name="project_inbox")  # type: ignore[untyped-decorator]
    async def project_inbox(batches: Any) -> None:
        async for batch in batches:  # all that was fetched of one partition
            partitions.take(batch)  # rows first, position after: partitions side by side


class Inboxes:
    """What one partition of `notices` tells, in the store. The port is `streams.agents.part.Part`."""

    def __init__(self, partition: int, log: Log, store: Store) -> None:
        self._projector = Projector(partition, log, store)

    @property
    def offset(self) -> int:
        return self._projector.seen

    async def open(self) -> None:
        await self._projector.open()

    async def missing(self) -> list[Record]:
        return await self._projector.missing()

    async def advance(self, records: Sequence[Record]) -> None:
        await self._projector.take(records)

    async def rest(self, idle_s: float) -> None:
        """Nothing is due by time."""

    async def leave(self) -> None:
        """Nothing: the store has rows and position already."""

    def numbers(self) -> dict[str, float]:
        return {"position": self._projector.position}
