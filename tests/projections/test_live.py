"""`projections/live.py`: what is read agrees with what was heard, however far the store is behind."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanbell.projections import live as module
from fanbell.projections.live import Live
from fanbell.projections.store import Profile, Row, Store, StoreFailed
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Preference, Told
from tests.projections.told import NAMES, histories, notice, retraction, update, wish

NOW_MS = 3_000


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def placed(records: Sequence[Told]) -> list[tuple[int, Told]]:
    """As `notices` carries them: offsets are seqs here."""
    return [(told.seq, told) for told in records]


async def apply(store: Store, records: Sequence[Told]) -> None:
    if records:
        await store.apply({0: records}, {0: records[-1].seq})


async def everything(store: Store, people: Sequence[str]) -> list[object]:
    """All that readers of inboxes, lists and profiles can learn."""
    found: list[object] = [await store.profiles(people)]
    for user in people:
        rows = await store.rows(user)
        bodies = await store.bodies(user, [row.body for row in rows])
        ids = [body.id for body in bodies.values()]
        found += [user, rows, bodies, await store.seqs_of(user, ids), await store.changed_since(user, 7)]
        for what in ("follows", "mutes", "blocks"):
            found += [await store.listed(user, what, None, limit) for limit in (1, 2, 99)]
            found.append(await store.listed(user, what, NAMES[2], 2))
        found.append(await store.preferences(user))
    return found


@settings(max_examples=150, deadline=None)
@given(
    history=histories(),
    cuts=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    keep=st.sampled_from((1, 2, 5, 60)),
)
def test_reads_are_those_of_a_store_that_has_everything(
    history: list[Told], cuts: tuple[int, int], keep: int
) -> None:
    """
    Wherever the store stands, and wherever it was thought to stand, what is read is what all records make.
    """

    async def story() -> None:
        known, stands = (min(cut, len(history)) for cut in sorted(cuts))
        behind, whole = MemoryStore(keep), MemoryStore(keep)
        live = Live(behind, 1, keep, None)
        await apply(behind, history[:stands])
        await apply(whole, history)
        live.stand_at(0, known, known)
        live.hear(0, placed(history[known:]))
        assert await everything(live, NAMES) == await everything(whole, NAMES)

        await live.projected({0: stands})

        assert await everything(live, NAMES) == await everything(whole, NAMES)
        assert live.held() == {0: len(history) - stands}
        assert (await live.positions()).get(0, 0) == len(history)

    run(story())


def test_what_was_written_twice_is_heard_once() -> None:
    """
    Records that a worker which had been replaced wrote once more are dropped.
    """
    live = Live(MemoryStore(), 1, 200, None)
    first, second, third = (notice(seq, ["ben"]) for seq in (1, 2, 3))
    assert live.hear(0, [(0, first), (1, second)]) == [(0, first), (1, second)]

    assert live.hear(0, [(2, second), (3, third), (4, third)]) == [(3, third)]

    assert live.offset(0) == 4

    run(_sees(live, [3, 2, 1]))


async def _sees(live: Live, seqs: list[int]) -> None:
    assert [row.seq for row in await live.rows("ben")] == seqs


def test_what_is_projected_already_pushes_nothing_out() -> None:
    """
    A notice that came and was taken back, both projected, leaves a full inbox as it is when it is held here too.
    """
    store = MemoryStore(2)
    history = [notice(1, ["ben"]), notice(2, ["ben"]), notice(3, ["ben"]), retraction(4, ["ben"], 3, "a3")]
    history.append(notice(5, ["ben"]))
    run(apply(store, history))
    live = Live(store, 1, 2, None)
    live.stand_at(0, 2, 2)

    live.hear(0, placed(history[2:]))

    run(_sees(live, [5, 2]))


def test_what_left_a_full_inbox_at_once_stays_away_when_another_row_is_taken_back() -> None:
    """
    A row put back below a full inbox, and a retraction after it, both projected, let nothing in when held here too.
    """
    store = MemoryStore(2)
    history = [update(1, ["ben"]), retraction(2, ["ben"], 1), notice(3, ["ben"]), notice(4, ["ben"])]
    history += [update(5, ["ben"], row_seq=1, prev=-1, announces=False), retraction(6, ["ben"], 4, "a4")]
    run(apply(store, history))
    live = Live(store, 1, 2, None)
    live.stand_at(0, 4, 4)

    live.hear(0, placed(history[4:]))

    run(_sees(live, [3]))


class OvertakenStore(MemoryStore):
    """A store whose answers are those of before the projection went on, and are there only after this is known."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on: list[Callable[[], Awaitable[None]]] = []

    async def _overtaken(self) -> None:
        if self.goes_on:
            await self.goes_on.pop()()

    async def rows(self, user: str) -> list[Row]:
        found = await super().rows(user)
        await self._overtaken()
        return found

    async def preferences(self, user: str) -> list[Preference]:
        found = await super().preferences(user)
        await self._overtaken()
        return found

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        found = await super().profiles(users)
        await self._overtaken()
        return found

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        found = await super().listed(user, what, after, limit)
        await self._overtaken()
        return found


