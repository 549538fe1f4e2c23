"""`fanbell up`, dying by kill −9 at a named point: `FANBELL_TEST_CRASH=point:passes` says which, and at which pass.

The product knows nothing of it: the points are put around its own functions here.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from fanbell.edge import start
from fanbell.infra import intake, up
from fanbell.infra.settings import load
from fanbell.projections.store_sqlite import SqliteStore
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.route import Route
from fanbell.streams.embedded import Runner
from fanbell.streams.snapshots_folder import FolderSnapshots

POINTS: dict[str, tuple[Any, str, bool]] = {
    "append": (intake.Intake, "_commit", True),  # durable, nobody told
    "append-before": (intake.Intake, "_commit", False),
    "route": (Route, "step", True),
    "fan_out": (FanOut, "step", True),
    "projection": (SqliteStore, "apply", True),  # rows written, not committed
    "committed": (Runner, "run", True),  # committed, nobody told
    "snapshot": (FolderSnapshots, "save", False),
    "snapshot-kept": (FolderSnapshots, "save", True),
}
"""point → (class, method, after it rather than before)"""


class Countdown:
    def __init__(self, passes: int) -> None:
        self._left, self._lock = passes, threading.Lock()

    def passed(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _around(
    method: Callable[..., Any], countdown: Countdown, after: bool, is_async: bool
) -> Callable[..., Any]:
    if is_async:

        async def dying_async(*args: Any, **kwargs: Any) -> Any:
            if not after:
                countdown.passed()
            result = await method(*args, **kwargs)
            if after:
                countdown.passed()
            return result

        return dying_async

    def dying(*args: Any, **kwargs: Any) -> Any:
        if not after:
            countdown.passed()
        result = method(*args, **kwargs)
        if after:
            countdown.passed()
        return result

    return dying


def main(data: str, port: str) -> int:
    # The load goes on while sockets come back: let them resume however much they missed, so that all can be compared.
    start.FRAMES_MAX = start.LOG_RECORDS_MAX = 1_000_000  # type: ignore[misc]
    crash = os.environ.pop("FANBELL_TEST_CRASH", "")
    if crash:
        point, _, passes = crash.partition(":")
        cls, name, after = POINTS[point]
        method = getattr(cls, name)
        setattr(cls, name, _around(method, Countdown(int(passes)), after, name in ("apply", "run", "save")))
    flags = {
        "data": data,
        "port": port,
        "inbox_keep": 100_000,
        "snapshot_every_records": 300,
        "rate_limit_per_address": 0,
        "backlog_max": 1_000_000,
        "mailbox_frames": 100_000,
        "mailbox_bytes": 100_000_000,
    }
    return up.run(load(flags, os.environ, None), json=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
