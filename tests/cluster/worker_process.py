"""A worker as a process of its own, for tests that kill, stop and add some.

It writes a line to its output whenever what it holds has changed: {"ready": …, "held": [[stage, partition], …]}.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.forked import Forked, killed

MODULE: Final = "tests.cluster.worker_process"
ROOT: Final = Path(__file__).parent.parent.parent
SESSION_S: Final = 6.0
END_S: Final = 60.0


async def work(port: int, prefix: str, folder: Path) -> None:
    # Not at the top: who starts such a process needs none of it.
    from fanbell.streams.agents import fan_out, forward, route
    from fanbell.streams.agents.shard import Pace
    from fanbell.streams.agents.worker import Membership, Worker
    from fanbell.streams.log_kafka import KafkaLog
    from fanbell.streams.snapshots_folder import FolderSnapshots
    from tests.cluster.kafka import config_of

    config = config_of(port, prefix)
    log = await KafkaLog.open(config)
    snapshots, pace = FolderSnapshots(folder / "snapshots"), Pace(snapshot_records=500, snapshot_s=2.0)
    stages = [agent.stage(log, snapshots, pace) for agent in (route, fan_out, forward)]
    worker = Worker(config, stages, Membership(session_timeout_s=SESSION_S, data=str(folder / "faust")))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    telling = asyncio.create_task(tell(worker))
    try:
        await worker.run()
    finally:
        telling.cancel()
        await log.close()


async def tell(worker: Any) -> None:
    last = None
    while True:
        held = sorted([stage, number] for (stage, number), one in worker.numbers().items() if one["open"])
        now = {"ready": worker.ready, "held": held}
        if now != last:
            print(json.dumps(now), flush=True)
            last = now
        await asyncio.sleep(0.1)


class WorkerProcess:
    """What one has started, and hears of it."""

    def __init__(self, process: "Forked | subprocess.Popen[bytes]", told: Path) -> None:
        self.process, self._told = process, told

    @property
    def state(self) -> dict[str, Any]:
        """What it said last."""
        lines = self._told.read_text().rpartition("\n")[0].splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {"ready": False, "held": []}
        return found

    @property
    def held(self) -> set[tuple[str, int]]:
        """(stage, partition) of what it has open"""
        return {(stage, number) for stage, number in self.state["held"]}

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code, once it has ended."""
        self.send(by)
        return self.process.wait(END_S)


@contextmanager
def worker_process(port: int, prefix: str, folder: Path, anew: str = "") -> Iterator[WorkerProcess]:
    """A worker with its files in `folder`, until the block ends; then it is killed if it still runs.

    `anew`: a module that is run in place of this one, by a process that has imported nothing yet.
    """
    folder.mkdir(parents=True)
    told, log, args = folder / "told", folder / "log", [str(port), prefix, str(folder)]
    told.touch()
    process: Forked | subprocess.Popen[bytes]
    if anew:
        with told.open("wb") as out, log.open("wb") as err:
            process = subprocess.Popen([sys.executable, "-m", anew, *args], stdout=out, stderr=err, cwd=ROOT)
    else:
        process = Forked([MODULE, *args], os.environ, log, told)
    try:
        yield WorkerProcess(process, told)
    finally:
        killed(process)


async def until_true(what: Callable[[], Awaitable[bool]], why: str, seconds: float = 30.0) -> None:
    """Wait for `what()` to hold; that it never does is a failure."""
    end = time.monotonic() + seconds
    while True:
        if await what():
            return
        assert time.monotonic() < end, f"after {seconds} s not yet: {why}"
        await asyncio.sleep(0.05)


async def until(what: Callable[[], bool], seconds: float, why: str) -> None:
    """The same of what is known at once."""

    async def ask() -> bool:
        return what()

    await until_true(ask, why, seconds)


def main() -> None:
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(work(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))


if __name__ == "__main__":
    main()
