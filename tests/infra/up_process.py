"""`fanbell up` as a process of its own."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FANBELL: Final = Path(sys.executable).parent / "fanbell"
END_S: Final = 60  # a server that takes longer to end hangs


@dataclass
class Up:
    """The process, and what it said when it listened."""

    process: "subprocess.Popen[str]"
    told: dict[str, Any]

    @property
    def url(self) -> str:
        """Where its HTTP API is."""
        return str(self.told["http"])

    def heard(self, user: str) -> list[dict[str, Any]]:
        """What is in the user's inbox, once something is."""
        until = time.monotonic() + END_S
        while True:
            with urllib.request.urlopen(f"{self.url}/v1/users/{user}/notifications", timeout=END_S) as answer:
                items: list[dict[str, Any]] = json.load(answer)["items"]
            if items or time.monotonic() > until:
                return items

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.terminate()
        return self.process.wait(END_S)


@contextmanager
def fanbell_up(
    folder: Path,
    *args: str,
    command: Path = FANBELL,
    within: Sequence[str] = (),
    before: Callable[[], None] | None = None,
    log: Path | None = None,
) -> Iterator[Up]:
    """A server with its data in `folder`, on free ports, until the block ends; then it is killed if it still runs.

    `within`: a command that runs another. `before` is called in the child. `log`: where stderr goes.
    """
    line = (*within, command, "up", "--data", folder / "data", "--port", "0", "--json", *args)
    with (
        nullcontext() if log is None else log.open("ab") as stderr,
        subprocess.Popen(
            line, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=before
        ) as process,
    ):
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first, f"fanbell up ended with {process.wait(END_S)} and never listened"
            yield Up(process, json.loads(first))
        finally:
            process.kill()


def heeds_ctrl_c() -> None:
    """As on a terminal: what a shell starts in the background is told to ignore it, and so are its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
