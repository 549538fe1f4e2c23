"""Processes of a cluster that start before Kafka and Cassandra: they wait, go on by themselves, end when told to."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fanbell.infra.local.cluster import Cluster
from fanbell.infra.local.process import free_ports
from tests import forked
from tests.cluster.processes import Installation, installation
from tests.infra.up_process import END_S, FANBELL

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]
PROGRAMS = [["api", "--port", "0"], ["worker"]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def topics_and_tables(servers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(servers, tmp_path_factory.mktemp("made"), 2) as made:
        yield made


@pytest.fixture
def made(topics_and_tables: Installation, tmp_path: Path) -> Installation:
    """Topics and tables are there; nobody listens where the processes are told to look."""
    kafka, cassandra = free_ports(2)
    environ = topics_and_tables.environ | {
        "FANBELL_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
        "FANBELL_CASSANDRA_CONTACT_POINTS": f"127.0.0.1:{cassandra}",
    }
    return replace(topics_and_tables, environ=environ, folder=tmp_path, started=0)


@asynccontextmanager
async def forwarded(address: str, to: str) -> AsyncIterator[None]:
    """Whoever connects to `address` reaches `to`."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # one side is gone, and so is the other
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = to.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    host, _, port = address.rpartition(":")
    async with await asyncio.start_server(connected, host, int(port)):
        yield


async def said(log: Path, *words: str) -> None:
    """A line of the log comes to hold all of them."""

    def holds() -> bool:
        return log.exists() and any(
            all(word in line for word in words) for line in log.read_text().splitlines()
        )

    async with asyncio.timeout(END_S):
        while not holds():  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("program", PROGRAMS, ids=["api", "worker"])
async def test_it_waits_for_both_and_goes_on(
    servers: Cluster, made: Installation, program: list[str]
) -> None:
    """
    Started before Kafka and Cassandra listen, it says that it waits, and works once they are there.
    """
    log = made.folder / f"{program[0]}-1.log"
    kafka, cassandra = (
        made.environ[f"FANBELL_{name}"] for name in ("KAFKA_BOOTSTRAP_SERVERS", "CASSANDRA_CONTACT_POINTS")
    )
    starting = asyncio.create_task(asyncio.to_thread(made.start, *program))
    await said(log, '"waiting"', '"Kafka"')
    async with forwarded(kafka, servers.bootstrap):
        await said(log, '"waiting"', '"Cassandra"')
        async with forwarded(cassandra, servers.contact_points):
            started = await starting
            url = started.told.get("http") or started.told["health"]
            async with httpx.AsyncClient(base_url=url, timeout=END_S) as client:
                assert (await client.get("/healthz")).status_code == 200
            assert await asyncio.to_thread(started.end) == 0
    lines = log.read_text().splitlines()
    assert sum('"waiting"' in line and '"Kafka"' in line for line in lines) == 1
    assert sum('"waited"' in line and '"Kafka"' in line for line in lines) == 1


@pytest.mark.parametrize("program", PROGRAMS, ids=["api", "worker"])
async def test_a_signal_ends_the_wait(made: Installation, program: list[str]) -> None:
    """
    Told to stop while it waits, it ends at once, and well.
    """
    log = made.folder / "log"
    line = [str(FANBELL), *program, "--data", str(made.folder / "data")]
    with log.open("wb") as err:
        process = await asyncio.create_subprocess_exec(*line, env=made.environ, stderr=err)
    try:
        await said(log, '"waiting"', '"Kafka"')
        process.terminate()
        async with asyncio.timeout(END_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


def test_what_stays_away_is_said_in_the_end(made: Installation) -> None:
    """
    After the time that it was given it ends with 1, and says who did not answer.
    """
    args = [*PROGRAMS[0], "--data", made.folder / "data", "--start-wait-s", "1"]
    done = forked.run(args, made.environ, END_S)

    assert done.returncode == 1
    assert f"Kafka at {made.environ['FANBELL_KAFKA_BOOTSTRAP_SERVERS']} cannot be reached" in done.stderr


def test_missing_tables_are_said_at_once(servers: Cluster, made: Installation) -> None:
    """
    What no waiting brings ends the start: here a keyspace that nobody made.
    """
    made.environ |= {
        "FANBELL_KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap,
        "FANBELL_CASSANDRA_CONTACT_POINTS": servers.contact_points,
        "FANBELL_CASSANDRA_KEYSPACE": "nobody_made_it",
    }
    args = [*PROGRAMS[0], "--data", made.folder / "data", "--start-wait-s", "3600"]
    done = forked.run(args, made.environ, END_S)

    assert done.returncode == 1
    assert "fanbell store apply" in done.stderr
