"""The benchmarks, tiny: they run, and their answers do not change from one run to the next."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks import data
from benchmarks.run_all import benchmarks, last_json_line

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = benchmarks([])
OF_THE_EDGE: Final = benchmarks(["edge"])
OF_REAL_DATA: Final = {"melcup_to_inboxes", "memory_per_edge", "publish_to_frame"}
WITHIN_S: Final = 60  # far beyond what one takes: then it hangs


def start(name: str, **more: str) -> "subprocess.Popen[str]":
    """`more`: environment variables."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--tiny"]
    environ = os.environ | more
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def line_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it printed last."""
    try:
        out, err = process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    line = last_json_line(out)
    assert line is not None, out
    return line


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_give_the_same_answer(name: str) -> None:
    """
    A benchmark prints one line last, with the machine, and two runs of it have the same answer: one with the core as it
    is installed, compiled where there is a C compiler, and one with it interpreted.
    """
    running = [start(name), start(name, FANBELL_INTERPRETED="1")]
    first, second = [line_of(process) for process in running]

    if "skipped" in first:
        assert name in OF_REAL_DATA
        assert data.folder() is None
        pytest.skip(first["skipped"])
    assert first["answer"]
    assert first["answer"] == second["answer"]
    assert first["question"] == second["question"]
    assert first["synthetic"] is (name not in OF_REAL_DATA)
    assert {"cpu", "cores", "python"} <= first["machine"].keys()
    assert first["versions"]
    json.dumps(first, allow_nan=False)  # any program can read it


@pytest.mark.browser
@pytest.mark.parametrize("name", OF_THE_EDGE)
def test_a_benchmark_of_the_edge_checks_its_own_answer(name: str) -> None:
    """
    A benchmark of the edge runs over real sockets, and prints the hash of an answer that it has compared with what it
    told: everybody heard all that was for them, once.
    """
    line = line_of(start(name))

    if "skipped" in line:
        pytest.skip(line["skipped"])
    assert line["answer"]
    assert line["synthetic"]
    json.dumps(line, allow_nan=False)


def test_every_benchmark_is_found() -> None:
    """
    `make bench` runs a benchmark for each question that has a figure to meet.
    """
    expected = OF_REAL_DATA | {"fold", "page", "post_activities", "users_scale"}

    assert expected <= set(NAMES)
    expected = {"broadcast", "personal", "idle_memory", "slow_readers", "resume"}
    assert {f"edge.{name}" for name in expected} <= set(OF_THE_EDGE)
