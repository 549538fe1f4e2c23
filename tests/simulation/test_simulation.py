"""The cluster under faults, from seeds; and that the simulation would notice if something were wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.simulation.faults import FAULTS
from tests.simulation.planting import MUTANTS
from tests.simulation.run import Summary, run, seeds_to_find, told
from tests.simulation.simulate import simulate

pytestmark = pytest.mark.refuses_snapshots  # torn ones; the simulation itself says if another one is

SEEDS: Final = 200
EMBEDDED_SEEDS: Final = 80
PARTS: Final = 5  # so that the seeds spread over the tests' processes
MUTANT_SEEDS: Final = SEEDS  # a planted bug must be found within the seeds that are run anyway


Recorder = Callable[[str, Any], None]
"""What a test records goes into the report at the end (`tests/conftest.py`)."""


@pytest.mark.parametrize("part", range(PARTS))
def test_inboxes_are_right_whatever_befalls_the_workers(part: int, record_property: Recorder) -> None:
    """
    Nothing is lost, told twice, unwanted or out of order, and what was acknowledged is in force, under every fault.
    """
    summary = run(range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS))
    record_property("faults", {fault: dict(stages) for fault, stages in summary.coverage().items()})

    assert not summary.failed, told(summary, verbose=False)
    missed = [fault for fault, stages in summary.coverage().items() if not stages]
    assert missed == [], "faults that hit nothing prove nothing"


def test_one_process_loses_nothing_whatever_its_disk_does(record_property: Recorder) -> None:
    """
    The embedded mode has every inbox right though it dies at any point and power takes back what was not durable.
    """
    summary = run(range(EMBEDDED_SEEDS), embedded=True)
    record_property(
        "faults of one process", {fault: dict(stages) for fault, stages in summary.coverage().items()}
    )

    assert not summary.failed, told(summary, verbose=False)
    assert [fault for fault, stages in summary.coverage().items() if not stages] == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """
    The simulation notices each of the mistakes that are planted for it.
    """
    assert seeds_to_find(name, MUTANT_SEEDS) is not None


def test_a_seed_replays() -> None:
    """
    The same seed is the same run: what it found can be looked at again.
    """
    first, second = simulate(7), simulate(7)

    assert first.turns == second.turns
    assert first.history == second.history
    assert first.faults.hits == second.faults.hits


def test_python_orders_nothing() -> None:
    """
    What is put out does not hang on Python's own hashes of strings, which differ from process to process.
    """
    digests = {
        subprocess.run(
            [sys.executable, "-c", "from tests.simulation.run import digest; print(digest(range(3)))"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1


def test_the_report_names_seed_and_coverage() -> None:
    """
    The report says which fault hit which stage, and how a failed seed is run again.
    """
    summary = Summary()
    report = simulate(3)
    summary.add(report, [])
    summary.failed[3] = []

    text = told(summary, verbose=True)

    assert "--seed 3" in text
    assert all(fault in text for fault in FAULTS)
