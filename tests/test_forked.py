"""Processes that are forked rather than started: all that tests rely on holds for them too."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.forked import END_S, Forked, clean, killed


def test_a_command_says_what_it_says_when_it_is_started() -> None:
    """The same code, compiled or not, of the same Python; by `python -m fanbell`, too."""
    started = subprocess.run(
        [sys.executable, "-m", "fanbell", "version"],
        env=clean(), capture_output=True, text=True, timeout=END_S, check=True,
    )  # fmt: skip

    found = forked.run(["version"], clean(), END_S)

    assert (found.returncode, found.stdout, found.stderr) == (0, started.stdout, started.stderr)


def test_its_variables_are_its_own() -> None:
    """What this process has in its environment is not there, and what it is given is; errors are told by stderr."""
    found = forked.run(["settings"], {"FANBELL_NO_SUCH_SETTING": "1", "PATH": os.environ["PATH"]}, END_S)

    assert found.returncode == 2
    assert not found.stdout
    assert "FANBELL_NO_SUCH_SETTING" in found.stderr


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_hears_signals_and_can_be_killed(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """It is a process of its own, and who started it is told how it ended."""
    line = [forked.FANBELL, "up", "--port", "0", "--json", "--data", str(tmp_path / "data")]
    process = Forked(line, clean(), tmp_path / "log")
    try:
        assert process.stdout.readline().startswith(b'{"http":'), (tmp_path / "log").read_text()
        assert process.poll() is None
        process.send_signal(how)
        assert process.wait(END_S) == code
    finally:
        killed(process)
