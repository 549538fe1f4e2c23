"""Stage 1 as an agent: `activities` in, commands, facts and forwards out."""

from typing import Any, Final

from fanbell.schemas.topics import ACTIVITIES
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import FAILURES, Pace, Shard
from fanbell.streams.core.route import Route
from fanbell.streams.framed import Framed
from fanbell.streams.log import Log
from fanbell.streams.registry import Registry
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshots

GATHER_S: Final = 0.02
"""The first record after a pause is taken at once. Of a steady trickle, taking each by itself would cost several times
as much CPU: an append, an answer to each reader and a turn of the event loop for every record. All partitions share
the beat, so that one request carries what all of them put out."""


def attach(app: Any, activities: Any, partitions: Any) -> None:
    """Advance the replica of each partition that `activities` has news for."""

    @app.agent(activities, name="route")  # type: ignore[untyped-decorator]
    async def route(batches: Any) -> None:
        async for fetched in batches:  # a batch for each partition that had news
            partitions.take(fetched)  # step, append commands, wait for their acks: partitions side by side


def stage(log: Log, snapshots: Snapshots, pace: Pace, registry: Registry | None = None) -> Stage:
    """`registry`: of the schemas that other producers write with, if they do."""
    translate = None if registry is None else Framed(ACTIVITIES, registry).translate

    def make(partition: int) -> Shard:
        replica = Replica(
            ACTIVITIES, partition, log, snapshots,
            lambda: Route(partition, log.partitions), lambda data: Route.load(partition, log.partitions, data),
            translate,
        )  # fmt: skip
        return Shard(replica, log, pace)

    return Stage("route", ACTIVITIES, make, attach, FAILURES, GATHER_S, together=True)
