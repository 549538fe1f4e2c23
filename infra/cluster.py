"""Fanbell in a cluster: what the API and the edge of one process work with. The port `edge.backend.Backend`.

Everything is in the log: what is published goes straight to `activities` and `routed`; what people hear comes from
`notices`, read without a group by every such process; inboxes are read from the store, joined with what the projection
has not written down yet (`projections/live.py`). A process keeps nothing that another one needs. What it publishes is
in `published.py`, how far behind everything is in `lag.py`; here it hears, and is the port.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from fanbell.edge.backend import (
    Accepted,
    Busy,
    Letter,
    Listener,
    Places,
    Tickets,
    Trace,
    Unavailable,
)
from fanbell.edge.presence import Here
from fanbell.infra.heard_presence import FollowedLog, HeardPresence, Tail
from fanbell.infra.lag import FAN_OUT, Lag
from fanbell.infra.letters import Letters
from fanbell.infra.published import Published
from fanbell.infra.settings import Settings
from fanbell.projections.live import Live
from fanbell.projections.store import Store, StoreFailed
from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Activity, Change, Presence, Told
from fanbell.schemas.topics import NOTICES, PRESENCE, ROUTED
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.rules import RulesKeeper

logger = structlog.get_logger()

LOOK_EVERY_S: Final = 0.5  # at how far the store is, at new rules and dead letters
READ_MAX: Final = 1_000  # records read at once on opening; a few MB at most
HEAR_BYTES: Final = 64 * 1024  # of records between two turns of the event loop: 5,000 names, 3 ms
MEASURE_EVERY_S: Final = 1.0  # a dozen small questions for each partition
ASK_DONE_EVERY_S: Final = 0.2  # two small questions for each partition in which somebody waits for a change
RETRY_S: Final = 1.0  # after the log could not be read


class Discontinued(Exception):
    """`notices` does not go on where the store stands: it was cut, trimmed too far, or replaced."""


class Clustered:
    """Make it, `start` it on an event loop, `stop` it. `failed` is set when it cannot go on."""

    def __init__(
        self,
        settings: Settings,
        log: FollowedLog,
        store: Store,
        tickets: Tickets,
        *,
        hears_presence: bool = True,
        on_demand: bool = False,
    ) -> None:
        """`hears_presence`: whether `presence` may be asked, which costs the reading of all that edges say.
        `on_demand`: whether partitions of `notices` are read only while somebody follows them."""
        age_ms = settings.inbox_keep_days * 86_400_000 or None
        self._settings, self._log, self._stored = settings, log, store
        self.tickets = tickets
        self._live = Live(store, log.partitions, settings.inbox_keep, age_ms)
        self._on_demand = on_demand
        self._followed: set[int] = set()
        """Partitions of `notices` that were read to their end, and are heard since."""
        self._tail: Tail | None = None
        self._keeper = RulesKeeper(log)
        self._letters = Letters(log)
        self._presence = HeardPresence(log) if hears_presence else None
        self._rules: KindRules | None = None
        self._listeners: list[Listener] = []
        self._published = Published(log)
        self._heard: dict[int, int] = defaultdict(lambda: -1)
        """By partition, the offset in `routed` up to which all that came of it was heard from `notices`."""
        self._awaited: Counter[int] = Counter()
        """By partition, how many wait for changes to be heard there."""
        self._progress = asyncio.Condition()
        self._trouble = "starting"
        self._behind = ""
        self._lag = Lag(log, self._heard_lag)
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._started = time.time()

    # Life

    async def start(self) -> None:
        """Find where the store stands and hear all that came since; then follow. Raises LogFailed, StoreFailed,
        Discontinued."""
        self._rules = await self._keeper.open()
        positions = await self._stored.positions()
        for partition in () if self._on_demand else range(self.partitions):
            await self._stand(partition, positions.get(partition, -1))
            self._followed.add(partition)
        await self._letters.learn()
        if self._presence is not None:
            await self._presence.open()
        self._trouble = ""
        self._tasks = [self._task(work) for work in self._work()]
        logger.info("opened", partitions=self.partitions, epoch=self.epoch, rules=self._rules.version)

    async def stop(self) -> None:
        """Let go of everything; there is nothing to finish, what was acknowledged is in the log."""
        self._trouble = self._trouble or "the server is stopping"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        logger.info("closed")

    async def _stand(self, partition: int, position: int) -> None:
        if position >= 0:
            found = await self._log.read(NOTICES, partition, position, 1)
            if not found or found[0].offset != position:
                raise Discontinued(
                    f"notices[{partition}] has no record {position}, but the store was brought so far"
                )
            self._live.stand_at(partition, position, decode(found[0].value).seq)
        at = position + 1
        while records := await self._log.read(NOTICES, partition, at, READ_MAX):
            await self._hear_all(partition, records, range(self.partitions))
            at = records[-1].offset + 1  # also past repeats, of which nothing is heard

    def _work(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._follow()
        yield self._look()
        yield self._measure()
        yield self._ask_done()
        if self._presence is not None:
            yield self._presence.follow()
            yield self._presence.tidy()

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._trouble = f"{type(error).__name__}: {error}"
        self.failure = error
        self.failed.set()

    # What is heard

    async def _follow(self) -> None:
        while True:
            offsets = {partition: self._live.offset(partition) + 1 for partition in self._followed}
            try:
                tail = await self._log.tail(NOTICES, offsets)
                try:
                    self._begin(tail, offsets)
                    while True:
                        for partition, records in (await tail.getmany()).items():
                            await self._hear_all(partition, records, self._followed)
                        async with self._progress:
                            self._progress.notify_all()
                finally:
                    self._tail = None
                    await tail.close()
            except LogFailed as error:
                self._troubled(error)
            await asyncio.sleep(RETRY_S)

    def _begin(self, tail: Tail, offsets: Mapping[int, int]) -> None:
        """Have it follow what is followed by now: that may have changed while it connected."""
        self._tail = tail
        for partition in self._followed - offsets.keys():
            tail.add(partition, self._live.offset(partition) + 1)
        for partition in offsets.keys() - self._followed:
            tail.remove(partition)

    async def follow(self, partition: int) -> None:
        if partition in self._followed:
            return
        try:
            positions = await self._stored.positions()
            await self._stand(partition, positions.get(partition, -1))
        except BaseException as error:
            self._live.forget(partition)
            if isinstance(error, Discontinued):
                self._fail(error)  # every process that starts now would find it too
                raise StoreFailed(str(error)) from error
            raise
        self._followed.add(partition)
        if self._tail is not None:
            self._tail.add(partition, self._live.offset(partition) + 1)

    def unfollow(self, partition: int) -> None:
        if not self._on_demand:
            return
        self._followed.discard(partition)
        if self._tail is not None:
            self._tail.remove(partition)
        self._live.forget(partition)

    @property
    def on_demand(self) -> bool:
        return self._on_demand

    async def _hear_all(self, partition: int, records: Sequence[Record], among: Container[int]) -> None:
        """`_hear` of them in slices: an answer has 16 MiB, which at once would hold up everybody for a second. Stops
        when the partition is none of `among` any more."""
        if partition not in among:  # let go of while others were heard that the same answer held
            return
        some: list[Record] = []
        size = 0
        for record in records:
            some.append(record)
            size += len(record.value)
            if size >= HEAR_BYTES:
                self._hear(partition, some)
                some, size = [], 0
                await asyncio.sleep(0)
                if partition not in among:
                    return
        self._hear(partition, some)

    def _hear(self, partition: int, records: Sequence[Record]) -> None:
        told = [(record.offset, decode(record.value)) for record in records]
        fresh = self._live.hear(partition, told)
        if fresh:
            self._heard[partition] = max(fresh[-1][1].n, self._heard[partition])
            for listener in self._listeners:
                listener(partition, fresh)

    def _troubled(self, error: Exception) -> None:
        if not self._trouble:
            logger.error("the log cannot be read", error=str(error), retry_s=RETRY_S)
        self._trouble = str(error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._live.projected(await self._stored.positions())
                self._behind = ""
            except StoreFailed as error:
                if not self._behind:
                    logger.error("the store cannot be read", error=str(error))
                self._behind = str(error)
            try:
                self._rules = await self._keeper.keep_up()
                await self._letters.learn()
                self._trouble = "" if self.failure is None else self._trouble
            except LogFailed as error:
                self._troubled(error)

    async def _measure(self) -> None:
        """How far the stages, and what is heard here, are behind; on its own, since a partition that cannot be asked
        holds up whoever waits for its answer."""
        while True:
            await self._lag.measure(self._followed)
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _ask_done(self) -> None:
        """Of what changes nothing, nothing is ever heard: where somebody waits, learn what is done with."""
        while True:
            await asyncio.sleep(ASK_DONE_EVERY_S)
            asked = [self._learn_done(partition) for partition in self._awaited]
            for error in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(error, BaseException) and not isinstance(error, LogFailed):
                    raise error  # while the log is away, who waits is told that it does not show yet
            async with self._progress:
                self._progress.notify_all()

    async def _learn_done(self, partition: int) -> None:
        done = await self._log.committed(FAN_OUT, ROUTED, partition) or 0
        if done - 1 > self._heard[partition] and await self._heard_lag(partition) == 0:
            self._heard[partition] = max(done - 1, self._heard[partition])

    async def _heard_lag(self, partition: int) -> int:
        return max(0, await self._log.end(NOTICES, partition) - self._live.offset(partition) - 1)

    # The port

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

    @property
    def store(self) -> Store:
        return self._live

    async def publish(self, activities: Sequence[Activity]) -> list[Accepted]:
        self._admit()
        return await self._published.publish(activities)

    async def change(self, changes: Sequence[Change]) -> Places:
        self._admit()
        return await self._published.change(changes)

    def _admit(self) -> None:
        if self._trouble:
            raise Unavailable(self._trouble)
        behind = self._lag.backlog
        if behind > self._settings.backlog_max:
            raise Busy(max(1, min(30, behind // 20_000)))

    async def settle(self, timeout_s: float, places: Places | None = None) -> bool:
        """As the port says, for changes that this process put into the log; activities take the long way."""
        asked = dict(self._published.acknowledged if places is None else places)

        def heard() -> bool:
            return all(self._heard[partition] >= offset for partition, offset in asked.items())

        self._awaited.update(asked.keys())
        try:
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(heard)
        except TimeoutError:
            return False
        finally:
            self._awaited -= Counter(asked.keys())
        return True

    async def trace(self, activity_id: str) -> Trace | None:
        traced = await self._stored.traced(activity_id)
        if traced is not None:
            return Trace(activity_id, "routed", traced.heard, traced.silenced, stored=True)
        reason = self._letters.reason_of(activity_id)
        if reason is not None:
            return Trace(activity_id, "dead", reason=reason)
        if self._published.has(activity_id):
            return Trace(activity_id, "accepted")
        return None

    async def apply_rules(self, source: str) -> int:
        self._admit()
        try:
            self._rules = await self._keeper.decide(source)
        except LogFailed as error:
            raise Unavailable(str(error)) from error
        return self._rules.version

    async def dead_letters(self, after: int, limit: int) -> list[Letter]:
        with _unavailable_where_failed():
            return await self._letters.listed(after, limit)

    async def retry_dead(self, offsets: Sequence[int]) -> int:
        self._admit()
        with _unavailable_where_failed():
            return await self._letters.retry(offsets)

    async def drop_dead(self, offsets: Sequence[int]) -> int:
        self._admit()
        with _unavailable_where_failed():
            return await self._letters.drop(offsets)

    def stats(self) -> dict[str, object]:
        return {
            "backlog": self._lag.backlog,
            "lag": self._lag.of,
            "unprojected": self._live.held(),
            "dead": self._letters.count,
            "rules_version": self._rules.version if self._rules else 0,
            "uptime_s": round(time.time() - self._started, 3),
            "partitions": self.partitions,
            **({"presence": self._presence.stats()} if self._presence is not None else {}),
        }

    def ready(self) -> tuple[bool, str]:
        if self._trouble:
            return False, self._trouble
        lag_max = self._settings.ready_lag_max
        partition, lag = self._lag.worst_heard()
        if lag > lag_max:
            return False, f"{lag} records of notices[{partition}] are not heard yet (at most {lag_max})"
        return True, ""

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        end = self._live.offset(partition)
        records = await self._log.read(NOTICES, partition, offset, at_most)
        return [(record.offset, decode(record.value)) for record in records if record.offset <= end]

    def presence(self, user: str) -> Here | None:
        if self._presence is None:
            raise Unavailable("this process does not hear who is connected; ask an API")
        return self._presence.of(user)

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        with _unavailable_where_failed():
            entries = [Entry(encode(record), record.time_ms) for record in said]
            await self._log.append(PRESENCE, partition, entries)


@contextmanager
def _unavailable_where_failed() -> Iterator[None]:
    try:
        yield
    except LogFailed as error:
        raise Unavailable(str(error)) from error
