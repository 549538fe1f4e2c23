"""Stage 2 as an agent: `routed` in, notices out."""

from typing import Any, Final

from fanbell.schemas.topics import ROUTED
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import FAILURES, Pace, Shard
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.log import Log
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots import Snapshots

GATHER_S: Final = 0.01  # stage 1 writes to its own beat, so what comes has been gathered already


def attach(app: Any, routed: Any, partitions: Any) -> None:
    """Advance the shard of each partition that `routed` has news for."""

    @app.agent(routed, name="fan_out")  # type: ignore[untyped-decorator]
    async def fan_out(batches: Any) -> None:
        async for fetched in batches:  # a batch for each partition that had news
            partitions.take(fetched)  # step, append notices, wait for their acks: partitions side by side


def stage(log: Log, snapshots: Snapshots, pace: Pace) -> Stage:
    def make(partition: int) -> Shard:
        replica = Replica(
            ROUTED, partition, log, snapshots,
            lambda: FanOut(partition), lambda data: FanOut.load(partition, data),
        )  # fmt: skip
        return Shard(replica, log, pace)

    return Stage("fan_out", ROUTED, make, attach, FAILURES, GATHER_S, together=True)
