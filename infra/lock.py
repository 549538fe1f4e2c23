"""One process per data folder: a lock that the system gives back when its holder dies, however it dies."""

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

NAME: Final = "LOCK"


class FolderInUse(Exception):
    """Another process uses the folder; the message says which."""


class FolderUnusable(Exception):
    """The folder cannot be written."""


class FolderLock:
    """An exclusive lock on a data folder, held from `acquire` to `release` or over a `with`.

    The file `LOCK` holds the holder's process id for people to read; `flock` is what locks.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once; make the folder if it is not there. Raises FolderInUse, FolderUnusable."""
        if self._descriptor is not None:
            raise FolderInUse(f"{self.path.parent} is in use by this very process")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unusable(self.path.parent, error) from error
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; twice does nothing. The file stays: deleting it would race with the next."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)  # and with it the lock

    def __enter__(self) -> "FolderLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self, descriptor: int) -> None:
        folder = self.path.parent
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise FolderInUse(
                f"{folder} is in use by another Fanbell, process {holder}: stop it, or name another folder"
            ) from error
        except OSError as error:
            raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> FolderUnusable:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        said = "is read-only for this user; Fanbell must be able to write there"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        said = "is not a folder"
    else:
        said = f"cannot be used: {error.strerror}"
    return FolderUnusable(f"the data folder {folder} {said}")
