"""The log read back: once for all who come back, and never past what it says."""

import asyncio

import pytest

from fanbell.edge import reread as reread_module
from fanbell.edge.reread import Reread, Stretch, concerned
from fanbell.projections.store import StoreFailed
from fanbell.schemas.records import Notice, Told
from tests.edge.fake_notices import FakeNotices, content

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def notice(seq: int, *users: str) -> Notice:
    return Notice(0, 0, -1, -1, seq, "post", content(f"p{seq}"), list(users))


class Backend(FakeNotices):
    """Counts its reads, and fails when it is told to."""

    trouble: Exception | None = None

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        found = await super().notices(partition, offset, at_most)
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        return found


async def backend_of(count: int) -> Backend:
    backend = Backend(partitions=1)
    for number in range(count):
        await backend.notice(["ana" if number % 2 else "ben"], f"n{number}")
    return backend


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reread_module, "STRETCH_RECORDS", 4)
    monkeypatch.setattr(reread_module, "STRETCHES_MAX", 2)


def test_a_stretch_knows_whom_its_records_concern() -> None:
    """
    A stretch gives each user the records that are for them, in order, and a record that was written twice once.
    """
    stretch = Stretch([(0, notice(5, "ana", "ben")), (1, notice(5, "ana", "ben")), (2, notice(6, "ana"))])

    assert [entry.told.seq for entry in stretch.by_user["ana"]] == [5, 6]
    assert [entry.told.seq for entry in stretch.by_user["ben"]] == [5]
    assert (stretch.first, stretch.last, stretch.next_offset, stretch.whole) == (5, 6, 3, True)


def test_a_stretch_says_that_records_are_missing() -> None:
    """
    A stretch whose seqs have a hole says so.
    """
    assert not Stretch([(0, notice(5, "ana")), (1, notice(7, "ana"))]).whole


async def test_many_who_come_back_cost_one_read() -> None:
    """
    However many come back at once, the log is read once, also for those whose cursors differ a little.
    """
    backend = await backend_of(8)
    reread = Reread(backend)

    found = await asyncio.gather(*(reread.stretch(0, number % 4) for number in range(100)))

    assert {id(stretch) for stretch in found} == {id(found[0])}
    assert backend.reads == 1
    reread.close()


async def test_the_end_of_the_log_is_read_once_until_it_is_passed() -> None:
    """
    What stands at the log's end is read once for all who come back; who needs what has come since has it read anew.
    """
    backend = await backend_of(6)
    reread = Reread(backend)
    for _ in range(3):
        await reread.stretch(0, 5)
    assert backend.reads == 1
    assert await reread.stretch(0, 6) is None

    await backend.notice(["ana"], "n6")
    stretch = await reread.stretch(0, 6)

    assert stretch is not None
    assert stretch.last == 7
    assert backend.reads == 3


async def test_a_failure_is_not_remembered() -> None:
    """
    A read that fails is told to all who waited for it, and tried again for the next.
    """
    backend = await backend_of(8)
    backend.trouble = StoreFailed("away")
    reread = Reread(backend)
    found = await asyncio.gather(*(reread.stretch(0, 0) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, StoreFailed) for one in found)

    backend.trouble = None

    assert await reread.stretch(0, 0) is not None
    reread.close()


async def test_no_more_is_kept_than_the_bound() -> None:
    """
    The stretch that was asked for longest ago is forgotten when there are too many.
    """
    backend = await backend_of(16)
    reread = Reread(backend)
    for offset in (0, 4, 8, 8):
        await reread.stretch(0, offset)
    assert backend.reads == 3

    await reread.stretch(0, 0)

    assert backend.reads == 4
    reread.close()


async def test_nothing_is_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What nobody asks for is forgotten.
    """
    monkeypatch.setattr(reread_module, "FORGET_S", 0.001)
    backend = await backend_of(8)
    reread = Reread(backend)
    await reread.stretch(0, 0)
    async with asyncio.timeout(5):
        while reread.kept:  # noqa: ASYNC110 - a timer of its own
            await asyncio.sleep(0.001)

    await reread.stretch(0, 0)

    assert backend.reads == 2
    reread.close()


def test_what_concerns_nobody_reaches_nobody() -> None:
    """
    A notice concerns those whom it names and nobody else.
    """
    assert concerned(notice(1, "ana")) == ["ana"]
