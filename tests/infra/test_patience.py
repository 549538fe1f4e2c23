"""`infra/patience.py`: waiting for what is away, and for nothing else."""

import asyncio

import pytest
from structlog.testing import capture_logs

from fanbell.infra import patience as module
from fanbell.infra.patience import Patience, Stopped

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_LEAST_S", 0.001)
    monkeypatch.setattr(module, "PAUSE_MOST_S", 0.01)


class AwayError(Exception):
    pass


class Server:
    """It answers once it was asked `times` times in vain."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left, self.asked = times, 0
        self.error = error or AwayError("nobody answers")

    async def open(self) -> str:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "open"


def is_away(error: Exception) -> bool:
    return isinstance(error, AwayError)


async def test_what_comes_back_is_waited_for_and_said_once() -> None:
    """
    However often it is tried, the log says once that it waits, and once that it goes on.
    """
    server = Server(7)
    with capture_logs() as said:
        assert await Patience(60.0).until_there("Kafka", server.open, is_away) == "open"

    assert server.asked == 8
    assert [(line["event"], line["what"]) for line in said] == [("waiting", "Kafka"), ("waited", "Kafka")]
    assert said[0]["error"] == "nobody answers"


async def test_what_is_there_is_not_talked_about() -> None:
    """
    Where nothing is away, nothing is said.
    """
    with capture_logs() as said:
        assert await Patience(60.0).until_there("Kafka", Server(0).open, is_away) == "open"

    assert said == []


async def test_what_stays_away_ends_the_start() -> None:
    """
    After the time that is given, the failure itself is raised; without any time at the first try.
    """
    with pytest.raises(AwayError):
        await Patience(0.05).until_there("Kafka", Server(10**9).open, is_away)
    server = Server(1)
    with pytest.raises(AwayError):
        await Patience().until_there("Kafka", server.open, is_away)

    assert server.asked == 1


async def test_what_waiting_does_not_cure_ends_the_start_at_once() -> None:
    """
    A wrong setting, or a missing table, is no reason to try again.
    """
    server = Server(1, ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        await Patience(60.0).until_there("Kafka", server.open, is_away)

    assert server.asked == 1


async def test_a_signal_ends_the_wait() -> None:
    """
    Told to stop, it neither waits for its pause nor for an answer that does not come.
    """
    for attempt in (Server(10**9).open, asyncio.Event().wait):
        stop = asyncio.Event()
        waiting = asyncio.create_task(Patience(60.0, stop).until_there("Kafka", attempt, is_away))
        await asyncio.sleep(0.01)
        stop.set()
        with pytest.raises(Stopped):
            await waiting


async def test_what_is_open_is_handed_over_even_if_told_to_stop() -> None:
    """
    A connection that was opened just then is given to whoever closes it.
    """
    stop = asyncio.Event()

    async def opens() -> str:
        stop.set()
        return "open"

    assert await Patience(60.0, stop).until_there("Kafka", opens, is_away) == "open"
