import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from fanbell.schemas.codec import content_of, decode, encode
from fanbell.schemas.records import Activity, Command, Dead, Fact, Notice, Rules, Tick
from fanbell.schemas.topics import ACTIVITIES, DEAD, NOTICES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import Output, UnknownFold
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_memory import MemoryLog, Moment
from fanbell.streams.replica import LogShort, Replica, Unacknowledged, append
from fanbell.streams.snapshots import Snapshot, SnapshotFailed
from fanbell.streams.snapshots_memory import MemorySnapshots
from fanbell.streams.snapshots_memory import Moment as SnapshotMoment
from tests.streams.two_folds import FIRST, SECOND, two_known

T = TypeVar("T")
NOW_MS = 1_760_000_000_000


def run(doing: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(doing)


class GatedLog(MemoryLog):
    """Notes the order of appends; holds up or fails those to one topic."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions)
        self.appends: list[tuple[str, int]] = []
        self.failing: str | None = None
        self.held: str | None = None
        self.go = asyncio.Event()

    async def pause(self, moment: Moment, topic: str, partition: int) -> None:
        if moment != "append":
            return
        if topic == self.failing:
            raise LogFailed("as asked")
        if topic == self.held:
            await self.go.wait()
        self.appends.append((topic, partition))


def rules() -> Entry:
    return Entry(encode(Rules(1, FOLD_VERSION, default_source(), NOW_MS)), NOW_MS)


def activity(id_: str, kind: str, actor: str, object_: str, **more: Any) -> Entry:
    return Entry(encode(Activity(id_, kind, actor, object_, **more)), NOW_MS)


def route(log: MemoryLog, snapshots: MemorySnapshots) -> Replica[Route]:
    return Replica(ACTIVITIES, 0, log, snapshots, lambda: Route(0, 1), lambda data: Route.load(0, 1, data))


def fan_out(log: MemoryLog, snapshots: MemorySnapshots) -> Replica[FanOut]:
    return Replica(ROUTED, 0, log, snapshots, lambda: FanOut(0), lambda data: FanOut.load(0, data))


async def filled(log: MemoryLog, *activities: Entry) -> None:
    await log.append(ROUTED, 0, [rules()])
    await log.append(ACTIVITIES, 0, [rules(), *activities])


def test_a_state_ahead_of_its_acknowledgements_is_not_saved() -> None:
    """
    While outputs are on their way there is no snapshot, and the committed offset stays where it was.
    """

    async def scenario() -> None:
        log, snapshots = GatedLog(), MemorySnapshots()
        await filled(log, activity("a", "mention", "ana", "post", mentions=["bo"]))
        replica = route(log, snapshots)
        await replica.open()
        log.held = ROUTED
        advancing = asyncio.create_task(replica.advance(await replica.missing()))
        await asyncio.sleep(0)

        with pytest.raises(Unacknowledged):
            await replica.save()
        await replica.commit()

        assert await log.committed(replica.group, ACTIVITIES, 0) == 0
        assert await snapshots.candidates("route", 0) == []
        log.go.set()
        await advancing
        await replica.save()
        await replica.commit()
        assert await log.committed(replica.group, ACTIVITIES, 0) == 2
        assert [snapshot.offset for snapshot in await snapshots.candidates("route", 0)] == [1]

    run(scenario())


def test_a_replica_whose_append_failed_goes_no_further() -> None:
    """
    After a failed append a replica neither advances nor saves: what it put out may be lost.
    """

    async def scenario() -> None:
        log, snapshots = GatedLog(), MemorySnapshots()
        await filled(log, activity("a", "mention", "ana", "post", mentions=["bo"]))
        replica = route(log, snapshots)
        await replica.open()
        log.failing = ROUTED

        with pytest.raises(LogFailed):
            await replica.advance(await replica.missing())

        log.failing = None
        with pytest.raises(Unacknowledged):
            await replica.advance(await replica.missing())
        with pytest.raises(Unacknowledged):
            await replica.save()

    run(scenario())


def test_commands_are_out_before_the_facts_of_their_batch() -> None:
    """
    A fact is appended after every command of its batch: what it sets free must find the commands before it.
    """

    async def scenario() -> None:
        log = GatedLog()
        await filled(
            log,
            activity("a", "comment", "ana", "first", target="post", owner="bo"),
            activity("b", "comment", "cy", "second", target="post", owner="bo"),
        )
        replica = route(log, MemorySnapshots())
        await replica.open()
        missing = await replica.missing()
        log.appends.clear()
        await replica.advance(missing)

        assert log.appends == [(ROUTED, 0), (ACTIVITIES, 0)]
        kinds = [type(decode(record.value)) for record in await log.read(ROUTED, 0, 1, 9)]
        assert kinds == [Command, Command]
        assert [type(decode(record.value)) for record in await log.read(ACTIVITIES, 0, 3, 9)] == [Fact, Fact]

    run(scenario())


def test_dead_letters_are_out_before_the_notices_of_their_batch() -> None:
    """
    A crash between the two appends loses no dead letter: notices say how far a shard's outputs are out.
    """

    async def scenario() -> None:
        log = GatedLog()
        outputs = [Output(NOTICES, 0, b"notice", 1, 0), Output(DEAD, 0, b"dead", 2, 0)]

        await append(log, outputs, NOW_MS)

        assert log.appends == [(DEAD, 0), (NOTICES, 0)]

    run(scenario())


def test_dead_letters_are_counted() -> None:
    """
    A replica tells how many dead letters it has put out since it was opened.
    """

    async def dead_letters() -> tuple[int, int]:
        log = MemoryLog(1)
        await filled(log)
        stage = route(log, MemorySnapshots())
        await stage.open()
        before = stage.dead_letters
        await log.append(ACTIVITIES, 0, [Entry(b"rubbish", 1), Entry(b"more of it", 2)])
        await stage.advance(await stage.missing())
        return before, stage.dead_letters

    assert run(dead_letters()) == (0, 2)


def test_a_crash_before_the_notices_keeps_the_dead_letters() -> None:
    """
    A record that cannot be read reaches `dead` whatever happens to the notices of its batch.
    """

    async def scenario() -> None:
        log, snapshots = GatedLog(), MemorySnapshots()
        await filled(log, activity("a", "mention", "ana", "post", mentions=["bo"]))
        first = route(log, snapshots)
        await first.open()
        await first.advance(await first.missing())
        await log.append(ROUTED, 0, [Entry(b"not a record", NOW_MS)])
        shard = fan_out(log, snapshots)
        await shard.open()
        log.failing = DEAD
        with pytest.raises(LogFailed):
            await shard.advance(await shard.missing())
        log.failing = None

        again = fan_out(log, snapshots)
        await again.open()
        await again.advance(await again.missing())

        assert [decode(record.value).reason for record in await log.read(DEAD, 0, 0, 9)] == ["undecodable"]
        assert isinstance(decode((await log.read(DEAD, 0, 0, 9))[0].value), Dead)

    run(scenario())


def test_what_was_trimmed_away_is_no_hole() -> None:
    """
    A replica that fell behind what is kept stops; it does not take what is gone for aborted records.
    """

    async def scenario() -> None:
        log, tick = GatedLog(), Entry(encode(Tick(NOW_MS)), NOW_MS)
        await filled(log)
        replica = route(log, MemorySnapshots())
        await replica.open()
        await replica.advance(await replica.missing())
        await log.append(ACTIVITIES, 0, [tick] * 5)
        await log.trim(ACTIVITIES, 0, 4)

        with pytest.raises(LogShort, match="begins at 4, but the state stands at 0"):
            await replica.advance(await log.read(ACTIVITIES, 0, 5, 9))

    run(scenario())


class CountedSnapshots(MemorySnapshots):
    """How many were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int | None] = []

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        self.asked.append(at_most)
        return await super().candidates(stage, partition, at_most)


