"""The replica: one partition's fold, brought to where the log is and kept there.

State = snapshot + log; the offset is the truth. A record at or below it is a repeat, a gap is read from the log, and
after a crash the same outputs come out again: what is known to be out already is kept to itself. Both stages run on
it, in both modes; the design's invariants I1 to I5 are kept here.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from fanbell.schemas.codec import decode
from fanbell.schemas.topics import ACTIVITIES, DEAD, NOTICES, ROUTED
from fanbell.streams.core.fold import Fold, Output
from fanbell.streams.core.kinds import FOLD_VERSION
from fanbell.streams.core.slices import Steps, finished
from fanbell.streams.log import Entry, Log, LogFailed, Record
from fanbell.streams.snapshots import Snapshot, Snapshots

logger = structlog.get_logger()
F = TypeVar("F", bound=Fold)
Translate = Callable[[Sequence[Record]], Awaitable[Sequence[Record]]]

READ_MAX: Final = 5_000  # records read at once when catching up: a few MB
EVERYTHING: Final = 1 << 62
ORDER: Final = (DEAD, NOTICES, ROUTED, ACTIVITIES)
"""In which order a batch's outputs are appended. Dead letters before notices, since what `notices` holds counts as out
after a crash; commands before facts, since a fact sets free what must find the commands before it in `routed`."""


class LogShort(Exception):
    """The log ends before the snapshot, or begins after it: it was cut or replaced. Nothing is taken for done."""


class Unacknowledged(Exception):
    """The state is ahead of what is known to be out: it must not be saved, nor built upon."""


class Replica(Generic[F]):
    """One partition of `topic`, folded.

    `fresh` makes an empty fold, `load` one from a saved state. `group` names the reader in the log's commits.
    `translate`: what `advance` folds in place of records, one for one, where producers may write in forms that the fold
    does not know; it must always come out the same. Not safe to use after an exception from `advance`: throw it away
    and open another one.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        log: Log,
        snapshots: Snapshots,
        fresh: Callable[[], F],
        load: Callable[[bytes], F],
        translate: Translate | None = None,
    ) -> None:
        self.topic, self.partition = topic, partition
        self.fold = fresh()
        self.group = f"fanbell.{self.fold.stage}"
        self.offset = -1
        """Of the last record applied."""
        self.saved = -1
        """Offset of the newest snapshot."""
        self.dead_letters = 0
        """Appended to `dead` since it was opened, repeats after a crash included; a number to show, no state."""
        self._log, self._snapshots, self._load = log, snapshots, load
        self._translate = translate
        self._silent = (-1, -1)
        self._advancing = False
        """From when `advance` applies records until their outputs are acknowledged; for ever if they never are."""
        self._acknowledged = -1
        """Offset up to which outputs are acknowledged, when `advance` is what applies records."""

    async def open(self, all_out: bool = False) -> None:
        """Take the newest good snapshot and learn what is out already. Raises LogShort, LogFailed, SnapshotFailed.

        `all_out`: whatever is in the log has had its outputs acknowledged (they are appended in one transaction).
        """
        newest = await self._candidates(at_most=1)  # mostly it will do, and those before it are as large
        if not await self._take(newest):
            await self._take([one for one in await self._candidates() if one not in newest])
        await self._check_start(opening=True)
        self._acknowledged = self.offset
        if all_out:
            self._silent = (await self._log.end(self.topic, self.partition) - 1, EVERYTHING)
        else:
            self._silent = await self._out_already()

    async def _candidates(self, at_most: int | None = None) -> list[Snapshot]:
        """Those of this log, and of a fold that is known."""
        return [
            snapshot
            for snapshot in await self._snapshots.candidates(self.fold.stage, self.partition, at_most)
            if snapshot.identity == self._log.identity and snapshot.fold_version <= FOLD_VERSION
        ]

    async def _take(self, kept: Sequence[Snapshot]) -> bool:
        """Stand where the first of `kept` does that can be loaded; False if none can."""
        if not kept:
            return False
        # After the snapshots: another owner may have gone on and saved one since an end that was asked for before.
        end = await self._log.end(self.topic, self.partition)
        for snapshot in kept:
            if snapshot.offset >= end:
                raise LogShort(
                    f"{self.topic}[{self.partition}] ends at {end}, but a snapshot was taken at {snapshot.offset}: "
                    "the log was cut; restore it, or remove the snapshots if you accept to fold what is left"
                )
            try:
                self.fold = self._load(snapshot.state)
            except Exception as error:  # noqa: BLE001 - whatever a state that is whole but wrong raises: the one before it may do
                where = {"stage": self.fold.stage, "partition": self.partition, "offset": snapshot.offset}
                logger.warning("snapshot_refused", **where, error=repr(error))
                continue
            self.offset = self.saved = snapshot.offset
            return True
        return False

    async def _check_start(self, opening: bool = False) -> None:
        start = await self._log.start(self.topic, self.partition)
        if start > self.offset + 1:
            if opening:
                await self._kept()  # raises where there may be a newer one that cannot be asked for now
            raise LogShort(
                f"{self.topic}[{self.partition}] begins at {start}, but the state stands at {self.offset}: "
                "records between them are gone; restore the snapshots or the log"
            )

    async def _out_already(self) -> tuple[int, int]:
        """The pair (n, index) up to which all outputs are known to be acknowledged."""
        if self.fold.stage == "fan_out":  # it writes one partition: its end tells
            end = await self._log.end(NOTICES, self.partition)
            at = end
            while at > 0:
                at = max(0, at - 64)
                found = await self._log.read(NOTICES, self.partition, at, 64 + READ_MAX)
                if found:
                    last = decode(found[-1].value)
                    return (last.n, last.index)
            return (-1, -1)
        committed = await self._log.committed(self.group, self.topic, self.partition)
        return (-1, -1) if committed is None else (committed - 1, EVERYTHING)

    async def missing(self, before: int | None = None) -> list[Record]:
        """The records after the offset, in order, at most `READ_MAX` and below `before`; empty if there are none."""
        records = await self._log.read(self.topic, self.partition, self.offset + 1, READ_MAX)
        if records and records[0].offset > self.offset + 1:
            await self._check_start()  # a hole, or trimmed away under a replica that fell far behind
        return records if before is None else [record for record in records if record.offset < before]

    def apply(self, record: Record) -> list[Output]:
        """Step one record and return what is to be appended; repeats and what is out already give nothing."""
        if record.offset <= self.offset:
            return []
        outputs = self.fold.step(record)
        self.offset = record.offset
        if outputs and (record.offset, EVERYTHING) <= self._silent:
            return []
        if outputs and record.offset <= self._silent[0]:
            return [output for output in outputs if (output.n, output.index) > self._silent]
        return outputs

    async def advance(self, records: Sequence[Record]) -> None:
        """Apply records as they were handed over, heal gaps, and append the outputs; returns once all are acknowledged.

        Raises LogFailed, LogShort and whatever the fold raises; the replica is of no use afterwards, and says so by
        Unacknowledged.
        """
        self._check_acknowledged()
        self._advancing = True
        outputs: list[Output] = []
        timestamp_ms = 0
        for record in await self._translated(records):
            while record.offset > self.offset + 1:
                missing = await self.missing(before=record.offset)
                if not missing:
                    break  # a hole: aborted or control records, that the log will never return
                for one in await self._translated(missing):
                    outputs += self.apply(one)
            outputs += self.apply(record)
            timestamp_ms = record.timestamp_ms
        self.dead_letters += await append(self._log, outputs, timestamp_ms)
        self._acknowledged = self.offset
        self._advancing = False

    async def _translated(self, records: Sequence[Record]) -> Sequence[Record]:
        return records if self._translate is None else await self._translate(records)

    async def commit(self) -> None:
        """Let the log know how far the outputs that `advance` made are acknowledged; at any time."""
        await self._log.commit(self.group, self.topic, self.partition, self._acknowledged + 1)

    async def save(self) -> None:
        """Keep a snapshot of the state as it stands.

        Raises SnapshotFailed, and Unacknowledged while outputs are on their way.
        """
        snapshot = self.snapshot()
        if snapshot is not None:
            await self.keep(snapshot)

    def snapshot(self) -> Snapshot | None:
        """The state as it stands; None if that is kept already. Raises Unacknowledged."""
        return finished(self.snapshot_steps())

    def snapshot_steps(self) -> Steps[Snapshot | None]:
        """The same in steps of some milliseconds, between which the replica must not be advanced."""
        self._check_acknowledged()
        if self.offset == self.saved:
            return None
        offset, version = self.offset, self.fold.fold_version
        state = yield from self.fold.dumping()
        assert self.offset == offset, "advanced while its snapshot was being made"
        return Snapshot(self.fold.stage, self.partition, offset, version, self._log.identity, state)

    async def keep(self, snapshot: Snapshot) -> None:
        """Keep what `snapshot` returned; the stream may go on meanwhile. Raises SnapshotFailed."""
        await self._snapshots.save(snapshot)
        self.saved = snapshot.offset

    async def needed(self) -> int:
        """The offset below which the log may be trimmed: up to the older of two snapshots that are kept, whoever saved
        them. Raises SnapshotFailed.
        """
        kept = await self._kept()
        return kept[1] + 1 if len(kept) > 1 else 0

    async def _kept(self) -> list[int]:
        return await self._snapshots.offsets(self.fold.stage, self.partition, self._log.identity)

    def _check_acknowledged(self) -> None:
        if self._advancing:
            raise Unacknowledged(
                f"outputs of {self.topic}[{self.partition}] up to {self.offset} are not acknowledged: open it anew"
            )


async def append(log: Log, outputs: Iterable[Output], timestamp_ms: int) -> int:
    """Append outputs in their order, topic by topic as `ORDER` says, in one `append_all`.

    One unacknowledged append per partition at most. Returns how many of them were dead letters.

    Raises LogFailed.
    """
    batches: dict[tuple[str, int], list[Entry]] = {}
    for output in outputs:
        batches.setdefault((output.topic, output.partition), []).append(Entry(output.value, timestamp_ms))
    if batches:
        places = sorted(batches, key=lambda place: ORDER.index(place[0]))
        await log.append_all([(*place, batches[place]) for place in places])
    return sum(len(entries) for (topic, _), entries in batches.items() if topic == DEAD)


__all__ = ["LogFailed", "LogShort", "Replica", "Unacknowledged", "append"]