PREFERS = Preference("like", "inbox", "*", "off")
OVERTAKEN: dict[str, tuple[Told, Callable[[Store], Awaitable[object]]]] = {
    "rows": (notice(1, ["ben"]), lambda store: store.rows("ben")),
    "preferences": (
        wish(1, "preferences", "ben", preferences=[PREFERS]),
        lambda store: store.preferences("ben"),
    ),
    "profiles": (wish(1, "profile", "ben", name="Ben"), lambda store: store.profiles(["ben"])),
    "lists": (wish(1, "follow", "ben", "ana"), lambda store: store.listed("ben", "follows", None, 10)),
}


@pytest.mark.parametrize("what", OVERTAKEN)
def test_what_is_projected_while_the_store_is_read_is_in_what_was_read(what: str) -> None:
    """
    A record that was heard, and that the store gets between its answer and ours, is not missed.
    """
    told, ask = OVERTAKEN[what]

    async def story() -> None:
        store = OvertakenStore()
        live = Live(store, 1, 200, None)
        live.hear(0, placed([told]))

        async def goes_on() -> None:
            await apply(store, [told])
            await live.projected({0: 1})

        store.goes_on.append(goes_on)
        found = await ask(live)

        assert found
        assert found == await ask(store)
        assert live.held() == {0: 0}

    run(story())


def test_what_is_heard_while_the_store_is_read_leaves_no_hole() -> None:
    """
    Of two records heard meanwhile, of which the store got one, neither is read without the other.
    """

    async def story() -> None:
        store = OvertakenStore()
        live = Live(store, 1, 200, None)

        async def goes_on() -> None:
            live.hear(0, placed([notice(1, ["ben"]), notice(2, ["ben"])]))
            await live.projected({0: 1})

        store.goes_on.append(goes_on)

        assert await live.rows("ben") == []

    run(story())


def test_a_hole_is_no_silence() -> None:
    """
    A record whose predecessor was never heard is refused, and nothing after it is taken for heard.
    """
    live = Live(MemoryStore(), 1, 200, None)
    live.hear(0, [(0, notice(1, ["ben"]))])

    with pytest.raises(StoreFailed, match="has seq 3, but the last one heard has 1"):
        live.hear(0, [(2, notice(3, ["ben"]))])

    assert live.offset(0) == 0


