"""One run of the embedded mode from one seed: the runner over a file that keeps whole transactions or nothing.

What is appended to `intake` is durable; what the runner commits is only once it was made durable, so power that fails
may take back its latest transactions. Everything is taken in the one order of appending, so that the reference nearly
always knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, Final
from unittest.mock import patch

from structlog.testing import capture_logs

from fanbell.projections.store import StoreFailed
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Rules, Tick, Told
from fanbell.schemas.topics import ACTIVITIES, INTAKE, NOTICES, ROUTED
from fanbell.streams.core import fold
from fanbell.streams.core.kinds import FOLD_VERSION
from fanbell.streams.embedded import Runner
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_memory import MemoryLog, Moment
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.snapshots_memory import MemorySnapshots
from tests.simulation.faults import Faults
from tests.simulation.history import NEVER, History, Noticed, Op
from tests.simulation.observe import inboxes
from tests.simulation.rules import SOURCE
from tests.simulation.scheduler import at_once
from tests.simulation.simulate import START_MS, Report, parse_once, refusals
from tests.simulation.workload import PRODUCERS, Workload

OPS: Final = 110
FAULTS: Final[dict[str, float]] = {
    "crash in a batch": 0.01,
    "crash before the commit": 0.03,
    "crash after the commit": 0.03,
    "power fails": 0.5,  # of a crash: what was not made durable is gone
    "batch failed": 0.02,
    "store failed": 0.02,
    "log trimmed": 0.15,  # between batches
    "made durable": 0.1,  # no fault, but it decides how much there is to lose
    "snapshot failed": 0.1,
    "snapshot torn": 0.2,
    "snapshot missing": 0.2,
}


class Crash(Exception):
    """The process ends here."""


class FileLog(MemoryLog):
    def __init__(self, partitions: int, faults: Faults) -> None:
        super().__init__(partitions, "the file")
        self.faults = faults
        self.trimmed: dict[int, dict[int, Record]] = {}
        """What of `notices` was forgotten, for those who judge: it may be back if power failed."""

    async def pause(self, moment: Moment, topic: str, partition: int) -> None:
        if moment in ("append", "appended", "commit", "trim", "trimmed"):
            if self.faults.strikes("crash in a batch", f"{topic} {moment}"):
                raise Crash
            if self.faults.strikes("batch failed", f"{topic} {moment}"):
                raise LogFailed("disk full")

    async def trim(self, topic: str, partition: int, before: int) -> None:
        if topic == NOTICES:
            gone = await self.read(topic, partition, 0, 1 << 30)
            mine = self.trimmed.setdefault(partition, {})
            mine.update({record.offset: record for record in gone if record.offset < before})
        await super().trim(topic, partition, before)

    def all_notices(self, partition: int) -> list[Record]:
        kept, start = (
            at_once(self.read(NOTICES, partition, 0, 1 << 30)),
            at_once(self.start(NOTICES, partition)),
        )
        gone = self.trimmed.get(partition, {})
        return [gone[offset] for offset in range(start)] + kept


class FileStore(MemoryStore):
    def __init__(self, faults: Faults) -> None:
        super().__init__(keep=10_000)
        self.faults = faults

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        if self.faults.strikes("crash in a batch", "before rows"):
            raise Crash
        await super().apply(batches, positions)
        if self.faults.strikes("store failed", "after rows"):
            raise StoreFailed("disk full")


class File:
    """Log and store in one, with transactions."""

    def __init__(self, partitions: int, faults: Faults) -> None:
        self.log, self.store, self.faults = FileLog(partitions, faults), FileStore(faults), faults
        self.durable = self._copy()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = self._copy()
        try:
            yield
            if self.faults.strikes("crash before the commit", "transaction"):
                raise Crash
        except BaseException:
            self._restore(before)
            raise
        if self.faults.strikes("crash after the commit", "transaction"):
            raise Crash

    def make_durable(self) -> None:
        self.durable = self._copy()

    def after_crash(self) -> None:
        if self.faults.strikes("power fails", "crash"):
            self._restore(self.durable)

    def _copy(self) -> dict[tuple[object, str], Any]:
        owned: list[tuple[object, str]] = [(self.log, "_kept"), (self.log, "_committed")]
        owned += [(self.store, name) for name in vars(self.store) if name.startswith("_")]
        return {(owner, name): _copied(getattr(owner, name)) for owner, name in owned}

    def _restore(self, copy: dict[tuple[object, str], Any]) -> None:
        for (owner, name), value in copy.items():
            setattr(owner, name, _copied(value))


def _copied(value: Any) -> Any:
    """A copy as deep as the memory adapters change what they hold."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list | set):
        return value.copy()
    if type(value).__name__ == "_Partition":
        made = type(value)()
        made.records, made.start, made.end = value.records.copy(), value.start, value.end
        return made
    return value


class Folder(MemorySnapshots):
    """Of two that are kept one may be lost; also both, where the log is whole."""

    def __init__(self, log: FileLog, faults: Faults) -> None:
        super().__init__()
        self.log, self.faults = log, faults

    async def save(self, snapshot: Snapshot) -> None:
        if self.faults.strikes("snapshot failed", snapshot.stage):
            raise SnapshotFailed("no room")
        await super().save(snapshot)

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        found = await super().candidates(stage, partition)
        start = at_once(self.log.start(ACTIVITIES if stage == "route" else ROUTED, partition))
        least = int(start > 0)
        if len(found) > least and self.faults.strikes("snapshot missing", stage):
            found = found[1:]
        if len(found) > least and self.faults.strikes("snapshot torn", stage):
            newest = found[0]
            torn = newest.state[: self.faults.random.randrange(len(newest.state))]
            found = [
                Snapshot(stage, partition, newest.offset, FOLD_VERSION, newest.identity, torn),
                *found[1:],
            ]
        return found[:at_most]


