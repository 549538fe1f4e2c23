"""`projections/agents/project_inbox.py`: what it does by time."""

import pytest

from fanbell.projections.agents import project_inbox
from fanbell.projections.agents.project_inbox import Inboxes
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import encode
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from tests.projections.told import notice

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(("keep_ms", "kept"), [(0, [0, 1, 2]), (3_600_000, [2])])
async def test_old_notices_are_forgotten_but_for_the_one_where_the_store_stands(
    monkeypatch: pytest.MonkeyPatch, keep_ms: int, kept: list[int]
) -> None:
    """The record at the store's position is found again by whoever opens the partition; what is before it may go."""
    monkeypatch.setattr(project_inbox, "TRIM_EVERY_S", 0.0)
    log = MemoryLog(1)
    records = [notice(1, ["ben"]), notice(2, ["ben"]), notice(3, ["ben"])]
    for number, record in enumerate(records):
        record.n, record.index, record.prev_n, record.prev_index = number, 0, number - 1, 0 if number else -1
    await log.append(NOTICES, 0, [Entry(encode(record), 1_000) for record in records])
    store = MemoryStore()
    inboxes = Inboxes(0, log, store, keep_ms)
    await inboxes.open()
    await inboxes.advance(await inboxes.missing())

    await inboxes.rest(0.0)

    assert [record.offset for record in await log.read(NOTICES, 0, 0, 10)] == kept
    again = Inboxes(0, log, store, keep_ms)
    await again.open()
    assert again.numbers() == {"position": 2}
