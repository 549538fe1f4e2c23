import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from fanbell.projections.projector import Discontinued, Projector
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import encode, encode_body
from fanbell.schemas.records import Content, Mark, Notice, Told
from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog

T = TypeVar("T")


def run(doing: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(doing)


def notice(n: int, prev_n: int, seq: int) -> Notice:
    content = Content(f"a{n}", "post", "ana", f"p{n}", None, None, None, None, "normal", n, None)
    return Notice(n, 0, prev_n, 0 if prev_n >= 0 else -1, seq, "post", encode_body(content), ["bo"])


def read_mark(n: int, prev_n: int, seq: int, row_seq: int) -> Mark:
    return Mark(n, 0, prev_n, 0, seq, "bo", "read", [], [row_seq], None)


async def put(log: MemoryLog, *told: Told) -> None:
    await log.append(NOTICES, 0, [Entry(encode(record), 0) for record in told])


async def opened(log: MemoryLog, store: MemoryStore) -> Projector:
    projector = Projector(0, log, store)
    await projector.open()
    return projector


async def to_the_end(projector: Projector) -> None:
    while await projector.advance(2):
        pass


FIRST, SECOND, THIRD = notice(3, -1, 1), read_mark(5, 3, 2, 1), notice(7, 5, 3)


def test_repeats_are_dropped() -> None:
    """
    What a second writer put out again changes nothing, though it comes after what changed it.
    """

    async def scenario() -> None:
        log, store = MemoryLog(), MemoryStore()
        await put(log, FIRST, SECOND, FIRST, SECOND, FIRST, THIRD)

        await to_the_end(await opened(log, store))

        assert [(row.seq, row.flags) for row in await store.rows("bo")] == [(3, 0), (1, 3)]

    run(scenario())


def test_it_goes_on_where_the_store_stands() -> None:
    """
    Repeats that were read before a restart do not confuse what is read after it.
    """

    async def scenario() -> None:
        log, store = MemoryLog(), MemoryStore()
        await put(log, FIRST, SECOND, FIRST)
        before = await opened(log, store)
        await to_the_end(before)
        await put(log, SECOND, THIRD)

        after = await opened(log, store)
        await to_the_end(after)

        assert (before.position, after.position) == (1, 4)
        assert [(row.seq, row.flags) for row in await store.rows("bo")] == [(3, 0), (1, 3)]

    run(scenario())


def test_it_stops_at_a_jump() -> None:
    """
    Where a record is missing nothing more is applied.
    """

    async def scenario() -> None:
        log, store = MemoryLog(), MemoryStore()
        await put(log, FIRST, THIRD)
        projector = await opened(log, store)

        with pytest.raises(Discontinued, match="record 1 follows on"):
            await projector.advance()

        assert await store.rows("bo") == []

    run(scenario())


def test_what_was_skipped_or_comes_again_is_put_right() -> None:
    """
    Handed over with a gap, with repeats, or from too early, records are applied as if they had been read.
    """

    async def scenario() -> None:
        log, store = MemoryLog(), MemoryStore()
        await put(log, FIRST, SECOND)
        log.leave_hole(NOTICES, 0, 2)
        await put(log, FIRST, THIRD)
        records = await log.read(NOTICES, 0, 0, 9)
        projector = await opened(log, store)

        await projector.take(records[1:2])
        await projector.take(records[:2])
        await projector.take([records[0], records[3], records[3]])

        assert (projector.position, projector.seen) == (5, 5)
        assert await projector.missing() == []
        assert [(row.seq, row.flags) for row in await store.rows("bo")] == [(3, 0), (1, 3)]

    run(scenario())


def test_a_store_ahead_of_the_log_is_refused() -> None:
    """
    A store that was brought further than the log reaches is not taken for up to date.
    """

    async def scenario() -> None:
        log, store = MemoryLog(), MemoryStore()
        await put(log, FIRST)
        await store.apply({0: [FIRST]}, {0: 4})

        with pytest.raises(Discontinued, match="no record 4"):
            await opened(log, store)

    run(scenario())
