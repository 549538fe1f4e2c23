"""The whole pipeline in memory, from `intake` to inboxes, for tests: encoded bytes in, what people see out."""

from collections import Counter
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

from msgspec.structs import asdict

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Row
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Activity, Change, Rules, Tick
from fanbell.schemas.topics import DEAD, INTAKE, NOTICES
from fanbell.streams.embedded import Runner
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.snapshots_memory import MemorySnapshots

FLAGS = {"seen": SEEN, "read": READ, "archived": ARCHIVED, "clicked": CLICKED}


def done(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits: the adapters in memory do not."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


class Pipeline:
    """`take` and `tick` the history, then see `inbox`, `dead`, `traced`; `reopen` goes on from snapshots and log."""

    def __init__(self, source: str, partitions: int = 1, keep: int = 100_000) -> None:
        self.log, self.intake = MemoryLog(partitions), MemoryLog()
        self.store, self.snapshots = MemoryStore(keep), MemorySnapshots()
        self._open()
        self.put(encode(Rules(1, 1, source, 0)), 0)

    def _open(self) -> None:
        self.runner = Runner(self.log, self.intake, self.store, self.snapshots, nullcontext)
        done(self.runner.open())

    def reopen(self, snapshots: bool = True) -> None:
        """As after a crash: all but log, store and snapshots is lost. Without snapshots, all is folded anew."""
        if not snapshots:
            self.snapshots = MemorySnapshots()
        self._open()

    def save(self) -> None:
        done(self.runner.save())

    def append(self, value: bytes, at: int) -> None:
        """Acknowledge a record; `settle` carries it to its end."""
        done(self.intake.append(INTAKE, 0, [Entry(value, at)]))

    def settle(self) -> None:
        while records := done(self.intake.read(INTAKE, 0, self.runner.position, 1_000)):
            done(self.runner.run(records, 1 << 60, 1e9))

    def put(self, value: bytes, at: int) -> None:
        self.append(value, at)
        self.settle()

    def take(self, item: Activity | Change | None, at: int) -> None:
        """The next of the history, appended at `at`; None is a tick."""
        if item is None:
            self.tick(at)
        else:
            self.put(encode(item), at)

    def tick(self, at: int) -> None:
        self.settle()
        if self.runner.due(at):
            self.put(encode(Tick(at)), at)

    def rows(self, user: str) -> list[Row]:
        """What the user sees, all shards at the same time."""
        self.tick(self.runner.clock_ms)
        return done(self.store.rows(user))

    def inbox(self, user: str) -> list[dict[str, Any]]:
        """Newest first."""
        rows = self.rows(user)
        bodies = done(self.store.bodies(user, [row.body for row in rows]))
        items = []
        for row in rows:
            body = bodies[row.body]
            content = body.content
            assert (row.kind, row.scope, row.expires_at) == (content.kind, content.scope, content.expires_at)
            items.append(
                asdict(content)
                | {"id": body.id, "reason": body.reason, "importance": None, "place": row.seq}
                | {"actors": list(body.actors), "count": body.count, "created": body.created_ms}
                | {"flags": {name for name, flag in FLAGS.items() if row.flags & flag}}
            )
        return items

    def dead(self) -> list[tuple[str, str]]:
        """(activity, reason) of each dead letter."""
        letters = [decode(record.value) for record in done(self.log.read(DEAD, 0, 0, 1 << 30))]
        return [(letter.id, letter.reason) for letter in letters]

    def traced(self, activity: str) -> tuple[int, Counter[str]]:
        """How many heard of an activity, and how many each rule silenced."""
        traced = done(self.store.traced(activity))
        return (traced.heard, Counter(traced.silenced)) if traced else (0, Counter())

    def notices(self) -> list[list[bytes]]:
        """All that `notices` carries, by partition."""
        read = self.log.read
        return [[r.value for r in done(read(NOTICES, p, 0, 1 << 30))] for p in range(self.log.partitions)]
