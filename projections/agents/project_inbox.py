"""The projection as an agent: `notices` in, inboxes out.

It stands here and not beside the other agents because streams know nothing of projections; whoever wires a worker
makes a stage of `attach` and `Inboxes`.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from fanbell.projections.projector import Projector
from fanbell.projections.store import Store, StoreFailed
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Log, LogFailed, Record
from fanbell.streams.trim import TRIM_EVERY_S, trim

GATHER_S: Final = 2.0
"""Neither live delivery nor pages wait for the rows; every other second takes far fewer requests than at once, and
few enough rows each time that nobody notices."""
FAILURES: Final = (LogFailed, StoreFailed)
"""What passes: the partition waits and is opened anew. Discontinued does not."""


def attach(app: Any, notices: Any, partitions: Any) -> None:
    """Bring the inboxes up with each partition that `notices` has news for."""

    @app.agent(notices, name="project_inbox")  # type: ignore[untyped-decorator]
    async def project_inbox(batches: Any) -> None:
        async for fetched in batches:  # a batch for each partition that had news
            partitions.take(fetched)  # rows first, position after: partitions side by side


class Inboxes:
    """What one partition of `notices` tells, in the store. The port is `streams.agents.part.Part`."""

    def __init__(self, partition: int, log: Log, store: Store, log_keep_ms: int = 0) -> None:
        self._projector = Projector(partition, log, store)
        self._partition, self._log, self._log_keep_ms = partition, log, log_keep_ms
        self._trimmed_at = time.monotonic()

    @property
    def offset(self) -> int:
        return self._projector.seen

    async def open(self) -> None:
        await self._projector.open()

    async def missing(self) -> list[Record]:
        return await self._projector.missing()

    async def end(self) -> int:
        return await self._log.end(NOTICES, self._partition)

    async def advance(self, records: Sequence[Record]) -> None:
        await self._projector.take(records)

    async def rest(self, idle_s: float) -> None:
        """Forget what was appended longer ago than it is to be kept, up to where the store stands: that one stays."""
        now = time.monotonic()
        if self._log_keep_ms and now - self._trimmed_at >= TRIM_EVERY_S:
            self._trimmed_at = now
            before_ms = int(time.time() * 1000) - self._log_keep_ms
            await trim(self._log, NOTICES, self._partition, before_ms, self._projector.position)

    def hurry(self) -> None:
        """Nothing: what rest does is short."""

    async def leave(self) -> None:
        """Nothing: the store has rows and position already."""

    def numbers(self) -> dict[str, float]:
        return {"position": self._projector.position}