@pytest.mark.refuses_snapshots
def test_one_snapshot_is_fetched_if_it_will_do() -> None:
    """
    Opening asks for the newest snapshot; for the others only if that one is refused.
    """

    async def scenario() -> None:
        log, snapshots = MemoryLog(), CountedSnapshots()
        await filled(log)
        replica = route(log, snapshots)
        await replica.open()
        await replica.advance(await replica.missing())
        await replica.save()
        snapshots.asked.clear()
        await route(log, snapshots).open()
        assert snapshots.asked == [1]

        await snapshots.save(Snapshot("route", 0, 0, FOLD_VERSION, log.identity, b"no state"))
        snapshots.asked.clear()
        again = route(log, snapshots)
        await again.open()
        assert snapshots.asked == [1, None]
        assert again.offset == 0

    run(scenario())


class FarSnapshots(MemorySnapshots):
    """Has what this machine has; those that others saved cannot be asked while `away`."""

    away = True

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        if self.away:
            raise SnapshotFailed("nobody answers")
        return await super().offsets(stage, partition, identity)


def test_a_log_that_begins_after_the_snapshot_is_short_only_if_there_is_no_newer_one() -> None:
    """
    While it cannot be known whether a newer snapshot reaches the log, opening fails as one that may be tried again.
    """

    async def scenario() -> None:
        log, snapshots = MemoryLog(), FarSnapshots()
        await filled(log)
        replica = route(log, snapshots)
        await replica.open()
        await replica.advance(await replica.missing())
        await replica.save()
        await log.append(ACTIVITIES, 0, [Entry(encode(Tick(NOW_MS)), NOW_MS)] * 5)
        await log.trim(ACTIVITIES, 0, 4)

        with pytest.raises(SnapshotFailed):
            await route(log, snapshots).open()
        snapshots.away = False
        with pytest.raises(LogShort, match="begins at 4, but the state stands at 0"):
            await route(log, snapshots).open()

    run(scenario())


