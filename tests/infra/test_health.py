"""`infra/health.py`: what a worker says of itself."""

import httpx
import pytest

from fanbell.infra.health import behind, health_app

pytestmark = pytest.mark.anyio
NUMBERS = {
    ("route", 0): {"offset": 4.0, "lag_records": 2.0, "dead_letters_total": 1.0},
    ("fan_out", 3): {"offset": 7.0, "new_of_late": 5.0},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client(ready: tuple[bool, str]) -> httpx.AsyncClient:
    app = health_app(lambda: ready, lambda: NUMBERS, lambda: {"rebalances_total": 3})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker")


async def test_numbers_are_gauges_by_stage_and_partition() -> None:
    """Each number of each partition is one sample."""
    async with client((True, "")) as http:
        text = (await http.get("/metrics")).text

    assert 'fanbell_offset{partition="0",stage="route"} 4.0' in text
    assert 'fanbell_offset{partition="3",stage="fan_out"} 7.0' in text
    assert 'fanbell_lag_records{partition="0",stage="route"} 2.0' in text
    assert 'fanbell_new_of_late{partition="3",stage="fan_out"} 5.0' in text
    assert "process_resident_memory_bytes" in text


async def test_what_only_grows_is_a_counter() -> None:
    """A number whose name says that it only grows is told as a counter, of a partition and of the process."""
    async with client((True, "")) as http:
        text = (await http.get("/metrics")).text

    assert "# TYPE fanbell_dead_letters_total counter" in text
    assert 'fanbell_dead_letters_total{partition="0",stage="route"} 1.0' in text
    assert "fanbell_rebalances_total 3.0" in text


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ({}, ""),  # more workers than partitions: one that waits for its turn is well
        ({("route", 1): {"open": 1.0, "lag_records": 100.0}}, ""),
        (
            {
                ("route", 1): {"open": 1.0, "lag_records": 101.0},
                ("fan_out", 2): {"open": 1.0, "lag_records": 300.0},
            },
            "fan_out[2] is 300 records behind (at most 100)",
        ),
        (
            {("route", 1): {"open": 1.0, "lag_records": 101.0}, ("project_inbox", 0): {"open": 0.0}},
            "project_inbox[0] is not open: it is being read up, or log or store do not answer",
        ),
        (
            {("route", 1): {"open": 1.0}},
            "",
        ),  # no fetch has told yet where the log ends: it was read to the end
    ],
)
def test_who_is_behind_is_named(numbers: dict[tuple[str, int], dict[str, float]], why: str) -> None:
    """A worker is not ready while a partition is not open, or further behind than allowed: the worst one is named."""
    assert behind(numbers, lag_max=100) == why


@pytest.mark.parametrize(("ready", "status"), [((True, ""), 200), ((False, "opening"), 503)])
async def test_readiness_is_said_with_why(ready: tuple[bool, str], status: int) -> None:
    """Not ready is 503, and says what is missing; the process is alive all the same."""
    async with client(ready) as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (status, ready[1])
        assert (await http.get("/healthz")).status_code == 200
