"""How far the stages of a cluster, and what this process has heard, are behind the log."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from operator import itemgetter
from typing import Any, Final

import structlog

from fanbell.infra.heard_presence import FollowedLog
from fanbell.schemas.topics import ACTIVITIES, CHANGES, NOTICES, ROUTED
from fanbell.streams.log import LogFailed

logger = structlog.get_logger()

FAN_OUT: Final = "fanbell.fan_out"
STAGES: Final = (("fanbell.route", ACTIVITIES), ("fanbell.forward", CHANGES), (FAN_OUT, ROUTED))
"""Group and topic of each stage: how far it has come is what it committed."""


class Lag:
    """In records, as measured last. `heard`: that of a partition of `notices`; raises LogFailed."""

    def __init__(self, log: FollowedLog, heard: Callable[[int], Coroutine[Any, Any, int]]) -> None:
        self._log, self._heard = log, heard
        self.of: dict[str, dict[int, int]] = {}
        """By topic and partition."""
        self.unmeasured: set[tuple[str, int]] = set()
        """Topics and partitions of which it is not known how far behind they are now."""

    @property
    def backlog(self) -> int:
        """What no worker has done yet."""
        return sum(sum(self.of.get(topic, {}).values()) for _, topic in STAGES)

    def worst_heard(self) -> tuple[int, int]:
        """The partition of `notices` of which most is not heard yet, and how much that is."""
        return max(self.of.get(NOTICES, {}).items(), key=itemgetter(1), default=(0, 0))

    async def measure(self, followed: Collection[int]) -> None:
        """Ask the log: of the stages all partitions, of `notices` those `followed`, a set that may change meanwhile."""
        partitions = range(self._log.partitions)
        asked = {(topic, p): self._of_stage(group, topic, p) for group, topic in STAGES for p in partitions}
        asked |= {(NOTICES, p): self._heard(p) for p in followed}
        found = await asyncio.gather(*asked.values(), return_exceptions=True)
        self._note(dict(zip(asked, found, strict=True)))
        self.of[NOTICES] = {p: lag for p, lag in self.of.get(NOTICES, {}).items() if p in followed}

    async def _of_stage(self, group: str, topic: str, partition: int) -> int:
        done = await self._log.committed(group, topic, partition)
        begin = await self._log.start(topic, partition) if done is None else done
        return max(0, await self._log.end(topic, partition) - begin)

    def _note(self, found: Mapping[tuple[str, int], int | BaseException]) -> None:
        """One that cannot be measured stays as it was: the trouble of one partition is not that of all."""
        failed: dict[tuple[str, int], LogFailed] = {}
        for (topic, partition), lag in found.items():
            if isinstance(lag, LogFailed):
                failed[topic, partition] = lag
            elif isinstance(lag, BaseException):
                raise lag
            else:
                self.of.setdefault(topic, {})[partition] = lag
        if failed.keys() - self.unmeasured:
            names = [f"{topic}[{partition}]" for topic, partition in failed]
            error = str(next(iter(failed.values())))
            logger.error("how far partitions are is not known", partitions=names, error=error)
        self.unmeasured = set(failed)