def test_a_hole_is_passed_over() -> None:
    """
    Offsets that an aborted transaction used up are no gap.
    """

    async def scenario() -> None:
        log, tick = GatedLog(), Entry(encode(Tick(NOW_MS)), NOW_MS)
        await filled(log)
        replica = route(log, MemorySnapshots())
        await replica.open()
        log.leave_hole(ACTIVITIES, 0, 3)
        await log.append(ACTIVITIES, 0, [tick])
        await replica.advance(await log.read(ACTIVITIES, 0, 4, 9))

        assert replica.offset == 4

    run(scenario())


class BusySnapshots(MemorySnapshots):
    """While they are being listed, another owner goes on and saves one more."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__()
        self.log, self.busy = log, False

    async def pause(self, moment: SnapshotMoment, stage: str, partition: int) -> None:
        if moment == "candidates" and not self.busy:
            self.busy = True
            await self.log.append(ACTIVITIES, 0, [Entry(encode(Tick(NOW_MS)), NOW_MS)])
            other = route(self.log, self)
            await other.open()
            await other.advance(await other.missing())
            await other.save()


def test_a_snapshot_saved_meanwhile_is_not_ahead_of_the_log() -> None:
    """
    Opening while another worker still goes on does not mistake its newest snapshot for one of a log that was cut.
    """

    async def scenario() -> None:
        log = GatedLog()
        await filled(log)
        replica = route(log, BusySnapshots(log))

        await replica.open()

        assert replica.offset == 1

    run(scenario())


class SlowSnapshots(MemorySnapshots):
    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def pause(self, moment: SnapshotMoment, stage: str, partition: int) -> None:
        if moment == "save":
            await self.go.wait()


def test_a_stream_that_goes_on_during_a_save_does_not_move_the_snapshot() -> None:
    """
    What may be trimmed follows the snapshot's own offset, not where the replica stands when it is finished.
    """

    async def scenario() -> None:
        log, snapshots = GatedLog(), SlowSnapshots()
        await filled(log)
        replica = route(log, snapshots)
        await replica.open()
        await replica.advance(await replica.missing())
        saving = asyncio.create_task(replica.save())
        await asyncio.sleep(0)
        await log.append(ACTIVITIES, 0, [Entry(encode(Tick(NOW_MS)), NOW_MS)])
        await replica.advance(await replica.missing())
        snapshots.go.set()
        await saving

        assert (replica.saved, replica.offset) == (0, 1)

    run(scenario())


def ruled(version: int, fold_version: int) -> Entry:
    return Entry(encode(Rules(version, fold_version, default_source(), NOW_MS)), NOW_MS)


async def folded(log: MemoryLog, snapshots: MemorySnapshots) -> int:
    """Fold both stages to the end, each in batches of one, and save; offset of the newest snapshot of stage 2."""
    stages: list[Replica[Any]] = [route(log, snapshots), fan_out(log, snapshots)]
    for replica in stages:
        await replica.open()
        for record in await replica.missing():
            await replica.advance([record])
        await replica.commit()
        await replica.save()
    return replica.saved


async def reasons(log: MemoryLog) -> list[tuple[str, str]]:
    """(activity, reason) of all notices."""
    told = [decode(record.value) for record in await log.read(NOTICES, 0, 0, 1_000)]
    return [(content_of(one.content).id, one.reason) for one in told if isinstance(one, Notice)]


@pytest.mark.interpreted
@pytest.mark.parametrize("snapshots_kept", [True, False])
def test_outputs_switch_at_the_record_that_brings_the_newer_fold(
    monkeypatch: pytest.MonkeyPatch, snapshots_kept: bool
) -> None:
    """
    New code decides as the version in force says, and otherwise from the record on that says so; a replay the same.
    """

    async def scenario() -> None:
        log, snapshots = MemoryLog(1), MemorySnapshots()
        await filled(log, activity("a", "mention", "ana", "post", mentions=["bo"]))
        await folded(log, snapshots)  # by old code
        two_known(monkeypatch.setattr)
        if not snapshots_kept:
            snapshots = MemorySnapshots()
        await log.append(ACTIVITIES, 0, [activity("b", "mention", "ana", "post", mentions=["bo"])])
        await folded(log, snapshots)  # by new code, the first version in force
        await log.append(ROUTED, 0, [ruled(2, 2)])
        await log.append(
            ACTIVITIES, 0, [ruled(2, 2), activity("c", "mention", "ana", "post", mentions=["bo"])]
        )
        await folded(log, snapshots)

        assert await reasons(log) == [("a", FIRST), ("b", FIRST), ("c", SECOND)]
        out = [record.value for record in await log.read(NOTICES, 0, 0, 1_000)]
        again = FanOut(0)
        assert out == [o.value for r in await log.read(ROUTED, 0, 0, 1_000) for o in again.step(r)]

    run(scenario())


@pytest.mark.interpreted
def test_a_snapshot_is_of_the_fold_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Old code goes on from what new code saved, until the newer fold is in force; then it stops, and tells no more.
    """

    async def scenario() -> None:
        log, snapshots = MemoryLog(1), MemorySnapshots()
        await filled(log, activity("a", "mention", "ana", "post", mentions=["bo"]))
        with monkeypatch.context() as new_code:
            two_known(new_code.setattr)
            at = await folded(log, snapshots)
        opened = fan_out(log, snapshots)
        await opened.open()
        assert opened.offset == at

        with monkeypatch.context() as new_code:
            two_known(new_code.setattr)
            await log.append(ROUTED, 0, [ruled(2, 2)])
            await log.append(ACTIVITIES, 0, [ruled(2, 2)])
            await folded(log, snapshots)
        versions = [one.fold_version for one in await snapshots.candidates("fan_out", 0)]
        opened = fan_out(log, snapshots)
        await opened.open()
        before = await log.end(NOTICES, 0)
        with pytest.raises(UnknownFold, match="version 2 of the fold is in force"):
            await opened.advance(await opened.missing())

        assert versions == [2, 1]
        assert opened.saved == at
        assert await log.end(NOTICES, 0) == before

    run(scenario())
