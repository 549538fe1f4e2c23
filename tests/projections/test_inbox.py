"""Inboxes ready to show."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from fanbell.projections import inbox as module
from fanbell.projections.inbox import Inbox
from fanbell.projections.rows import Query
from fanbell.projections.store import Body, Row
from fanbell.projections.store_memory import MemoryStore
from fanbell.projections.store_sqlite import SqliteStore
from fanbell.schemas.records import Told
from fanbell.streams.core.kinds import default_source, parse_rules
from fanbell.streams.sqlite import open_database
from tests.projections.told import mark, notice, retraction, update, wish

RULES = parse_rules(default_source())


class Counting(MemoryStore):
    """Counts how often rows are read, and lets a test act while they are."""

    reads = 0
    gate: asyncio.Event | None = None

    async def rows(self, user: str) -> list[Row]:
        self.reads += 1
        rows = await super().rows(user)
        if self.gate is not None:
            await self.gate.wait()
        return rows


class Town:
    """A store, an inbox before it, and a clock."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.rules = RULES
        self.store = Counting()
        self.inbox = Inbox(self.store, lambda: self.rules, lambda seq: f"c{seq}", lambda: self.now_ms)

    async def tell(self, *records: Told) -> None:
        await self.store.apply({0: records}, {0: records[-1].seq})
        self.inbox.told(0, [(record.seq, record) for record in records])


def test_page_is_items_and_numbers_of_the_same_rows() -> None:
    """
    A page carries items newest first, each with its cursor, and the inbox's numbers, cursors as clients see them.
    """

    async def story() -> None:
        town = Town()
        await town.tell(*[notice(seq, ["ben"]) for seq in (1, 2, 3)], mark(4, "ben", "read", 1))
        answer = json.loads(await town.inbox.page("ben", Query(limit=2), "en"))
        assert [(item["id"], item["cursor"]) for item in answer["items"]] == [("a3", "c3"), ("a2", "c2")]
        numbers = {name: answer[name] for name in ("cursor", "next", "prev", "total", "unread", "unseen")}
        assert numbers == {"cursor": "c4", "next": "c2", "prev": None, "total": 3, "unread": 2, "unseen": 2}
        assert (await town.inbox.counts("ben")).unread == 2
        empty = await town.inbox.answer("nobody", Query())
        assert (empty["items"], empty["cursor"], empty["next"], empty["total"]) == ([], "c0", None, 0)

    asyncio.run(story())


def test_rows_are_read_once_until_something_is_told() -> None:
    """
    What nobody changed is not read again; whatever is told of an inbox shows at once.
    """

    async def story() -> None:
        town = Town()
        steps: list[tuple[Told, list[str]]] = [
            (notice(1, ["ben"], "x"), ["x"]),
            (update(2, ["ben"], "g"), ["g", "x"]),
            (mark(3, "ben", "archive", 1), ["g"]),
            (retraction(4, ["ben"], 2, "g"), []),
        ]
        for told, ids in steps:
            await town.tell(told)
            for _ in range(3):
                answer = await town.inbox.answer("ben", Query())
                assert [item["id"] for item in answer["items"]] == ids
        assert town.store.reads == len(steps)

    asyncio.run(story())


def test_told_while_being_read_is_not_missed() -> None:
    """
    Rows that changed while they were being read are not kept.
    """

    async def story() -> None:
        town = Town()
        await town.tell(notice(1, ["ben"]))
        town.store.gate = asyncio.Event()
        reading = asyncio.create_task(town.inbox.counts("ben"))
        await asyncio.sleep(0)
        await town.tell(notice(2, ["ben"]))
        town.store.gate.set()
        assert (await reading).unread == 1
        assert (await town.inbox.counts("ben")).unread == 2

    asyncio.run(story())


def test_kept_counters_follow_the_clock() -> None:
    """
    A row that expires leaves page and counters although nothing is told.
    """

    async def story() -> None:
        town = Town()
        await town.tell(
            notice(1, ["ben"], expires_at=1_500), notice(2, ["ben"], expires_at=2_000), notice(3, ["ben"])
        )
        seen = []
        for town.now_ms in (1_499, 1_500, 2_000, 1_499):
            answer = await town.inbox.answer("ben", Query())
            seen.append((len(answer["items"]), answer["unread"], (await town.inbox.counts("ben")).unread))
        assert seen == [(3, 3, 3), (2, 2, 2), (1, 1, 1), (3, 3, 3)]
        assert town.store.reads == 1

    asyncio.run(story())


