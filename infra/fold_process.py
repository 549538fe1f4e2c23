"""The folds in a process of their own: while it folds what comes next, whoever started it keeps what it made.

For bulk loads, where both together need more than one core. The process reads the folder and writes nothing into it but
snapshots, when it is asked to: so its end, however it comes, harms nothing, and it ends when whoever started it does.
"""

import gc
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec

from fanbell.infra.folder import INTAKE_FILE, SNAPSHOTS_FOLDER, STATE_FILE
from fanbell.infra.intake import run as now
from fanbell.schemas.topics import INTAKE
from fanbell.streams.folds import Folds, Work
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.sqlite import open_database

RULES: Final = -1  # asked instead of how far to fold
SAVE: Final = -2
READ_RECORDS: Final = 2_000  # of `intake` at once
GC_THRESHOLD: Final = (50_000, 20, 50)  # records come by tens of thousands, none of them in a cycle
GC_THRESHOLD_LIVE: Final = (1_000, 5, 2_000)
"""Where people wait: what is kept is looked through twice either way, but 50,000 at once take 200 ms, in which nobody
hears anything."""
END_S: Final = 30.0  # for the process to end once it is told to: it has nothing left to do


class FoldFailed(Exception):
    """The process ended, or answered with something that it cannot say better."""


class Opened(msgspec.Struct, tag=True):
    """The first answer: where the folds stand."""

    position: int


class Ruled(msgspec.Struct, tag=True):
    """The rules in force, if any: (version, TOML)."""

    rules: tuple[int, str] | None


class Made(msgspec.Struct, tag=True):
    work: Work


class Saved(msgspec.Struct, tag=True):
    """The last answer."""

    told: int
    waiting: int


class Failed(msgspec.Struct, tag=True):
    error: bytes
    """Pickled: it comes from our own process."""


_decoder: Final = msgspec.msgpack.Decoder(Opened | Ruled | Made | Saved | Failed)


class FoldProcess:
    """The folds of the folder `data`, whose log holds all that was made so far. To be used from one thread."""

    def __init__(self, data: Path, weight: int, seconds: float) -> None:
        """Start it. Raises what opening raises; FoldFailed."""
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        args = (str(data), weight, seconds, there)
        self._process = context.Process(target=_main, args=args, name="fold", daemon=True)
        self._process.start()
        there.close()  # the end of the process is the end of the line
        try:
            opened = self._answer()
        except BaseException:
            self.close()
            raise
        assert isinstance(opened, Opened)
        self.position = opened.position
        """How far `intake` is folded and handed over."""

    def go_to(self, end: int) -> None:
        """Let it fold `intake` up to `end`."""
        self._here.send(end)

    def made(self, wait: bool) -> Work | None:
        """What it made next, in order; None if there is nothing yet and we shall not `wait`. Raises as `__init__`."""
        if not wait and not self._here.poll():
            return None
        found = self._answer()
        assert isinstance(found, Made)
        self.position = found.work.position
        return found.work

    def rules(self) -> tuple[int, str] | None:
        """The rules in force after all that it was let fold, as (version, TOML); None if there are none."""
        self._here.send(RULES)
        found = self._answer()
        assert isinstance(found, Ruled)
        return found.rules

    def save(self) -> Saved:
        """Have it save snapshots, all it made being kept and durable, and end. Raises SnapshotFailed, FoldFailed."""
        self._here.send(SAVE)
        found = self._answer()
        assert isinstance(found, Saved)
        return found

    def close(self) -> None:
        self._here.close()
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self) -> Opened | Ruled | Made | Saved:
        try:
            found: Opened | Ruled | Made | Saved | Failed = _decoder.decode(self._here.recv_bytes())
        except (EOFError, OSError) as error:
            raise FoldFailed(
                "the process that folds has ended; what was kept is whole, load the file again"
            ) from error
        if isinstance(found, Failed):
            raise pickle.loads(found.error)  # noqa: S301 - of our own process
        return found


def _main(data: str, weight: int, seconds: float, line: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us; that ends us too
    gc.set_threshold(*GC_THRESHOLD)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # whoever started us is gone
        try:
            for message in _folded(data, weight, seconds, line):
                line.send_bytes(msgspec.msgpack.encode(message))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 - said on the other side
            line.send_bytes(msgspec.msgpack.encode(Failed(_pickled(error))))


def _folded(
    data: str, weight: int, seconds: float, line: Connection
) -> Iterator[Opened | Ruled | Made | Saved]:
    folder = Path(data)
    with (
        closing(open_database(folder / STATE_FILE, read_only=True)) as state,
        closing(open_database(folder / INTAKE_FILE, read_only=True)) as intake,
    ):
        snapshots = FolderSnapshots(folder / SNAPSHOTS_FOLDER)
        folds = Folds(SqliteLog.reading(state), SqliteLog.reading(intake), snapshots)
        now(folds.open())
        gc.collect()
        gc.freeze()  # the state is there to stay
        yield Opened(folds.position)
        while (end := line.recv()) != SAVE:
            if end == RULES:
                versions = folds.routes[0].fold.versions
                yield Ruled((versions.newest.version, versions.newest.source) if versions.of else None)
            while folds.position < end:
                records = now(folds.intake.read(INTAKE, 0, folds.position, READ_RECORDS))
                while records:
                    first = folds.position
                    yield Made(folds.fold(records, weight, seconds, alone=True))
                    records = records[folds.position - first :]
        now(folds.save())
        waiting = sum(len(replica.fold.waiting_ids) for replica in folds.routes)
        yield Saved(folds.told, waiting)


def _pickled(error: Exception) -> bytes:
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - some errors cannot be made again from their arguments
        return pickle.dumps(FoldFailed(f"{type(error).__name__}: {error}"))
    return data
