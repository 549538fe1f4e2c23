"""What the API accepts, made durable: one thread, one file, one commit for all who wait.

The file is apart from the runner's: its commits are few and survive loss of power, the runner's are many and can
be made again from here. Whoever appends waits only for the commits before theirs.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from fanbell.edge.backend import Unavailable
from fanbell.schemas.topics import INTAKE
from fanbell.streams.log import Entry, LogFailed
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import DatabaseFailed, open_database, transaction

COMMIT_ENTRIES_MAX: Final = (
    20_000  # records in one commit: tens of MB at most, so that nobody waits long behind it
)

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
        self.end = first + len(entries)
        self.gone.update(place for (place,) in places)
        self._appended()
        at = first
        for job in jobs:
            at += len(job.values)
            job.done.set_result(at)


def run(coroutine: Any) -> Any:
    """The result of a coroutine that never waits: the adapters for SQLite are such."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a coroutine of an SQLite adapter waited")
