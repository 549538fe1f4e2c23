"""`fanbell load`: history, straight into a stopped server's folder.

The same runner as the server's, without the API, threads and ticks: fold time is the history's own.
"""

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from fanbell.infra.folder import INTAKE_FILE, DataFolder
from fanbell.infra.intake import run as now
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import encode
from fanbell.schemas.parse import Invalid, parse_activity, parse_json
from fanbell.schemas.records import Rules
from fanbell.schemas.topics import DEAD, INTAKE
from fanbell.streams.core.kinds import FOLD_VERSION, default_source, parse_rules
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.embedded import Runner
from fanbell.streams.log import Entry, Log
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import make_durable, open_database

LINES: Final = 2_000  # lines made durable at once
BATCH_WEIGHT: Final = 20_000  # notifications in one transaction, about
BATCH_S: Final = 0.1
GC_THRESHOLD: Final = (50_000, 20, 50)  # records come by tens of thousands, none of them in a cycle
Progress = Callable[[int, int], None]
"""Called with (activities, bytes) taken since the last call."""


class BadLine(ValueError):
    """A line that is no activity; what came before it is loaded, and ids make it safe to load the file again."""


def run(
    path: Path,
    settings: Settings,
    progress: Progress = lambda count, size: None,
    now_ms: int | None = None,
    rules: str | None = None,
) -> dict[str, Any]:
    """Load the JSON lines of `path`; what came of it.

    `rules`: TOML text for a folder that has no rules yet, instead of the shipped ones.
    Raises BadLine, BadRules, and what opening a folder raises.
    """
    if rules is not None:
        parse_rules(rules)
    folder = DataFolder(settings)
    connection = open_database(folder.path / INTAKE_FILE, synchronous="FULL")
    threshold = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)
    try:
        return _Load(
            folder.runner(SqliteLog(connection, 1)), now_ms, lambda: make_durable(folder.connection), rules
        ).run(path, progress)
    finally:
        gc.set_threshold(*threshold)
        connection.close()
        folder.close()


class _Load:
    def __init__(
        self, runner: Runner, now_ms: int | None, durable: Callable[[], None], rules: str | None
    ) -> None:
        self._runner, self._intake, self._durable = runner, runner.intake, durable
        self._now_ms = now_ms or time.time_ns() // 1_000_000
        now(runner.open())
        self._catch_up()
        if not runner.routes[0].fold.versions.of:
            self._append([encode(Rules(1, FOLD_VERSION, rules or default_source(), self._now_ms))])
        self._rules = runner.routes[0].fold.versions.newest

    def run(self, path: Path, progress: Progress) -> dict[str, Any]:
        runner = self._runner
        log: Log = runner.log
        told, dead = self._told(), now(log.end(DEAD, 0))
        count = 0
        with path.open("rb") as file:
            for values, size in _batches(file, self._rules):
                self._append(values)
                count += len(values)
                progress(len(values), size)
        self._durable()
        now(runner.save())
        return {
            "activities": count,
            "notifications": self._told() - told,
            "waiting": sum(len(replica.fold.waiting_ids) for replica in runner.routes),
            "dead": now(log.end(DEAD, 0)) - dead,
        }

    def _told(self) -> int:
        return sum(replica.fold.told for replica in self._runner.shards)

    def _append(self, values: list[bytes]) -> None:
        now(self._intake.append(INTAKE, 0, [Entry(value, self._now_ms) for value in values]))
        self._catch_up()

    def _catch_up(self) -> None:
        runner = self._runner
        while records := now(self._intake.read(INTAKE, 0, runner.position, LINES)):
            while records:
                now(runner.run(records, BATCH_WEIGHT, BATCH_S))
                records = [record for record in records if record.offset >= runner.position]


def _batches(file: Any, rules: KindRules) -> Iterator[tuple[list[bytes], int]]:
    """The file's activities encoded, `LINES` at a time, with the bytes they took. Raises BadLine."""
    values: list[bytes] = []
    size = 0
    for number, line in enumerate(file, 1):
        size += len(line)
        if line.strip():
            values.append(_encoded(line, number, rules))
            if len(values) == LINES:
                yield values, size
                values, size = [], 0
    if values:
        yield values, size


def _encoded(line: bytes, number: int, rules: KindRules) -> bytes:
    try:
        activity = parse_activity(parse_json(line))
    except Invalid as error:
        raise BadLine(f"line {number}: {error}") from None
    faults = rules.faults(activity)
    if faults:
        raise BadLine(f"line {number}: " + "; ".join(f"{name}: {text}" for name, text in faults))
    return encode(activity)
