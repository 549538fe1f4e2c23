"""What sessions do at the edge, told to all processes."""

import asyncio
from collections.abc import Sequence

import pytest

from fanbell.edge import roll_call as module
from fanbell.edge.backend import Unavailable
from fanbell.edge.presence import LEASE_MS, RENEW_MS, Rolls
from fanbell.edge.roll_call import RollCall, wall_ms
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Presence
from tests.edge.fake_notices import FakeNotices
from tests.edge.test_socket import running, until

pytestmark = pytest.mark.anyio
PARTITIONS = 2


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.005)


class Told(FakeNotices):
    """A backend that folds what it is told; `stuck` is a partition in which nothing gets through."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS)
        self.rolls = Rolls(PARTITIONS)
        self.stuck: int | None = None

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        if partition == self.stuck:
            await asyncio.Event().wait()
        await super().say_presence(partition, said)
        for record in said:
            self.rolls.take(partition, record)

    def devices(self, user: str) -> int:
        here = self.rolls.of(user, wall_ms())
        return here.devices if here else 0


async def test_sessions_are_counted_as_they_come_and_go() -> None:
    """
    Each socket of a user is a device, for as long as it is open; one that never said who it is counts for nobody.
    """
    told = Told()
    async with running(told) as server, server.open(), server.as_user("ana"):
        await until(lambda: told.devices("ana") == 1)
        async with server.as_user("ana") as second:
            await second.hear("page")
            await until(lambda: told.devices("ana") == 2)
        await until(lambda: told.devices("ana") == 1)
        assert told.rolls.stats(wall_ms())["users"] == 1


async def test_marks_are_activity_and_pings_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who reads is active; who only keeps the line open is not.
    """
    now_ms = [wall_ms()]
    monkeypatch.setattr(module.RollCall.__init__, "__defaults__", (LEASE_MS, lambda: now_ms[0]))
    told = Told()

    def active_ms() -> int:
        here = told.rolls.of("ana", now_ms[0])
        return here.active_ms if here else 0

    async with running(told) as server, server.as_user("ana") as client:
        await client.hear("page")
        await until(lambda: active_ms() > 0)
        came_ms = active_ms()
        for minute, frame in ((1, {"type_": "ping"}), (2, {"type_": "read", "ids": ["n1"], "ref": "r"})):
            now_ms[0] = came_ms + minute * 60_000 + 1
            await client.say(**frame)  # type: ignore[arg-type]
            await client.hear("pong", "accepted")
            before = len(told.said)
            now_ms[0] += RENEW_MS  # so that the edge states its users once more
            await until(lambda before=before: len(told.said) > before)  # type: ignore[misc]
            assert active_ms() == came_ms + (120_000 if minute == 2 else 0)


async def test_an_edge_that_ends_says_so() -> None:
    """
    Once an edge has stopped, nobody is at it, without waiting for a lease.
    """
    told = Told()
    async with running(told) as server, server.as_user("ana"):
        await until(lambda: told.devices("ana") == 1)
        await server.edge.stop(0.1)
        assert told.devices("ana") == 0
        assert told.rolls.stats(wall_ms())["edges"] == 0


async def test_after_the_log_was_away_everybody_is_stated_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While the log is away the edge works on; once it is back, who is here is known again, and who left is not here.
    """
    monkeypatch.setattr("fanbell.edge.attendance.AGAIN_MS", 10)
    told = Told()
    async with running(told) as server, server.as_user("ana") as client:
        async with server.as_user("ben"):
            await until(lambda: told.devices("ana") == told.devices("ben") == 1)
            told.mute = Unavailable("the log is away")
        await server.backend.notice(["ana"], "n1")
        await client.hear("page", "notification")
        async with server.as_user("cleo"):
            told.mute = None
            await until(lambda: (told.devices("cleo"), told.devices("ben")) == (1, 0))
            assert told.devices("ana") == 1


async def test_a_partition_that_is_stuck_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Users of one partition are told of while another cannot be written, and stopping does not wait for it long.
    """
    told = Told()
    ana, others = partition_of("ana", PARTITIONS), ("ben", "cleo", "dan", "eva")
    other = next(user for user in others if partition_of(user, PARTITIONS) != ana)
    told.stuck = ana
    monkeypatch.setattr(module, "FAREWELL_S", 0.05)
    calls = RollCall(told)
    calls.start()
    calls.count("ana", ana, 1)
    calls.count(other, 1 - ana, 1)
    await until(lambda: told.devices(other) == 1)
    calls.count(other, 1 - ana, 2)
    await until(lambda: told.devices(other) == 2)
    await calls.stop()

    assert told.devices("ana") == 0
