"""`make chaos`, for a few seconds with one kind of fault."""

from pathlib import Path

import pytest

from fanbell.infra.local.cluster import Cluster
from tests.cluster.faults.chaos import Report, chaos
from tests.simulation.wrong import Wrong

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.cluster
async def test_a_few_seconds_of_chaos(servers: Cluster, tmp_path: Path) -> None:
    """
    A run from a seed does its faults, ends by itself, and says what it did and found.
    """
    report = await chaos(servers, tmp_path, seed=1, seconds=3, kinds=["edge killed"])

    assert report.faults["edge killed"] >= 1
    assert report.acknowledged > 0
    assert report.told > 0
    assert report.wrong == []
    assert report.said().endswith("verdict: nothing is wrong")


def test_what_is_wrong_is_said() -> None:
    """
    The report names what was found, and the seed.
    """
    said = Report(7, wrong=[Wrong("lost", "bo never heard of p1")]).said()

    assert "seed 7" in said
    assert "lost: bo never heard of p1" in said
    assert said.endswith("verdict: 1 wrong")
