"""`changes` as an agent: what other producers wish, passed on to where the shards take it."""

from typing import Any

from fanbell.schemas.topics import CHANGES
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import FAILURES, Pace, Shard
from fanbell.streams.core.forward import Forwarding
from fanbell.streams.framed import Framed
from fanbell.streams.log import Log
from fanbell.streams.registry import Registry
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshots


def attach(app: Any, changes: Any, partitions: Any) -> None:
    """Advance the replica of each partition that `changes` has news for."""

    @app.agent(changes, name="forward")  # type: ignore[untyped-decorator]
    async def forward(batches: Any) -> None:
        async for fetched in batches:  # a batch for each partition that had news
            partitions.take(fetched)


def stage(log: Log, snapshots: Snapshots, pace: Pace, registry: Registry | None = None) -> Stage:
    """`registry`: of the schemas that other producers write with, if they do."""
    translate = None if registry is None else Framed(CHANGES, registry).translate

    def make(partition: int) -> Shard:
        replica = Replica(
            CHANGES, partition, log, snapshots,
            lambda: Forwarding(partition, log.partitions),
            lambda data: Forwarding.load(partition, log.partitions, data),
            translate,
        )  # fmt: skip
        return Shard(replica, log, pace)

    return Stage("forward", CHANGES, make, attach, FAILURES)
