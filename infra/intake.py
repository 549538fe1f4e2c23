"""What the API accepts, made durable: one thread, one file, one commit for all who wait.

The file is apart from the runner's: its commits are few and survive loss of power, the runner's are many and can
be made again from here. Whoever appends waits only for the commits before theirs.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from fanbell.edge.backend import Unavailable
from fanbell.schemas.topics import INTAKE
from fanbell.streams.log import Entry, LogFailed, Record
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import DatabaseFailed, open_database, transaction

COMMIT_ENTRIES_MAX: Final = (
    20_000  # records in one commit: tens of MB at most, so that nobody waits long behind it
)

RECENT_BYTES_MAX: Final = 32 * 1024 * 1024  # kept in memory for the runner; beyond, it reads the file

_GONE: Final = "CREATE TABLE IF NOT EXISTS dead_gone (place INTEGER PRIMARY KEY)"


class Job:
    """Records to append, dead letters to mark as gone with them, and up to where what is older may be forgotten."""

    def __init__(self, values: Sequence[bytes], gone: Sequence[int], trim: int = 0) -> None:
        self.values, self.gone, self.trim = values, gone, trim
        self.done: Future[int] = Future()


class Intake:
    """Appends to `intake`. `appended` is called in the writer's thread after each commit."""

    def __init__(self, path: str, appended: Callable[[], None]) -> None:
        self._connection = open_database(path, synchronous="FULL")
        with transaction(self._connection):
            self._connection.execute(_GONE)
        self._log = SqliteLog(self._connection, 1)
        self._appended = appended
        self.identity = self._log.identity
        self.end = run(self._log.end(INTAKE, 0))
        """Offset that the next record will have."""
        self.gone: set[int] = {place for (place,) in self._connection.execute("SELECT place FROM dead_gone")}
        """Places in `dead` of letters that were retried or dropped."""
        self._jobs: list[Job] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._last_ms = 0
        self._recent: deque[list[Record]] = deque()
        self._recent_bytes = 0
        self._recent_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    async def append(self, values: Sequence[bytes], gone: Sequence[int] = ()) -> int:
        """Make `values` durable, all or none, and mark dead letters as gone with them; the offset after the last.

        Raises Unavailable.
        """
        return await asyncio.wrap_future(self.submit(values, gone))

    def submit(self, values: Sequence[bytes], gone: Sequence[int] = ()) -> Future[int]:
        """`append` from any thread, without waiting for it. Raises Unavailable."""
        job = Job(values, gone)
        with self._wake:
            if self._stopping:
                raise Unavailable("the server is stopping")
            self._jobs.append(job)
            self._wake.notify()
        return job.done

    def recent(self, offset: int, at_most: int) -> list[Record]:
        """Durable records from `offset` on, as `Log.read` gives them, if they are still in memory; else none.

        Those before `offset` are let go: there is one reader, and it goes forward.
        """
        found: list[Record] = []
        with self._recent_lock:
            while self._recent and self._recent[0][-1].offset < offset:
                self._recent_bytes -= _bytes(self._recent.popleft())
            if self._recent and self._recent[0][0].offset <= offset:
                for records in self._recent:
                    found += records[max(0, offset - records[0].offset) :]
                    if len(found) >= at_most:
                        break
        return found[:at_most]

    def _remember(self, first: int, entries: Sequence[Entry]) -> None:
        records = [Record(first + i, entry.value, entry.timestamp_ms) for i, entry in enumerate(entries)]
        if records:
            with self._recent_lock:
                self._recent.append(records)
                self._recent_bytes += _bytes(records)
                while self._recent_bytes > RECENT_BYTES_MAX:
                    self._recent_bytes -= _bytes(self._recent.popleft())

    def trim(self, before: int) -> None:
        """Forget the records below `before`, soon; failing is no harm, there will be another time."""
        with self._wake:
            if not self._stopping:
                self._jobs.append(Job((), (), before))
                self._wake.notify()

    def stop(self) -> None:
        """Finish what was asked for; nothing more is taken."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def close(self) -> None:
        """Close the file, as its last user: that moves its WAL into it."""
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._stopping:
                    self._wake.wait()
                if not self._jobs:
                    return
                jobs = self._cut()
            try:
                self._commit(jobs)
            except (LogFailed, DatabaseFailed, sqlite3.Error) as error:
                for job in jobs:
                    job.done.set_exception(Unavailable(str(error)))

    def _cut(self) -> list[Job]:
        count = at = 0
        for at, job in enumerate(self._jobs, 1):  # noqa: B007
            count += len(job.values)
            if count >= COMMIT_ENTRIES_MAX:
                break
        jobs, self._jobs = self._jobs[:at], self._jobs[at:]
        return jobs

    def _commit(self, jobs: list[Job]) -> None:
        self._last_ms = now_ms = max(
            self._last_ms, time.time_ns() // 1_000_000
        )  # a clock set back does not turn time back
        entries = [Entry(value, now_ms) for job in jobs for value in job.values]
        with transaction(self._connection):
            first = run(self._log.append(INTAKE, 0, entries))
            places = [(place,) for job in jobs for place in job.gone]
            self._connection.executemany("INSERT OR IGNORE INTO dead_gone VALUES (?)", places)
            if (before := max(job.trim for job in jobs)) > 0:
                run(self._log.trim(INTAKE, 0, before))
        self._remember(first, entries)
        self.end = first + len(entries)
        self.gone.update(place for (place,) in places)
        self._appended()
        at = first
        for job in jobs:
            at += len(job.values)
            job.done.set_result(at)


def _bytes(records: Sequence[Record]) -> int:
    return sum(len(record.value) for record in records)


def run(coroutine: Any) -> Any:
    """The result of a coroutine that never waits: the adapters for SQLite are such."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a coroutine of an SQLite adapter waited")
