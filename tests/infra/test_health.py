"""`infra/health.py`: what a worker says of itself."""

import httpx
import pytest

from fanbell.infra.health import health_app

pytestmark = pytest.mark.anyio
NUMBERS = {("route", 0): {"offset": 4.0, "lag_records": 2.0}, ("fan_out", 3): {"offset": 7.0}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client(ready: tuple[bool, str]) -> httpx.AsyncClient:
    app = health_app(lambda: ready, lambda: NUMBERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker")


async def test_numbers_are_gauges_by_stage_and_partition() -> None:
    """Each number of each partition is one sample."""
    async with client((True, "")) as http:
        text = (await http.get("/metrics")).text

    assert 'fanbell_offset{partition="0",stage="route"} 4.0' in text
    assert 'fanbell_offset{partition="3",stage="fan_out"} 7.0' in text
    assert 'fanbell_lag_records{partition="0",stage="route"} 2.0' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize(("ready", "status"), [((True, ""), 200), ((False, "opening"), 503)])
async def test_readiness_is_said_with_why(ready: tuple[bool, str], status: int) -> None:
    """Not ready is 503, and says what is missing; the process is alive all the same."""
    async with client(ready) as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (status, ready[1])
        assert (await http.get("/healthz")).status_code == 200