def room_for(names: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many records of one name each be held, whatever they say."""
    monkeypatch.setattr(module, "_bytes_of", lambda _: 1)
    monkeypatch.setattr(module, "HELD_BYTES_MAX", names)


def test_past_its_bound_it_says_so_until_the_store_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With more held than there is room for, rows are refused rather than shown with holes; the store's progress ends it.
    """
    room_for(2, monkeypatch)
    store = MemoryStore()
    live = Live(store, 1, 200, None)
    history = [notice(seq, ["ben"]) for seq in (1, 2, 3)]
    live.hear(0, placed(history))

    with pytest.raises(StoreFailed, match="too far behind"):
        run(_sees(live, []))

    run(apply(store, history[:1]))
    run(live.projected({0: 1}))
    run(_sees(live, [3, 2, 1]))


def test_the_bound_is_one_for_all_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is past it goes from the partition that holds most; the inboxes of the others are shown as before.
    """
    room_for(3, monkeypatch)
    live = Live(MemoryStore(), 2, 200, None)
    at = {name: partition_of(name, 2) for name in NAMES}
    many = next(name for name in NAMES if at[name] == 0)
    few = next(name for name in NAMES if at[name] == 1)
    live.hear(0, placed([notice(seq, [many]) for seq in (1, 2, 3)]))
    live.hear(1, placed([notice(1, [few])]))

    assert live.held() == {0: 2, 1: 1}
    assert [row.seq for row in asyncio.run(live.rows(few))] == [1]
    with pytest.raises(StoreFailed, match="too far behind"):
        asyncio.run(live.rows(many))


@pytest.mark.parametrize(("records", "names"), [(5_000, 1), (20, 1_000)])
def test_what_is_held_takes_the_memory_that_is_counted(records: int, names: int) -> None:
    """
    However the names lie in records, the estimate that the bound goes by is that of tracemalloc, within a fifth.
    """
    values = [
        encode(notice(seq, [f"user-{seq * names + one:09}" for one in range(names)]))
        for seq in range(1, records + 1)
    ]
    live = Live(MemoryStore(), 1, 200, None)
    tracemalloc.start()
    try:
        for offset, value in enumerate(values):
            live.hear(0, [(offset, decode(value))])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken * 0.8 < live.held_bytes < taken * 1.2


def test_others_get_their_turn_while_much_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When a projection that stood still has caught up, nobody waits until all of it is let go.
    """
    room_for(100, monkeypatch)
    monkeypatch.setattr(module, "LET_GO_BYTES", 10)
    live = Live(MemoryStore(), 1, 200, None)
    live.hear(0, placed([notice(seq, ["ben"]) for seq in range(1, 101)]))
    held: list[int] = []

    async def others() -> None:
        while not held or held[-1]:
            held.append(live.held()[0])
            await asyncio.sleep(0)

    async def story() -> None:
        await asyncio.gather(live.projected({0: 100}), others())

    run(story())

    assert len(held) >= 9
    assert live.held_bytes == 0


def test_a_retraction_before_the_notice_is_projected() -> None:
    """
    What came and went while the store stood still was never there.
    """
    live = Live(MemoryStore(), 1, 200, None)
    live.hear(0, placed([notice(1, ["ben", "ana"]), retraction(2, ["ben"], 1, "a1")]))

    run(_sees(live, []))


def test_nobody_writes_through_it() -> None:
    """
    Writing is the projection's.
    """
    with pytest.raises(NotImplementedError):
        run(Live(MemoryStore(), 1, 200, None).apply({}, {}))


def test_what_is_forgotten_while_it_is_let_go_of_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A partition that is not heard any more is held no longer, also where the store had just caught up with it; heard
    anew, it goes on where it is said to stand.
    """
    monkeypatch.setattr(module, "LET_GO_BYTES", 0)

    async def story() -> None:
        live = Live(MemoryStore(), 2, 60, None)
        live.hear(0, placed([notice(seq, ["ana"]) for seq in range(1, 9)]))
        live.hear(1, placed([notice(1, ["ben"])]))
        catching_up = asyncio.create_task(live.projected({0: 8}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held = live.held_bytes
        live.forget(0)
        rest = live.held_bytes
        await catching_up
        live.forget(1)

        assert held > rest > live.held_bytes == 0
        live.stand_at(0, 8, 8)
        assert live.hear(0, placed([notice(9, ["ana"])]))
        assert live.held()[0] == 1

    run(story())
