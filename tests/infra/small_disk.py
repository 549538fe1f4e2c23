"""A file system of a few MB, for servers to run out of: a tmpfs that nobody else on the machine sees."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.infra.up_process import END_S

BALLAST = "ballast"  # takes room, and gives it back
_HOLD = (
    'mount -t tmpfs -o size="$2" fanbell "$1" && head -c "$3" /dev/zero >"$1/ballast" && echo there && read _'
)


class SmallDisk:
    """Mounted at `path` in a mount namespace of its own; `within` is a command that runs another in there.

    A process holds the namespace until the end, so that one server after another can run there.
    """

    def __init__(self, path: Path, holder: int, within: tuple[str, ...]) -> None:
        self.path, self.within = path, within
        self.root = Path(f"/proc/{holder}/root{path}")
        """Where it is seen from outside."""

    def make_room(self) -> None:
        """Give the ballast back."""
        (self.root / BALLAST).unlink()

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.root / "filler").open("ab", buffering=0) as filler:
            while self.free():
                filler.write(bytes(self.free()))

    def free(self) -> int:
        """Bytes."""
        room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize

    def mount(self, how: str) -> None:
        """Mount it anew, `ro` or `rw`."""
        subprocess.run([*self.within, "mount", "-o", f"remount,{how}", self.path], check=True, timeout=END_S)


@contextmanager
def small_disk(path: Path, size: int, ballast: int) -> Iterator[SmallDisk]:
    """One of `size` bytes at the empty folder `path`, `ballast` of them taken; skips where this may not be done."""
    ours = os.geteuid() == 0
    line = ["unshare", "--mount", *(() if ours else ("--map-root-user",)), "sh", "-c", _HOLD, "sh"]
    try:
        holder = subprocess.Popen(
            [*line, path, str(size), str(ballast)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        pytest.skip(f"no small file system without {error.filename}")
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            if not holder.stdout.readline():
                pytest.skip(f"no small file system may be mounted here: {holder.stderr.read().strip()}")
            more = () if ours else ("--user", "--preserve-credentials")
            within = ("nsenter", f"--target={holder.pid}", "--mount", *more, "--")
            try:
                subprocess.run([*within, "true"], check=True, capture_output=True, timeout=END_S)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"the small file system's namespace may not be entered: {error}")
            yield SmallDisk(path, holder.pid, within)
        finally:
            holder.kill()
