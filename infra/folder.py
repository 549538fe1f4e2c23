"""A data folder, open: the lock, the two files, what lives in them, and the snapshots."""

from pathlib import Path
from typing import Final

from fanbell.infra.lock import FolderLock
from fanbell.infra.settings import Settings
from fanbell.projections.store_sqlite import SqliteStore
from fanbell.streams.embedded import Keeper, Runner
from fanbell.streams.log import Log
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.snapshots_folder import FolderSnapshots
from fanbell.streams.sqlite import open_database, transaction

INTAKE_FILE: Final = "intake.db"
STATE_FILE: Final = "fanbell.db"
SNAPSHOTS_FOLDER: Final = "snapshots"


class DataFolder:
    """What the runner writes. Everything is refused, and nothing changed, where another process has the folder.

    Raises FolderInUse, FolderUnusable, DatabaseFailed (OtherPartitions, NewerFormat), StoreFailed.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = Path(settings.data)
        self._lock = FolderLock(self.path)
        self._lock.acquire()
        try:
            self.connection = open_database(self.path / STATE_FILE)
            self.log = SqliteLog(self.connection, settings.partitions)
            age_ms = settings.inbox_keep_days * 86_400_000 or None
            self.store = SqliteStore(self.connection, settings.inbox_keep, age_ms)
            self.snapshots = FolderSnapshots(self.path / SNAPSHOTS_FOLDER)
        except BaseException:
            self._lock.release()
            raise

    def runner(self, intake: Log) -> Runner:
        """A runner over this folder, not open yet."""
        return Runner(self.log, intake, self.store, self.snapshots, lambda: transaction(self.connection))

    def keeper(self) -> Keeper:
        """What writes down into this folder what was folded elsewhere."""
        return Keeper(self.log, self.store, lambda: transaction(self.connection))

    def close(self) -> None:
        self.store.close()
        self.connection.close()
        self._lock.release()
