"""`fanbell load`: history, straight into a stopped server's folder.

The same folds as the server's, without API and ticks: fold time is the history's own. They run in a second process;
this one parses, makes lines durable, and keeps what came of those before.
"""

import gc
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final

from fanbell.infra.fold_process import GC_THRESHOLD, FoldProcess
from fanbell.infra.folder import INTAKE_FILE, DataFolder
from fanbell.infra.intake import run as now
from fanbell.infra.loaded import Beginning, Loaded
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import encode
from fanbell.schemas.parse import Invalid, parse_activity, parse_json
from fanbell.schemas.records import Rules
from fanbell.schemas.topics import INTAKE
from fanbell.streams.core.kinds import FOLD_VERSION, default_source, parse_rules
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.log import Entry
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import make_durable, open_database, transaction

LINES: Final = 1_000  # lines made durable at once
AHEAD_MAX: Final = 4_000  # lines made durable and not kept yet: both processes have something to do
BATCH_WEIGHT: Final = 20_000  # notifications in one transaction, about
BATCH_S: Final = 0.1
Progress = Callable[[int, int], None]
"""Called with (activities, bytes) taken since the last call."""


class BadLine(ValueError):
    """A line that is no activity; what came before it is loaded. The file, corrected there, goes on from it."""


def run(
    path: Path,
    settings: Settings,
    progress: Progress = lambda count, size: None,
    now_ms: int | None = None,
    rules: str | None = None,
) -> dict[str, Any]:
    """Load the JSON lines of `path`; what came of it.

    `rules`: TOML text for a folder that has no rules yet, instead of the shipped ones.
    Raises BadLine, BadRules, FoldFailed, and what opening a folder raises.
    """
    if rules is not None:
        parse_rules(rules)
    folder = DataFolder(settings)
    threshold = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)
    try:
        with closing(open_database(folder.path / INTAKE_FILE, synchronous="FULL")) as connection:
            intake = SqliteLog(connection, 1)  # and with it the file, for the other process
            loaded = Loaded(connection)
            with closing(FoldProcess(folder.path, BATCH_WEIGHT, BATCH_S)) as folds:
                return _Load(folder, connection, intake, folds, now_ms, rules).run(path, loaded, progress)
    finally:
        gc.set_threshold(*threshold)
        folder.close()


class _Load:
    """Makes lines durable and keeps what the folds, in their own process, make of those before."""

    def __init__(
        self,
        folder: DataFolder,
        connection: sqlite3.Connection,
        intake: SqliteLog,
        folds: FoldProcess,
        now_ms: int | None,
        rules: str | None,
    ) -> None:
        self._folder, self._connection, self._intake, self._folds = folder, connection, intake, folds
        self._keeper = folder.keeper()
        self._now_ms = now_ms or time.time_ns() // 1_000_000
        now(self._keeper.catch_up())
        self._append([])
        self._fold()
        self._keep(ahead=0)
        version, source = folds.rules() or (0, rules or default_source())
        self._rules = parse_rules(source, version or 1)
        if not version:
            self._append([encode(Rules(1, FOLD_VERSION, source, self._now_ms))])
            self._fold()

    def run(self, path: Path, loaded: Loaded, progress: Progress) -> dict[str, Any]:
        count, started = 0, time.perf_counter()
        try:
            with path.open("rb") as file:
                beginning = loaded.find(file)
                progress(0, before := beginning.size)
                for values in _batches(file, self._rules, beginning):
                    with transaction(self._connection):
                        self._append(values)
                        loaded.note(beginning)
                    self._fold()
                    count += len(values)
                    progress(len(values), beginning.size - before)
                    before = beginning.size
        finally:
            self._keep(ahead=0)  # of a file with a bad line, all before it
            make_durable(self._folder.connection)
        stored_s = time.perf_counter() - started
        saved = self._folds.save()
        return {
            "activities": count,
            "notifications": saved.told,
            "waiting": saved.waiting,
            "dead": self._keeper.dead,
            "stored_s": round(stored_s, 3),
        }

    def _append(self, values: list[bytes]) -> None:
        entries = [Entry(value, self._now_ms) for value in values]
        self._end = now(self._intake.append(INTAKE, 0, entries)) + len(entries)

    def _fold(self) -> None:
        """Let what is durable be folded, and keep what was."""
        self._folds.go_to(self._end)
        self._keep(ahead=AHEAD_MAX)

    def _keep(self, ahead: int) -> None:
        """Keep what is made, until no more than `ahead` records wait for that."""
        while work := self._folds.made(wait=self._end - self._folds.position > ahead):
            now(self._keeper.keep(work))


def _batches(file: BinaryIO, rules: KindRules, beginning: Beginning) -> Iterator[list[bytes]]:
    """The file's activities after `beginning`, which grows with them, encoded, `LINES` at a time. Raises BadLine."""
    values: list[bytes] = []
    for line in file:
        if line.strip():
            try:
                values.append(_encoded(line, beginning.lines + 1, rules))
            except BadLine:
                yield values
                raise
        beginning.add(line, 1)
        if len(values) == LINES:
            yield values
            values = []
    if values:
        yield values


def _encoded(line: bytes, number: int, rules: KindRules) -> bytes:
    try:
        activity = parse_activity(parse_json(line))
    except Invalid as error:
        raise BadLine(f"line {number}: {error}") from None
    faults = rules.faults(activity)
    if faults:
        raise BadLine(f"line {number}: " + "; ".join(f"{name}: {text}" for name, text in faults))
    return encode(activity)