class Process:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.faults = Faults(self.random, rates=FAULTS)
        self.file = File(self.random.choice((1, 2, 5)), self.faults)
        self.intake, self.folder = MemoryLog(1), Folder(self.file.log, self.faults)
        self.workload = Workload(self.random, self.file.log.partitions, self.file.store, lambda: self.now_ms)
        self.ops: list[Op] = []
        self.complaints: list[tuple[str, str]] = []
        self.starts = 0
        self.now_ms = START_MS
        self._put(Rules(1, FOLD_VERSION, SOURCE, START_MS))

    def run(self) -> History:
        while True:
            try:
                self._live()
                break
            except (LogFailed, StoreFailed):
                continue  # it opens anew
            except Crash:
                self.file.after_crash()
            except Exception as error:  # noqa: BLE001 - whatever stops it is what we are looking for
                self.complaints.append(("stuck", f"{type(error).__name__}: {error}"))
                break
        return self._history()

    def _live(self) -> None:
        """From opening to the end, unless something happens."""
        file, random = self.file, self.random
        self.starts += 1
        runner = Runner(file.log, self.intake, file.store, self.folder, file.transaction)
        at_once(runner.open())
        while not self.faults.calm:
            self._publish(random.randrange(6))
            records = at_once(self.intake.read(INTAKE, 0, runner.position, random.randint(1, 20)))
            if records:
                at_once(runner.run(records, random.choice((1, 50, 1 << 30)), 60.0))
            if random.random() < 0.2 and runner.due(self.now_ms):
                self._put(Tick(self.now_ms))
            if random.random() < 0.1:
                self._save(runner)
            if self.faults.strikes("made durable", "between batches"):
                file.make_durable()
            if self.faults.strikes("log trimmed", "between batches"):
                self._trim(runner)
            self.faults.calm = len(self.ops) >= OPS and not self.workload.owed and not records
        self.now_ms += 10_000
        self._put(Tick(self.now_ms))
        while records := at_once(self.intake.read(INTAKE, 0, runner.position, 1_000)):
            at_once(runner.run(records, 1 << 30, 60.0))

    def _save(self, runner: Runner) -> None:
        self.file.make_durable()
        try:
            at_once(runner.save())
        except SnapshotFailed:
            return

    def _trim(self, runner: Runner) -> None:
        """Forget what is of some age, or of any; what came of `intake` is durable before that forgets."""
        before_ms = self.now_ms - self.random.choice((-1, -1, 1_000))
        with self.file.transaction():
            before = at_once(runner.trim(before_ms))
        self.file.make_durable()
        at_once(self.intake.trim(INTAKE, 0, before))

    def _publish(self, count: int) -> None:
        for _ in range(count):
            self.now_ms += self.random.choice((0, 1, 50, 300))
            op = self._next()
            self.workload.on_their_way.clear()  # there is but one order
            if op is not None:
                op.invoked = op.acked = op.settled = len(self.ops) + 1
                self.ops.append(op)
                self._put(self.workload.item(op))

    def _next(self) -> Op | None:
        if len(self.ops) >= OPS:
            return self.workload.owed.pop() if self.workload.owed else None
        number = self.random.randrange(len(PRODUCERS))
        role = PRODUCERS[number]
        return self.workload.next(role, PRODUCERS[:number].count(role))

    def _put(self, item: Any) -> None:
        at_once(self.intake.append(INTAKE, 0, [Entry(encode(item), self.now_ms)]))

    def _history(self) -> History:
        made = History(ops=self.ops, complaints=self.complaints)
        self._settle()
        inboxes(made, self.file.store, self.now_ms)
        for partition in range(self.file.log.partitions):
            made.notices[partition] = [
                Noticed(NEVER, record.offset, decode(record.value))
                for record in self.file.log.all_notices(partition)
            ]
        return made

    def _settle(self) -> None:
        """What waited for an entity had its effect when that came; what queued behind such, too."""
        came: dict[str, int] = {}
        for op in self.ops:
            if op.kind in ("post", "comment"):
                came[op.object] = max(
                    op.invoked, came.get(op.target or "", 0 if op.target is None else NEVER)
                )
        for _ in range(len(self.ops)):  # chains of comments that came in another order
            for op in self.ops:
                if op.kind == "comment":
                    came[op.object] = max(op.invoked, came.get(op.target or "", NEVER))
        for op in self.ops:
            if op.kind in ("comment", "like", "unlike", "mention", "delete"):
                op.settled = max(op.invoked, came.get(op.target or op.object, NEVER))


def live(seed: int) -> Report:
    with capture_logs() as logs, ExitStack() as patches:
        patches.enter_context(patch.object(fold, "parse_rules", parse_once))
        process = Process(seed)
        made = process.run()
    made.complaints += refusals(logs, process.faults)
    return Report(seed, made, process.faults, process.starts)
