"""What a real worker says of itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fanbell.infra.health import MEANINGS, PROCESS
from fanbell.infra.kafka import kafka_config
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.settings import load
from fanbell.schemas.topics import ACTIVITIES
from fanbell.streams.log import Entry
from fanbell.streams.log_kafka import KafkaLog
from tests.cluster.processes import Installation, installation
from tests.cluster.test_end_to_end import until
from tests.infra.up_process import END_S

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]
OF_THE_FOLD = {"changes_forwarded", "strays"}  # only where a stage has them


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def made(servers: Cluster, tmp_path: Path) -> Iterator[Installation]:
    with installation(servers, tmp_path, partitions=2) as found:
        yield found


async def test_a_worker_shows_how_far_it_is(made: Installation) -> None:
    """
    Offsets, lag, snapshots, the projection's position, rebalances and dead letters are at /metrics, by stage and
    partition; once all is done, no partition is behind and the worker is ready.
    """
    worker = made.start("worker")
    settings = load({}, made.environ)
    log = await KafkaLog.open(kafka_config(settings), settings.partitions)
    try:
        await log.append(ACTIVITIES, 1, [Entry(b"rubbish", 1), Entry(b"more of it", 2)])
        end = await log.end(ACTIVITIES, 1)
    finally:
        await log.close()
    with httpx.Client(base_url=worker.told["health"], timeout=END_S) as client:

        def shown() -> dict[str, float]:
            lines = re.findall(r"^fanbell_(\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
            return {name: float(value) for name, value in lines}

        until(lambda: shown().get(sample("dead_letters_total")) == 2, "both are dead letters")
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        now = until(lambda: (one := shown()).get(sample("end")) == end and one, "a fetch has told the end")

    assert now[sample("offset")] == end - 1
    assert now[sample("lag_records")] == 0
    assert now[sample("dead_letters_total", partition=0)] == 0
    assert now[sample("position", "project_inbox")] == -1
    assert now["rebalances_total"] >= 1
    assert now["ready"] == 1
    names = {name.partition("{")[0] for name in now}
    assert names - OF_THE_FOLD == (set(MEANINGS) | set(PROCESS)) - OF_THE_FOLD


def sample(name: str, stage: str = "route", partition: int = 1) -> str:
    return f'{name}{{partition="{partition}",stage="{stage}"}}'
