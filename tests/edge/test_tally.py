"""The rows of one user who is online: always those of the inbox."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from fanbell.edge.tally import Tally
from fanbell.projections.rows import counts
from fanbell.projections.store import READ, SEEN, Reading
from fanbell.schemas.records import Told, Update
from tests.edge.fake_notices import NOW_MS, FakeNotices, content

KEEP = 5
OPS = st.sampled_from(
    ["notice", "grow", "grow", "correct", "retract", "restore", "expire", "read", "unread", "archive", "all"]
)


class History:
    """Random records about ana's inbox, such as the fold could write, and how it was read after each."""

    def __init__(self, keep: int = KEEP) -> None:
        self.backend = FakeNotices(partitions=1, keep=keep)
        self.groups: dict[str, int] = {}  # id: row's seq, -1 once retracted
        self.gone: dict[str, int] = {}
        self.read = [Reading([], 0)]

    async def play(self, ops: list[tuple[str, int]]) -> None:
        for number, (op, pick) in enumerate(ops):
            await self.one(op, pick, number)
            self.read.append(await self.backend.store.read("ana"))

    async def one(self, op: str, pick: int, number: int) -> None:
        backend, rows = self.backend, self.read[-1].rows
        groups = sorted(self.groups)
        group = groups[pick % len(groups)] if groups else None
        if op == "grow" or group is None:
            id_ = group if group and pick % 3 else f"g{number}"
            self.groups[id_] = (await backend.update("ana", id_, self.groups.get(id_, -1))).row_seq
        elif op == "notice":
            await backend.notice(["ana"], f"n{number}")
        elif op == "expire":
            await backend.notice(["ana"], f"n{number}", expires_at=NOW_MS - 1)
        elif op == "correct":
            await backend.update("ana", group, self.groups[group], announces=False)
        elif op == "retract":
            seq = self.groups.pop(group)
            self.gone[group] = seq
            await backend.retract("ana", group, seq)
        elif op == "restore" and self.gone:
            id_, seq = self.gone.popitem()
            self.groups[id_] = seq
            await self.restore(id_, seq)
        elif op == "all":
            await backend.mark("ana", "read", up_to=pick * 3)
        elif rows:
            await backend.mark("ana", op if op != "restore" else "seen", [rows[pick % len(rows)].seq, 9_999])
        else:
            await backend.notice(["ana"], f"n{number}")

    async def restore(self, id_: str, seq: int) -> None:
        """Put a retracted group back where it was, quietly."""
        now = self.backend.next_seq("ana")
        body = content(f"{id_}:{now}", "like", "bob")
        told = Update(0, 0, -1, -1, now, id_, "like", seq, -1, False, 1, ["bob"], NOW_MS, body, ["ana"])
        await self.backend.tell("ana", told)

    @property
    def records(self) -> list[Told]:
        return [told for _, told in self.backend.log[0]]


def history(ops: list[tuple[str, int]]) -> History:
    one = History()
    asyncio.run(one.play(ops))
    return one


@settings(deadline=None, max_examples=150)
@given(
    ops=st.lists(st.tuples(OPS, st.integers(0, 9)), min_size=1, max_size=40),
    stands=st.integers(0, 40),
    ahead=st.integers(0, 40),
)
def test_a_tally_is_the_inbox(ops: list[tuple[str, int]], stands: int, ahead: int) -> None:
    """
    Whatever happened, and however far ahead of the records the store was when its rows were read: once the records
    have caught up, the tally's rows and counters are those of the inbox, and no other reading is needed.
    """
    past = history(ops)
    stands = min(stands, len(past.records))
    read = past.read[min(stands + ahead, len(past.records))]
    tally = Tally(read.rows, KEEP, None, read.as_of)

    for told in past.records[stands:]:
        tally.take(told)

    assert tally.rows() == past.read[-1].rows
    assert tally.counts(NOW_MS) == counts(past.read[-1].rows, NOW_MS)


def test_what_left_a_full_inbox_at_once_does_not_come_in_where_room_was_made() -> None:
    """
    Of rows that show both already, a row put back below a full inbox and a retraction after it change nothing.
    """
    past = history([("grow", 0), ("retract", 0), *[("notice", 0)] * KEEP, ("restore", 0)])
    asyncio.run(past.backend.retract("ana", "n3", 4))
    read = asyncio.run(past.backend.store.read("ana"))
    tally = Tally(read.rows, KEEP, None, read.as_of)

    changed = [tally.take(told) for told in past.records[-2:]]

    assert [row.seq for row in tally.rows()] == [7, 6, 5, 3]
    assert changed == [[], []]


def test_it_says_which_rows_a_mark_changed() -> None:
    """
    A mark names the rows whose flags really changed: only those are told to the user's other devices.
    """
    past = history([("notice", 0)] * 3)
    asyncio.run(past.backend.mark("ana", "read", [2]))
    asyncio.run(past.backend.mark("ana", "read", up_to=3))
    tally = Tally((), KEEP, None)

    changed = [[row.seq for row in tally.take(told)] for told in past.records]

    assert changed[3] == [2]
    assert sorted(changed[4]) == [1, 3]


def test_a_quiet_correction_keeps_the_flags() -> None:
    """
    A like taken back corrects a row that was read, and leaves it read.
    """
    past = history([("grow", 0)])
    asyncio.run(past.backend.mark("ana", "read", [1]))
    asyncio.run(past.backend.update("ana", "g0", 1, announces=False))
    tally = Tally((), KEEP, None)

    changed = [tally.take(told) for told in past.records]

    assert [(row.seq, row.flags, row.body) for row in changed[-1]] == [(1, READ | SEEN, 3)]


def test_counters_know_when_time_alone_changes_them() -> None:
    """
    A row that expires leaves the counters without a record saying so.
    """
    past = History()
    asyncio.run(past.backend.notice(["ana"], "n", expires_at=NOW_MS + 10))
    tally = Tally((), KEEP, None)
    tally.take(past.records[0])

    assert tally.counts(NOW_MS).unread == 1
    assert tally.expires_after(NOW_MS) == NOW_MS + 10
    assert tally.counts(NOW_MS + 10).unread == 0
    assert tally.expires_after(NOW_MS + 10) is None
    assert [row.seq for row in tally.expired(NOW_MS, NOW_MS + 10)] == [1]
    assert tally.expired(NOW_MS + 10, NOW_MS + 20) == []
