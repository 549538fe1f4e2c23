"""`fanbell worker`: the stages of a cluster in one process, any number of which share the partitions."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import uvloop

from fanbell.compiled import core
from fanbell.infra import logs
from fanbell.infra.answering import answering, listen_at
from fanbell.infra.cli.exits import Exit
from fanbell.infra.connected import REFUSALS, Clients, clients, is_away
from fanbell.infra.fold_process import GC_THRESHOLD_LIVE
from fanbell.infra.health import behind, health_app
from fanbell.infra.kafka import kafka_config, registry
from fanbell.infra.lock import FolderLock
from fanbell.infra.patience import Patience, Stopped
from fanbell.infra.refusals import code_of
from fanbell.infra.settings import Settings
from fanbell.projections.agents import project_inbox
from fanbell.projections.agents.project_inbox import Inboxes
from fanbell.schemas.topics import NOTICES
from fanbell.streams.agents import fan_out, forward, route
from fanbell.streams.agents.part import Stage
from fanbell.streams.agents.shard import Pace
from fanbell.streams.agents.worker import Membership, Worker
from fanbell.streams.registry import Registry
from fanbell.streams.snapshots_cassandra import CassandraSnapshots
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.snapshots_shared import SharedSnapshots

logger = structlog.get_logger()
STAGES: Final = ("route", "fan_out", "forward", "project_inbox")
"""What a worker can do; by default all of it."""


def run(settings: Settings, json: bool = False) -> int:
    """Work until SIGTERM or SIGINT; the exit code. What cannot be gone on with ends it, for a supervisor to see."""
    logs.configure({"json": True, "text": False}.get(settings.log_format, True if json else None))
    gc.set_threshold(*GC_THRESHOLD_LIVE)
    try:
        with FolderLock(settings.data):  # snapshots have one writer for each folder
            uvloop.run(_work(settings, json))
    except REFUSALS as error:
        sys.stderr.write(f"fanbell: {error}\n")
        return code_of(error)
    except Stopped:
        return Exit.OK
    except Exception as error:
        logger.error("worker_failed", error=f"{type(error).__name__}: {error}", exc_info=error)
        return Exit.FAILED
    return Exit.OK


async def _work(settings: Settings, json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    patience = Patience(settings.start_wait_s, stop)
    async with registry(settings) as schemas, clients(settings, patience) as connected:
        if "project_inbox" in settings.worker_stages:
            claim = partial(connected.store.claim, connected.log.identity)
            await patience.until_there("Cassandra", claim, is_away)
        worker = Worker(kafka_config(settings), _stages(settings, connected, schemas), _membership(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _told_to_stop, worker, number)
        if stop.is_set():
            raise Stopped
        async with _health(settings, worker) as port:
            if json:
                said = {"health": f"http://{settings.host}:{port}", "stages": list(settings.worker_stages)}
                sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
            else:
                sys.stdout.write(
                    f"Fanbell works on {', '.join(settings.worker_stages)}; health at http://{settings.host}:{port}\n"
                )
            sys.stdout.flush()
            logger.info("worker_started", stages=list(settings.worker_stages), health_port=port, core=core())
            await worker.run()
            logger.info("worker_stopped")


def _told_to_stop(worker: Worker, number: signal.Signals) -> None:
    logger.info("worker_stopping", signal=number.name)
    worker.stop()


def _membership(settings: Settings) -> Membership:
    return Membership(
        session_timeout_s=settings.kafka_session_timeout_s, data=str(Path(settings.data) / "faust")
    )


def _stages(settings: Settings, connected: Clients, schemas: Registry | None) -> list[Stage]:
    log, cassandra, store = connected
    folder = FolderSnapshots(Path(settings.data) / "snapshots")
    snapshots = SharedSnapshots(folder, CassandraSnapshots(cassandra, _writer(settings)))
    keep_ms = settings.log_keep_hours * 3_600_000
    pace = Pace(settings.snapshot_every_records, settings.snapshot_every_s, log_keep_ms=keep_ms)

    def inboxes(partition: int) -> Inboxes:
        return Inboxes(partition, log, store, keep_ms)

    known = {
        "route": lambda: route.stage(log, snapshots, pace, schemas),
        "fan_out": lambda: fan_out.stage(log, snapshots, pace),
        "forward": lambda: forward.stage(log, snapshots, pace, schemas),
        "project_inbox": lambda: Stage(
            "project_inbox",
            NOTICES,
            inboxes,
            project_inbox.attach,
            project_inbox.FAILURES,
            project_inbox.GATHER_S,
        ),
    }
    return [known[name]() for name in settings.worker_stages]


def _writer(settings: Settings) -> str:
    """Names this worker's snapshots among those of others: the same machine and folder are the same writer."""
    return f"{socket.gethostname()}:{Path(settings.data).absolute()}"


@contextlib.asynccontextmanager
async def _health(settings: Settings, worker: Worker) -> AsyncIterator[int]:
    """Answer about this process, at a port of its own."""
    listening = listen_at(settings.host, settings.health_port)

    def ready() -> tuple[bool, str]:
        why = behind(worker.numbers(), settings.ready_lag_max)
        if not worker.ready:
            why = why or "the group is giving out partitions"
        return not why, why

    def process() -> dict[str, float]:
        return {"rebalances_total": worker.rebalances, "ready": ready()[0]}

    app: Any = health_app(ready, worker.numbers, process)
    with contextlib.closing(listening):
        async with answering(app, listening):
            yield int(listening.getsockname()[1])
