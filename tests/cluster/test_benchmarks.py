"""The benchmarks of real servers, tiny."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.run_all import last_json_line
from fanbell.infra.local.cluster import Cluster
from tests.benchmarks.test_benchmarks import ROOT, WITHIN_S

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def test_all_designs_of_rows_show_the_same(servers: Cluster) -> None:
    """
    Rows written in each way give the same pages, and the same from one run to the next.
    """
    answers = set()
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.cluster.rows", "--tiny"],
            cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False,
            env={**os.environ, "FANBELL_CASSANDRA_CONTACT_POINTS": servers.contact_points},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        line = last_json_line(done.stdout)
        assert line is not None
        assert line["store"]["rows_per_s"] > 0
        answers.add(line["answer"])
        json.dumps(line, allow_nan=False)
    assert len(answers) == 1
