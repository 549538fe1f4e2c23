"""Our programs as processes of their own, forked from one that has imported them.

Importing what a worker needs takes more CPU than most tests that start one. A forked process is like any other: it runs
the core as it is installed, answers signals, can be killed. What changes code before it is imported is started anew.
"""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

IMPORTED: Final = ("fanbell.infra.worker", "fanbell.infra.clustered")
"""With all that they import: what `fanbell worker`, `api` and `edge` run"""
FANBELL: Final = "fanbell"
"""The module that is the command"""
END_S: Final = 60.0  # one that takes longer hangs

_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(IMPORTED))


def clean() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FANBELL_")}


class Forked:
    """What `python -m MODULE ARGS…` runs; to who started it, as a `subprocess.Popen` is."""

    def __init__(
        self, line: Sequence[str], environ: Mapping[str, str], log: Path, told: Path | None = None
    ) -> None:
        """`line`: a module and its arguments. stderr goes to `log`, stdout to `told` or else into the pipe `stdout`."""
        said, says = _CONTEXT.Pipe(duplex=False)
        with said, says:
            self._process = _CONTEXT.Process(
                target=_run, args=(list(line), dict(environ), log, says if told is None else told)
            )
            self._process.start()
            self.stdout = os.fdopen(os.dup(said.fileno()), "rb")
        assert self._process.pid is not None
        self.pid: Final = self._process.pid

    def poll(self) -> int | None:
        """Its exit code; less than 0 is the signal that it died of, None that it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0.0)
        return code


def killed(process: "Forked | subprocess.Popen[bytes]") -> None:
    """It has ended, by force if it had not, and nothing of it is open."""
    process.kill()
    process.wait(END_S)
    if process.stdout is not None:
        process.stdout.close()


def run(
    args: Sequence[str | Path], environ: Mapping[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """`fanbell ARGS`, as by subprocess.run with what it says captured. Raises subprocess.TimeoutExpired."""
    line = [FANBELL, *map(str, args)]
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "stdout", Path(folder) / "stderr"
        process = Forked(line, environ, err, out)
        try:
            code = process.wait(timeout)
        finally:
            killed(process)
        return subprocess.CompletedProcess(line, code, out.read_text(), err.read_text())


def _run(line: list[str], environ: dict[str, str], log: Path, told: Connection | Path) -> None:
    os.environ.clear()
    os.environ.update(environ)
    with log.open("ab") as err, told.open("ab") if isinstance(told, Path) else told as out:
        os.dup2(err.fileno(), 2)
        os.dup2(out.fileno(), 1)
    # Those that were there know of the files of who started it: whether they can be sought in, and where they are.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    sys.argv = line
    runpy.run_module(line[0], run_name="__main__", alter_sys=True)
