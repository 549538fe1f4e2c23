import asyncio
from typing import Any

from fanbell.schemas.codec import content_of, decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Notice, Retraction, Rules, Update
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.replica import Replica
from fanbell.streams.snapshots_memory import MemorySnapshots

NOW_MS = 1_760_000_000_000
POST = next(f"post{i}" for i in range(99) if partition_of(f"post{i}", 2) == 0)
ASKED, OTHER, ANSWER = (
    next(f"{name}{i}" for i in range(99) if partition_of(f"{name}{i}", 2) == 1)
    for name in ("asked", "other", "answer")
)


class Town:
    """Two partitions, each stage of which goes on only when it is told to."""

    def __init__(self) -> None:
        self.log, snapshots = MemoryLog(2), MemorySnapshots()
        self.routes: list[Replica[Any]] = [
            Replica(ACTIVITIES, p, self.log, snapshots, lambda p=p: Route(p, 2), lambda _: Route(0, 2))
            for p in (0, 1)
        ]
        self.shards: list[Replica[Any]] = [
            Replica(ROUTED, p, self.log, snapshots, lambda p=p: FanOut(p), lambda _: FanOut(0))
            for p in (0, 1)
        ]

    async def open(self) -> None:
        rules = Entry(encode(Rules(1, FOLD_VERSION, default_source(), NOW_MS)), NOW_MS)
        for topic, replicas in ((ROUTED, self.shards), (ACTIVITIES, self.routes)):
            for replica in replicas:
                await self.log.append(topic, replica.partition, [rules])
                await replica.open()

    async def publish(self, id_: str, kind: str, actor: str, object_: str, target: str | None = None) -> None:
        value = encode(Activity(id_, kind, actor, object_, target=target))
        await self.log.append(ACTIVITIES, partition_of(target or object_, 2), [Entry(value, NOW_MS)])

    async def go_on(self, *replicas: Replica[Any]) -> None:
        while any([await self._step(replica) for replica in replicas]):
            pass

    async def _step(self, replica: Replica[Any]) -> bool:
        records = await replica.missing()
        await replica.advance(records)
        return bool(records)

    async def shown(self, target: str) -> set[tuple[str, int]]:
        """(user, place) of the rows that tell of `target`."""
        rows = set()
        for partition in (0, 1):
            for record in await self.log.read(NOTICES, partition, 0, 99):
                told = decode(record.value)
                if isinstance(told, Notice | Update) and content_of(told.content).target == target:
                    rows |= {(user, getattr(told, "row_seq", told.seq)) for user in told.recipients}
                elif isinstance(told, Retraction):
                    rows -= {(user, told.row_seq) for user in told.recipients}
        return rows


def test_a_delete_takes_back_what_its_thread_hears_of_it_later() -> None:
    """
    A thread's home that is behind tells of an answer after what it answers was deleted; that is taken back too.
    """

    async def scenario() -> None:
        town = Town()
        await town.open()
        await town.publish("1", "post", "ana", POST)
        await town.publish("2", "comment", "bo", ASKED, POST)
        await town.publish("3", "comment", "cy", OTHER, POST)
        await town.go_on(*town.routes, *town.shards)
        home, near = town.routes
        await town.publish("4", "comment", "di", ANSWER, ASKED)
        await town.publish("5", "delete", "bo", ASKED)

        await town.go_on(near, *town.shards)
        assert await town.shown(ASKED) == set()
        await town.go_on(home)
        await town.go_on(*town.shards)

        assert await town.shown(ASKED) == set()

    asyncio.run(scenario())
