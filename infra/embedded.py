"""Fanbell in one process: the backend of the API and the edge, on SQLite files in one folder.

Three threads: the event loop (people), the intake's writer, and the runner, which folds and projects. They meet in
`intake` (durable), and in what the runner hands to the event loop after each commit.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from fanbell.compiled import core
from fanbell.edge.backend import Accepted, Busy, Conflict, Letter, Listener, Places, Trace, Unavailable
from fanbell.edge.presence import Here, Rolls
from fanbell.edge.tickets import MemoryTickets
from fanbell.infra.folder import INTAKE_FILE, STATE_FILE, DataFolder
from fanbell.infra.intake import Intake, run
from fanbell.infra.letters import carried_activity
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import HEADER_BYTES, decode, encode, kind_of_record
from fanbell.schemas.records import Activity, Change, Dead, Presence, Rules, Tick, Told
from fanbell.schemas.topics import DEAD, INTAKE, NOTICES
from fanbell.streams.core.hashes import hash64
from fanbell.streams.core.kinds import FOLD_VERSION, default_source, parse_rules
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.embedded import Batches, Runner
from fanbell.streams.log import Record
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.snapshots import SnapshotFailed
from fanbell.streams.sqlite import give_back, make_durable, open_database, transaction

logger = structlog.get_logger()

BATCH_RECORDS: Final = 1_000  # intake records read at once
BATCH_WEIGHT: Final = 20_000  # notifications in one transaction, about: a reader sees inboxes grow
BATCH_S: Final = 0.1  # … or this long
TICK_S: Final = 1.0  # a fold that waits for time gets a tick after a second
UNTOLD_MAX: Final = 16  # batches handed to the event loop and not taken; past it the runner waits for people
RETRY_S: Final = (0.5, 5.0)  # first and longest pause after a failure; a disk may have room again
TRIM_EVERY_S: Final = 60.0  # each trim is a few look-ups and deletes a partition
DEAD_KEPT: Final = 10_000  # latest dead letters known by activity id, for traces
SETTLE_WAITERS_MAX: Final = 10_000  # requests waiting to see their own writes


class Embedded:
    """The port `edge.backend.Backend`. Make it, `start` it on an event loop, `stop` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Path(settings.data)
        self._data = DataFolder(settings)
        try:
            self._open()
        except BaseException:
            self._data.close()
            raise

    def _open(self) -> None:
        self._log, self.store = self._data.log, self._data.store
        self._wake = threading.Condition()
        self._intake = Intake(str(self.folder / INTAKE_FILE), self._appended)
        self._reading = open_database(self.folder / INTAKE_FILE, read_only=True)
        self._intake_log = SqliteLog.reading(self._reading)
        self._looking = open_database(self.folder / STATE_FILE, read_only=True)
        self._look_log = SqliteLog.reading(self._looking)
        self._looker = ThreadPoolExecutor(1, "look")
        self._runner: Runner | None = None
        self._stopping = False
        self._trouble = "starting"
        self._pause_s = RETRY_S[0]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._untold = threading.Semaphore(UNTOLD_MAX)
        self._listeners: list[Listener] = []
        self._pending: dict[str, int] = {}
        self._pending_order: deque[tuple[int, list[str]]] = deque()
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._rolls = Rolls(self._log.partitions)
        self._rules_lock = asyncio.Lock()
        self.tickets = MemoryTickets()  # a restart ends those that are open; they live for half a minute
        self._rules: KindRules | None = None
        self._position = 0
        """Offset in `intake` of the next record to take; the runner's."""
        self._shown = 0
        """The same, as far as listeners were told; the event loop's."""
        self._dead_ids: dict[str, str] = {}
        self._dead_count = 0
        self._notified = 0
        self._at: dict[str, Any] = {}
        """Where in `intake` the runner failed, if it did: what its log line names."""
        self._saving: list[Any] = []
        self._ticking: Future[int] | None = None
        self._saved_at = time.monotonic()
        self._saved_position = 0
        self._trimmed_at = time.monotonic()
        self._started = time.time()

    # Life

    async def start(self) -> None:
        """Bring the state up to the log and begin to take records; raises what keeps it from that."""
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="runner", daemon=True)
        self._thread.start()
        await ready
        if self._rules is None:
            await self._put_rules(default_source(), 1)
        logger.info(
            "opened",
            data=str(self.folder),
            partitions=self.partitions,
            intake=self._intake.end,
            epoch=self.epoch,
            core=core(),
        )

    async def stop(self) -> None:
        """Finish what was accepted, save, and let go of the folder."""
        await asyncio.to_thread(self._intake.stop)
        with self._wake:
            self._stopping = True
            self._wake.notify()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 0.05)  # the runner may wait for us to take a batch
        self._looker.shutdown()
        self._reading.close()
        self._looking.close()
        self._intake.close()
        self._data.close()
        logger.info("closed", data=str(self.folder), position=self._position)

    # The runner's thread

    def _appended(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self, ready: "asyncio.Future[None]") -> None:
        while True:
            try:
                if ready.done():
                    give_back(self._data.connection)  # else a full disk may stay full with room made on it
                self._open_runner()
                if not ready.done():
                    self._well()
                self._report(ready, None)
                self._serve()
                return
            except Exception as error:
                self._trouble = f"{type(error).__name__}: {error}"
                if not self._report(ready, error):
                    return
                logger.error(
                    "runner_failed", **self._at, error=self._trouble, retry_s=self._pause_s, exc_info=error
                )
                self._at = {}
            with self._wake:
                if self._stopping or self._wake.wait_for(lambda: self._stopping, self._pause_s):
                    return
            self._pause_s = min(self._pause_s * 2, RETRY_S[1])

    def _well(self) -> None:
        """Opening alone does not show it: a full disk is met by the first batch that has something to write."""
        self._trouble, self._pause_s = "", RETRY_S[0]

    def _report(self, ready: "asyncio.Future[None]", error: Exception | None) -> bool:
        """Tell `start` how opening went, the first time; whether to go on."""
        assert self._loop is not None

        def tell() -> None:
            if not ready.done():
                ready.set_exception(error) if error else ready.set_result(None)

        first = not ready.done()
        self._loop.call_soon_threadsafe(tell)
        return not (first and error)

    def _open_runner(self) -> None:
        runner = self._data.runner(self._intake_log)
        run(runner.open())
        self._runner, self._position = runner, runner.position
        self._saving = []  # those of the runner before may have folded what was never kept
        self._shown = max(self._shown, runner.position)
        self._saved_position = min(replica.saved for replica in runner.replicas)
        for record in run(
            self._log.read(DEAD, 0, max(0, run(self._log.end(DEAD, 0)) - DEAD_KEPT), DEAD_KEPT)
        ):
            self._note_dead(decode(record.value))
        self._dead_count = run(self._log.end(DEAD, 0))
        if runner.routes[0].fold.versions.of:
            self._rules = runner.routes[0].fold.versions.newest

    def _serve(self) -> None:
        assert self._runner is not None
        runner = self._runner
        ticked = time.monotonic()
        while True:
            records = self._intake.recent(runner.position, BATCH_RECORDS) or run(
                self._intake_log.read(INTAKE, 0, runner.position, BATCH_RECORDS)
            )
            if records:
                self._batch(runner, records)
            self._well()
            now = time.monotonic()
            if now - ticked >= TICK_S:
                ticked = now
                self._tick(runner, records[-1].timestamp_ms if records else time.time_ns() // 1_000_000)
            self._save_some(runner)
            self._trim_some(runner, now)
            with self._wake:
                if runner.position < self._intake.end:
                    continue
                if self._stopping:
                    break
                self._wake.wait(TICK_S)
        make_durable(self._data.connection)
        run(runner.save())

    def _tick(self, runner: Runner, now_ms: int) -> None:
        """Have time enter `intake` where a fold waits for it: so what it brings about is in one order with all else."""
        before = self._ticking
        if before is not None:
            if not before.done() or (before.exception() is None and before.result() > runner.position):
                return  # it is on its way
            self._ticking = None
        if runner.due(now_ms):
            with suppress(Unavailable):  # stopping; a tick that cannot be written is followed by another
                self._ticking = self._intake.submit([encode(Tick(now_ms))])

    def _batch(self, runner: Runner, records: list[Record]) -> None:
        while records:
            try:
                batches = run(runner.run(records, BATCH_WEIGHT, BATCH_S))
            except Exception:
                self._at = {"offset": self._position}
                if (
                    failed := next((one for one in records if one.offset == runner.failed_at), None)
                ) is not None:
                    self._at = _named(failed)
                raise
            self._position = runner.position
            if runner.keeper.dead:
                self._read_dead(runner)
            self._tell(batches)
            records = [record for record in records if record.offset >= runner.position]

    def _read_dead(self, runner: Runner) -> None:
        end = run(self._log.end(DEAD, 0))
        for record in run(self._log.read(DEAD, 0, end - runner.keeper.dead, runner.keeper.dead)):
            self._note_dead(decode(record.value))
        self._dead_count, runner.keeper.dead = end, 0

    def _note_dead(self, dead: Dead) -> None:
        if dead.id:
            self._dead_ids.pop(dead.id, None)
            self._dead_ids[dead.id] = dead.reason
            if len(self._dead_ids) > DEAD_KEPT:
                del self._dead_ids[next(iter(self._dead_ids))]

    def _tell(self, batches: Batches) -> None:
        """Hand what came out to the event loop; wait if it is far behind."""
        assert self._loop is not None
        while not self._untold.acquire(timeout=1.0):
            if self._loop.is_closed():
                return
        self._loop.call_soon_threadsafe(self._told, batches, self._position)

    def _save_some(self, runner: Runner) -> None:
        """Snapshots when they are due, one replica at a time, so that the stream goes on between them."""
        due = (
            runner.position - self._saved_position >= self.settings.snapshot_every_records
            or time.monotonic() - self._saved_at >= self.settings.snapshot_every_s
        )
        if due and not self._saving:
            make_durable(self._data.connection)
            self._saving = list(runner.replicas)
            self._saved_at, self._saved_position = time.monotonic(), runner.position
        elif self._saving:
            replica = self._saving.pop()
            make_durable(self._data.connection)
            try:
                run(replica.save())
            except (
                SnapshotFailed
            ) as error:  # the stream goes on: a longer log to read at the next start is the price
                logger.error(
                    "snapshot_failed", stage=replica.fold.stage, partition=replica.partition, error=str(error)
                )
                self._saving = []

    def _trim_some(self, runner: Runner, now: float) -> None:
        """Once in a while, forget what is older than the log is to be kept."""
        hours = self.settings.log_keep_hours
        if hours and not self._saving and now - self._trimmed_at >= TRIM_EVERY_S:
            self._trimmed_at = now
            before_ms = time.time_ns() // 1_000_000 - hours * 3_600_000
            with transaction(self._data.connection):
                before = run(runner.trim(before_ms))
            make_durable(self._data.connection)  # what came of the records: theirs is the only other copy
            self._intake.trim(before)

    # The event loop's side of a batch

    def _told(self, batches: Batches, position: int) -> None:
        self._untold.release()
        self._shown = position
        for partition, batch in batches.items():
            for listener in self._listeners:
                listener(partition, batch)
        self._forget_pending()
        while self._waiters and self._waiters[0][0] <= position:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    # The backend

    @property
    def epoch(self) -> str:
        return self._log.identity

    @property
    def partitions(self) -> int:
        return self._log.partitions

    @property
    def rules(self) -> KindRules:
        if self._rules is None:
            raise Unavailable("no rules are in force yet")
        return self._rules

    async def publish(self, activities: Sequence[Activity]) -> list[Accepted]:
        self._admit()
        results: list[Accepted] = []
        values: list[bytes] = []
        fresh: dict[str, int] = {}
        conflicts: list[tuple[int, str]] = []
        for i, activity in enumerate(activities):
            value = encode(activity)
            body = hash64(value[HEADER_BYTES:])
            used = fresh.get(activity.id)
            if used is None:
                used = self._used(activity.id)
            if used is None:
                fresh[activity.id] = body
                values.append(value)
            elif used != body:
                conflicts.append((i, activity.id))
            results.append("accepted" if used is None else "duplicate")
        if conflicts:
            raise Conflict(conflicts)
        if values:
            self._pending.update(fresh)
            try:
                end = await self._intake.append(values)
            except BaseException:
                for id_ in fresh:
                    self._pending.pop(id_, None)
                raise
            self._pending_order.append((end, list(fresh)))
            self._forget_pending()  # it may have been routed before we came back
        elif any(activity.id in self._pending for activity in activities):
            await self.settle(
                1.0
            )  # "duplicate" also promises that it is durable: the first one may not be yet
        return results

    def _forget_pending(self) -> None:
        """Ids that were routed are known by the folds from then on."""
        while self._pending_order and self._pending_order[0][0] <= self._shown:
            for id_ in self._pending_order.popleft()[1]:
                self._pending.pop(id_, None)

    def _used(self, id_: str) -> int | None:
        """The hash of the body that the id was used with; None if it is free."""
        found = self._pending.get(id_)
        if found is None and self._runner is not None:
            key = hash64(id_.encode())
            for replica in self._runner.routes:
                found = replica.fold.used.get(key, self._runner.clock_ms)
                if found is None:
                    found = replica.fold.waiting_ids.get(id_)
                if found is not None:
                    break
        return found

    async def change(self, changes: Sequence[Change]) -> Places:
        self._admit()
        await self._intake.append([encode(change) for change in changes])
        return {}  # `intake` is taken in one order: `settle` waits for its end

    def _admit(self) -> None:
        if self._trouble:
            raise Unavailable(self._trouble)
        behind = self._intake.end - self._position
        if behind > self.settings.backlog_max:
            raise Busy(max(1, min(30, behind // 20_000)))

    async def settle(self, timeout_s: float, places: Places | None = None) -> bool:
        end = self._intake.end
        if self._shown >= end:
            return True
        if len(self._waiters) >= SETTLE_WAITERS_MAX:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((end, waiter))
        self._appended()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        return True

    async def trace(self, activity_id: str) -> Trace | None:
        if activity_id in self._pending:
            return Trace(activity_id, "accepted")
        if self._runner is not None and any(
            activity_id in replica.fold.waiting_ids for replica in self._runner.routes
        ):
            return Trace(activity_id, "waiting")
        traced = await self.store.traced(activity_id)
        if traced is not None:
            return Trace(activity_id, "routed", traced.heard, traced.silenced, stored=True)
        if self._used(activity_id) is not None:
            return Trace(activity_id, "routed", stored=True)
        if activity_id in self._dead_ids:
            return Trace(activity_id, "dead", reason=self._dead_ids[activity_id])
        return None

    async def apply_rules(self, source: str) -> int:
        async with self._rules_lock:
            return await self._put_rules(source, self.rules.version + 1)

    async def _put_rules(self, source: str, version: int) -> int:
        rules = parse_rules(source, version)
        self._admit()
        await self._intake.append([encode(Rules(version, FOLD_VERSION, source, time.time_ns() // 1_000_000))])
        self._rules = rules
        await self.settle(5.0)
        return version

    async def dead_letters(self, after: int, limit: int) -> list[Letter]:
        letters: list[Letter] = []
        at = after + 1
        while len(letters) < limit:
            records = await self._look(DEAD, 0, at, 1_000)
            if not records:
                break
            at = records[-1].offset + 1
            letters += [
                Letter(record.offset, decode(record.value))
                for record in records
                if record.offset not in self._intake.gone
            ]
        return letters[:limit]

    async def retry_dead(self, offsets: Sequence[int]) -> int:
        """Those that can be read as activities go into `intake` again; others stay."""
        self._admit()
        letters = await self._letters(offsets)
        values = [
            (letter.offset, encode(activity))
            for letter in letters
            if (activity := carried_activity(letter.dead)) is not None
        ]
        if values:
            await self._intake.append([value for _, value in values], [offset for offset, _ in values])
        return len(values)

    async def drop_dead(self, offsets: Sequence[int]) -> int:
        letters = await self._letters(offsets)
        if letters:
            await self._intake.append([], [letter.offset for letter in letters])
        return len(letters)

    async def _letters(self, offsets: Sequence[int]) -> list[Letter]:
        letters = []
        for offset in dict.fromkeys(offsets):
            records = await self._look(DEAD, 0, offset, 1)
            if records and records[0].offset == offset and offset not in self._intake.gone:
                letters.append(Letter(offset, decode(records[0].value)))
        return letters

    def stats(self) -> dict[str, object]:
        runner = self._runner
        routes = [replica.fold for replica in runner.routes] if runner else []
        shards = [replica.fold for replica in runner.shards] if runner else []
        return {
            "backlog": self._intake.end - self._position,
            "intake": self._intake.end,
            "position": self._position,
            "recipients": sum(len(shard.graph.names.packed) for shard in shards),
            "entities": sum(len(route.entities) for route in routes),
            "waiting": sum(len(route.waiting_ids) for route in routes),
            "dead": self._dead_count - len(self._intake.gone),
            "seq": sum(shard.seq for shard in shards),
            "told_kept": sum(len(shard.book.order) for shard in shards),
            "told_forgotten": sum(shard.book.forgotten for shard in shards),
            "entities_forgotten": sum(route.forgotten for route in routes),
            "updates_pending": sum(len(shard.pending) for shard in shards),
            "rules_version": self._rules.version if self._rules else 0,
            "fold_lag_s": round(max(0.0, time.time() - runner.clock_ms / 1000), 3) if runner else 0,
            "uptime_s": round(time.time() - self._started, 3),
            "partitions": self.partitions,
            "presence": self._rolls.stats(time.time_ns() // 1_000_000),
        }

    def ready(self) -> tuple[bool, str]:
        return (not self._trouble, self._trouble)

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def on_demand(self) -> bool:
        return False

    async def follow(self, partition: int) -> None:
        """All are followed."""

    def unfollow(self, partition: int) -> None:
        """All are followed."""

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        records = await self._look(NOTICES, partition, offset, at_most)
        return [(record.offset, decode(record.value)) for record in records]

    def presence(self, user: str) -> Here | None:
        return self._rolls.of(user, time.time_ns() // 1_000_000)

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        """In memory alone: who was connected to a process that ended is not any more, so there is nothing to keep; a
        record in the log would cost the runner a transaction for what nobody reads again."""
        for record in said:
            self._rolls.take(partition, record)

    async def _look(self, topic: str, partition: int, offset: int, at_most: int) -> list[Record]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._looker, lambda: run(self._look_log.read(topic, partition, offset, at_most))
        )


def _named(record: Record) -> dict[str, Any]:
    """What a log line names a record of `intake` by: its offset, and its id if it has one."""
    named: dict[str, Any] = {"offset": record.offset}
    if kind_of_record(record.value) in (Activity, Change):
        named["activity"] = decode(record.value).id
    return named
