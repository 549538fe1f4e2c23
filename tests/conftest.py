"""What holds for all tests: the parts' times and the faults that hit are said at the end, no setting leaks in."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import pytest
import structlog

from fanbell.infra.local.cluster import Cluster
from fanbell.infra.logs import Libraries
from fanbell.streams import replica
from tests.cluster.servers import shared

# Servers of tests live for minutes: compiled quickly rather than well, they start with half of the CPU.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

_SECONDS: Final[defaultdict[str, float]] = defaultdict(float)
_TESTS: Final[defaultdict[str, int]] = defaultdict(int)
_FAULTS: Final[defaultdict[tuple[str, str], Counter[str]]] = defaultdict(Counter)
"""(of what, fault) → stage → how often the simulation let it hit there"""


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Kafka and a real Cassandra; for tests marked `cluster`."""
    own = tmp_path_factory.getbasetemp()
    with shared(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _as_if_nothing_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Fanbell is told by variables comes from the test alone.

    Those of whoever runs the tests (FANBELL_TEST_…) are read before, by modules and `servers`; to the command, any
    variable of its name that is no setting is an error.
    """
    for name in [name for name in os.environ if name.startswith("FANBELL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_as_they_come() -> Iterator[None]:
    """A test that sets up logging leaves none of it to the next: its stderr is gone by then."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Libraries)]:
        root.removeHandler(handler)


class _Listening:
    """A logger that keeps what it is warned of, and passes everything on."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.warned: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.logger, name)

    def warning(self, event: str, **more: Any) -> None:
        self.warned.append((event, more))
        self.logger.warning(event, **more)


@pytest.fixture(autouse=True)
def _snapshots_are_taken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A state that cannot be loaded is folded from the log again, so nothing else in a test would show it.

    Those marked `refuses_snapshots` may. What a process of its own logs is not heard here.
    """
    listening = _Listening(replica.logger)
    monkeypatch.setattr(replica, "logger", listening)
    yield
    refused = [more for event, more in listening.warned if event == "snapshot_refused"]
    if request.node.get_closest_marker("refuses_snapshots") is None:
        assert not refused, (
            "a snapshot was refused; mark the test with refuses_snapshots if that is its point"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """xdist gives each of its workers a run of tests: all the long ones go to one, so they are not beside each other,
    and others take over what stands behind them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def part_of(nodeid: str) -> str:
    """The part that a test belongs to: the folder below tests/, or the file where there is none."""
    return PurePosixPath(nodeid.partition("::")[0]).parts[1].removesuffix(".py")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    part = part_of(report.nodeid)
    _SECONDS[part] += report.duration
    _TESTS[part] += report.when == "call"
    for name, value in report.user_properties if report.when == "call" else ():
        if name.startswith("faults"):
            for fault, stages in value.items():
                _FAULTS[name, fault] += Counter(stages)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seconds are those of the workers: with two of them, half as many passed on the wall."""
    terminalreporter.write_line("")
    for (name, fault), stages in sorted(_FAULTS.items()):
        where = ", ".join(f"{stage} {count}" for stage, count in sorted(stages.items()))
        terminalreporter.write_line(f"{name}: {fault:<24} hit {where or 'nothing'}")
    for part, seconds in sorted(_SECONDS.items()):
        terminalreporter.write_line(f"tests: {part:<35} {_TESTS[part]:>5} run {seconds:>6.1f} s")
