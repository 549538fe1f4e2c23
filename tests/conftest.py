"""Says at the end how long each part of the tests took."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

import pytest
import structlog

_SECONDS: Final[defaultdict[str, float]] = defaultdict(float)
_TESTS: Final[defaultdict[str, int]] = defaultdict(int)


@pytest.fixture(autouse=True)
def _logs_as_they_come() -> Iterator[None]:
    """A test that sets up logging leaves none of it to the next: its stderr is gone by then."""
    yield
    structlog.reset_defaults()


def part_of(nodeid: str) -> str:
    """The part that a test belongs to: the folder below tests/, or the file where there is none."""
    return PurePosixPath(nodeid.partition("::")[0]).parts[1].removesuffix(".py")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    part = part_of(report.nodeid)
    _SECONDS[part] += report.duration
    _TESTS[part] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seconds are those of the workers: with two of them, half as many passed on the wall."""
    terminalreporter.write_line("")
    for part, seconds in sorted(_SECONDS.items()):
        terminalreporter.write_line(f"tests: {part:<35} {_TESTS[part]:>5} run {seconds:>6.1f} s")
