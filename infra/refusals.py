"""What keeps a process from starting, said in one line rather than by a traceback; and the exit code of it."""

from typing import Final

from fanbell.infra.cli.exits import Exit
from fanbell.infra.lock import FolderInUse, FolderUnusable
from fanbell.infra.settings import BadSetting
from fanbell.projections.store import StoreFailed
from fanbell.streams.log import LogFailed
from fanbell.streams.replica import LogShort
from fanbell.streams.snapshots import SnapshotFailed
from fanbell.streams.tls import TlsUnusable

WRONG_SETTINGS: Final = (BadSetting, TlsUnusable)
"""Those of them that another setting cures."""
REFUSALS: Final = (
    *WRONG_SETTINGS, FolderInUse, FolderUnusable, StoreFailed, SnapshotFailed, LogFailed, LogShort, OSError,
)  # fmt: skip


def code_of(refusal: Exception, wrong_settings: tuple[type[Exception], ...] = WRONG_SETTINGS) -> Exit:
    """What a process ends with that one of its refusals keeps from starting."""
    return Exit.USAGE if isinstance(refusal, wrong_settings) else Exit.FAILED
