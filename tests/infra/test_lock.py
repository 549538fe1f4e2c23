"""One process per data folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fanbell.infra.lock import FolderInUse, FolderLock, FolderUnusable

HOLD = """
import sys
from fanbell.infra.lock import FolderLock
FolderLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_named(tmp_path: Path) -> None:
    """While one process holds the folder, another is told which; killing it sets the folder free."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        with pytest.raises(FolderInUse, match=f"in use by another Fanbell, process {holder.pid}"):
            FolderLock(tmp_path).acquire()

        holder.kill()
    with FolderLock(tmp_path) as lock:
        assert lock.path.read_text() == f"{os.getpid()}\n"


def test_it_is_given_back(tmp_path: Path) -> None:
    """Once released, by `release` or the end of `with`, the folder may be taken again."""
    lock = FolderLock(tmp_path)
    with lock, pytest.raises(FolderInUse):
        FolderLock(tmp_path).acquire()

    lock.acquire()
    with pytest.raises(FolderInUse, match="this very process"):
        lock.acquire()
    lock.release()
    lock.release()
    with FolderLock(tmp_path):
        pass


def test_an_error_within_gives_it_back(tmp_path: Path) -> None:
    """A crash inside `with` does not keep the folder."""

    def crash() -> None:
        with FolderLock(tmp_path):
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        crash()
    with FolderLock(tmp_path):
        pass


def test_a_folder_is_made(tmp_path: Path) -> None:
    """The first start makes the data folder."""
    with FolderLock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A folder that cannot be written is named, with what is needed. (Played: root may write anywhere.)"""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(FolderUnusable, match=r"is read-only for this user"):
        FolderLock(tmp_path).acquire()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is said."""
    (tmp_path / "data").write_bytes(b"")

    with pytest.raises(FolderUnusable, match="is not a folder"):
        FolderLock(tmp_path / "data").acquire()
