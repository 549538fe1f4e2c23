"""A scene looks at what came of it while servers are only just back."""

from typing import Any, cast

import pytest

from fanbell.projections.store import StoreFailed
from fanbell.streams.log import LogFailed
from tests.cluster.faults import scene
from tests.cluster.faults.outcome import Outcome
from tests.cluster.faults.scene import Scene

pytestmark = pytest.mark.anyio

NOT_YET = 2  # times that a server does not answer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class JustBack:
    """A log without partitions and a store without rows; neither answers at first."""

    partitions = 0

    def __init__(self) -> None:
        self.reads = self.looks = 0

    async def read(self, *_: Any) -> list[Any]:
        self.reads += 1
        if self.reads <= NOT_YET:
            raise LogFailed("the broker is only just back")
        return []

    async def positions(self) -> dict[int, int]:
        self.looks += 1
        if self.looks <= NOT_YET:
            raise StoreFailed("Cassandra is only just back")
        return {}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(scene, "AGAIN_S", 0.0)
    server = JustBack()
    return Scene(cast(Any, None), cast(Any, server), cast(Any, server), cast(Any, None))


async def test_servers_that_do_not_answer_yet_are_asked_again(made: Scene) -> None:
    """
    A log and a store that fail at first are asked again until all has come to rest.
    """
    await made.rest()

    store = cast(JustBack, made.store)
    assert (store.reads, store.looks) == (2 * NOT_YET + 1, NOT_YET + 1)


async def test_what_cannot_be_read_is_asked_again_or_said(
    made: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A store that fails while inboxes are gathered is asked again; one that goes on failing is what is wrong.
    """
    tries = 0

    async def gather(*_: Any) -> Outcome:
        nonlocal tries
        tries += 1
        if tries <= NOT_YET:
            raise StoreFailed("Cassandra is only just back")
        return Outcome()

    monkeypatch.setattr(scene, "gather", gather)
    assert await made.checked() == []

    tries = -1_000_000
    (found,) = await made.checked(within_s=0.0)
    assert (found.what, found.detail) == ("stuck", "cannot be read: Cassandra is only just back")