def test_locale_is_the_readers_own() -> None:
    """
    Without a locale asked for, text is in that of the reader's profile, and in English without one.
    """

    async def story() -> None:
        town = Town()
        await town.tell(notice(1, ["ben", "cem"], kind="like"), wish(2, "profile", "ben", locale="de-AT"))
        texts = [
            (await town.inbox.answer(user, Query(), locale))["items"][0]["text"]
            for user, locale in (("ben", None), ("ben", "en"), ("cem", None))
        ]
        assert texts == ["ana gefällt dein Beitrag", "ana liked your post", "ana liked your post"]

    asyncio.run(story())


def test_new_name_shows_at_once() -> None:
    """
    Who takes another name shows with it in what was told before.
    """

    async def story() -> None:
        town = Town()
        await town.tell(notice(1, ["ben"]))
        for seq, name in ((2, None), (3, "Ana"), (4, "Anna")):
            await town.tell(wish(seq, "profile", "ana", name=name))
            (item,) = (await town.inbox.answer("ben", Query()))["items"]
            assert item["actors"][0]["name"] == (name or "ana")
            assert item["text"].startswith(name or "ana")

    asyncio.run(story())


def test_new_rules_show_at_once() -> None:
    """
    New rules change the text of what was told before.
    """

    async def story() -> None:
        town = Town()
        await town.tell(notice(1, ["ben"]))
        await town.inbox.answer("ben", Query())
        town.rules = parse_rules('[kinds.post.text]\nen = "news of {{ people }}"')
        assert (await town.inbox.answer("ben", Query()))["items"][0]["text"] == "news of ana"

    asyncio.run(story())


def test_item_of_what_is_told() -> None:
    """
    What is told live looks as the page will show it.
    """

    async def story() -> None:
        town = Town()
        live: Sequence[Any] = (
            notice(1, ["ben"], scope="room"),
            update(2, ["ben"], actors=("cem", "ana"), count=5),
        )
        for told in live:
            await town.tell(told)
            (item, *_) = (await town.inbox.answer("ben", Query(), "en"))["items"]
            assert json.loads(town.inbox.item_of(told, {}, "en")) == item
        assert Inbox.actors_of(live[1]) == ("cem", "ana")
        assert Inbox.actors_of(mark(3, "ben", "read")) == ()

    asyncio.run(story())


def test_what_is_kept_is_bounded(monkeypatch: Any) -> None:
    """
    However many inboxes are looked at, a bounded number of rows is kept.
    """

    async def story() -> None:
        monkeypatch.setattr(module, "ROWS_CACHED", 20)
        monkeypatch.setattr(module, "PROFILES_CACHED", 5)
        town = Town()
        people = [f"user{number}" for number in range(40)]
        await town.tell(*[notice(seq, people[seq % 7 :], actor=people[seq]) for seq in range(1, 6)])
        for _ in range(2):
            for user in people:
                page = await town.inbox.answer(user, Query())
                assert len(page["items"]) == page["total"]
                assert (
                    sum(len(read.rows) + 1 for read in town.inbox._reads.values())
                    == town.inbox._rows_cached
                    <= 20
                )
                assert len(town.inbox._profiles) <= 10
        town.inbox.changed(people)
        assert town.inbox._rows_cached == 0

    asyncio.run(story())


def test_rows_trimmed_since_they_were_read() -> None:
    """
    A page whose rows were trimmed under its hands is read again.
    """

    class Trimmed(Counting):
        async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
            if self.reads == 1:  # while the page was being made, newer ones came, not told of yet
                await self.apply({0: [notice(seq, ["ben"]) for seq in (2, 3)]}, {0: 3})
            return await super().bodies(user, seqs)

    async def story() -> None:
        store = Trimmed(keep=2)
        await store.apply({0: [notice(1, ["ben"])]}, {0: 1})
        answer = await Inbox(store, lambda: RULES).answer("ben", Query())
        assert [item["id"] for item in answer["items"]] == ["a3", "a2"]

    asyncio.run(story())


def test_pages_beside_a_writer(tmp_path: Path) -> None:
    """
    With SQLite behind it, pages are right while inboxes are written.
    """

    async def story() -> None:
        with (
            closing(open_database(tmp_path / "x.db")) as connection,
            closing(SqliteStore(connection, 20)) as store,
        ):
            inbox = Inbox(store, lambda: RULES)
            for seq in range(1, 200):
                told = notice(seq, ["ben", f"user{seq}"])
                await store.apply({0: [told]}, {0: seq})
                inbox.told(0, [(seq, told)])
                page, counted = await asyncio.gather(inbox.answer("ben", Query(limit=5)), inbox.counts("ben"))
                assert page["items"][0]["id"] == f"a{seq}"
                assert page["total"] == counted.unread == min(seq, 20)

    asyncio.run(story())
