"""Who is connected: the fold of what edges say, against a plain model of it and as facts."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanbell.edge import presence as module
from fanbell.edge.attendance import Attendance
from fanbell.edge.presence import AHEAD_MAX_MS, LEASE_MAX_MS, LEASE_MS, RENEW_MS, Here, Roll, Rolls
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Presence, Present

NOW_MS = 1_800_000_000_000 - 1_800_000_000_000 % 60_000


def said(
    number: int,
    *here: Present,
    edge: str = "e1",
    life: int = 1,
    at_ms: int = NOW_MS,
    lease_ms: int = LEASE_MS,
    gone: Sequence[str] = (),
) -> Presence:
    return Presence(edge, life, number, at_ms, lease_ms, list(here), list(gone))


def ana(devices: int = 1, since_ms: int = NOW_MS, active_ms: int = NOW_MS) -> Present:
    return Present("ana", devices, since_ms, active_ms)


def roll_of(*records: Presence, users_max: int = 100) -> Roll:
    roll = Roll(users_max)
    for record in records:
        roll.take(record)
    return roll


def test_who_was_never_stated_is_not_here() -> None:
    """
    Nobody is here of whom no edge has said so.
    """
    assert roll_of(said(1, ana())).of("ben", NOW_MS) is None


def test_sessions_at_several_edges_are_one_person() -> None:
    """
    A user at two edges has the devices of both, since the earlier, and was active when they last were at either.
    """
    roll = roll_of(
        said(1, ana(2, NOW_MS - 9_000, NOW_MS - 120_000)),
        said(1, ana(1, NOW_MS - 1_000, NOW_MS), edge="e2"),
    )

    assert roll.of("ana", NOW_MS) == Here(3, NOW_MS - 9_000, NOW_MS)
    assert (roll.online(NOW_MS), roll.alive(NOW_MS)) == (1, {"e1", "e2"})


def test_who_leaves_one_edge_is_still_at_the_other() -> None:
    """
    Leaving counts for the edge that says it, and for no other.
    """
    roll = roll_of(said(1, ana(2)), said(1, ana(), edge="e2"), said(2, gone=["ana"]))
    assert roll.of("ana", NOW_MS) == Here(1, NOW_MS, NOW_MS)
    roll.take(said(2, gone=["ana"], edge="e2"))
    assert roll.of("ana", NOW_MS) is None


def test_a_lease_covers_users_who_are_not_named_again() -> None:
    """
    An edge that says it is here keeps all its users here, and to the millisecond until its lease ends, no longer.
    """
    roll = roll_of(said(1, ana()), said(2, at_ms=NOW_MS + 40_000))

    assert roll.of("ana", NOW_MS + 40_000 + LEASE_MS - 1) is not None
    assert roll.of("ana", NOW_MS + 40_000 + LEASE_MS) is None
    assert (roll.online(NOW_MS + 40_000 + LEASE_MS), roll.alive(NOW_MS + 40_000 + LEASE_MS)) == (0, set())


def test_a_word_after_the_lease_brings_nobody_back() -> None:
    """
    Who was at an edge whose lease ended is here again only once it says so.
    """
    roll = roll_of(said(1, ana()), said(2, Present("ben", 1, 0, 0), at_ms=NOW_MS + LEASE_MS))

    assert roll.of("ana", NOW_MS + LEASE_MS) is None
    assert roll.of("ben", NOW_MS + LEASE_MS) is not None
    assert roll.holes == 1


def test_late_and_repeated_words_change_nothing() -> None:
    """
    A record that comes again, or after a later one, is dropped and counted.
    """
    first, second = said(1, ana()), said(2, gone=["ana"])
    roll = roll_of(first, second)

    assert [roll.take(record) for record in (first, second, first)] == [False] * 3
    assert roll.of("ana", NOW_MS) is None
    assert roll.repeats == 3


def test_a_new_life_replaces_the_old_one() -> None:
    """
    A new life begins with nobody, and what comes late of the old one is dropped.
    """
    roll = roll_of(said(1, ana()), said(1, Present("ben", 1, 0, 0), life=2))
    assert roll.of("ana", NOW_MS) is None
    assert not roll.take(said(2, ana()))
    assert (roll.of("ana", NOW_MS), roll.holes) == (None, 0)


def test_after_a_hole_nobody_is_taken_for_present() -> None:
    """
    Where a record is missing, it may have said who left: only who is stated from there on is here.
    """
    roll = roll_of(said(1, ana()), said(3, Present("ben", 1, 0, 0)))

    assert roll.of("ana", NOW_MS) is None
    assert roll.of("ben", NOW_MS) is not None
    assert roll.holes == 1


def test_an_edge_that_ends_takes_its_users_along() -> None:
    """
    A lease of nothing is a farewell: nobody is here any more, and nothing late brings anybody back.
    """
    first = said(1, ana())
    roll = roll_of(first, said(2, lease_ms=0))
    roll.expire(NOW_MS + LEASE_MS)
    roll.take(first)

    assert roll.of("ana", NOW_MS) is None
    assert roll.alive(NOW_MS) == set()


def test_an_edge_far_ahead_of_time_is_not_believed() -> None:
    """
    An edge whose clock is minutes ahead would be taken for alive long after it died; so it never is, until then.
    """
    roll = roll_of(said(1, ana(), at_ms=NOW_MS + AHEAD_MAX_MS + 1))

    assert roll.of("ana", NOW_MS) is None
    assert roll.of("ana", NOW_MS + 1) is not None


def test_no_lease_is_longer_than_ten_minutes() -> None:
    """
    Whatever an edge asks for, its users go at the longest ten minutes after its last word.
    """
    roll = roll_of(said(1, ana(), lease_ms=2**31 - 1))

    assert roll.of("ana", NOW_MS + LEASE_MAX_MS) is None


def test_what_dead_edges_took_is_freed() -> None:
    """
    Users of a dead edge are let go of after another lease, the edge itself once nothing late can come of it.
    """
    roll = roll_of(said(1, ana()))
    roll.expire(NOW_MS + 2 * LEASE_MS)
    assert not roll._stays
    roll.expire(NOW_MS + LEASE_MAX_MS)
    assert not roll._edges


def test_an_edge_that_was_freed_and_speaks_goes_on_with_those_it_states() -> None:
    """
    A record that took so long to arrive that its edge's users were let go of brings back those it states, no others.
    """
    roll = roll_of(said(1, ana()))
    roll.expire(NOW_MS + 2 * LEASE_MS)
    roll.take(said(2, Present("ben", 1, 0, 0), at_ms=NOW_MS + 1))

    assert [roll.of(user, NOW_MS + 1) is not None for user in ("ana", "ben")] == [False, True]


def test_users_are_bounded() -> None:
    """
    Past the bound, who was stated longest ago is dropped and counted; the others stay.
    """
    roll = roll_of(*(said(n, Present(f"u{n}", 1, 0, 0)) for n in range(1, 4)), users_max=3)
    roll.take(said(4, Present("u1", 1, 0, 0)))
    roll.take(said(5, Present("u5", 1, 0, 0)))

    assert [n for n in range(1, 6) if roll.of(f"u{n}", NOW_MS)] == [1, 3, 5]
    assert (roll.dropped, roll.online(NOW_MS)) == (1, 3)


def test_edges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Past the bound, the edge that was heard of first is dropped with its users.
    """
    monkeypatch.setattr(module, "EDGES_MAX", 2)
    roll = roll_of(*(said(1, Present(f"u{n}", 1, 0, 0), edge=f"e{n}") for n in range(3)))

    assert [n for n in range(3) if roll.of(f"u{n}", NOW_MS)] == [1, 2]


def test_users_are_found_in_their_partitions() -> None:
    """
    All partitions together answer for each user, and count users and edges once.
    """
    rolls = Rolls(4)
    for user in ("ana", "ben", "cleo"):
        rolls.take(partition_of(user, 4), said(1, Present(user, 1, 0, 0), life=len(user)))

    assert all(rolls.of(user, NOW_MS) == Here(1, 0, 0) for user in ("ana", "ben", "cleo"))
    stats = rolls.stats(NOW_MS)
    assert stats["edges"] == 1
    assert stats["users"] == sum(roll.online(NOW_MS) for roll in rolls.of_partition)
    rolls.expire(NOW_MS + LEASE_MAX_MS)
    assert rolls.stats(NOW_MS)["edges"] == 0


class Edges:
    """Edges that live, die and start again; a reader of what they say, late, repeated, of one edge before another."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.roll = Roll(1_000)
        self.names = ["e0", "e1"]
        self.edges = [Attendance(name) for name in self.names]
        self.on_the_way: dict[str, list[Presence]] = {}
        self.taken: dict[str, list[Presence]] = {}
        self.made = 2

    def count(self, edge: int, user: str, devices: int, arrives: bool) -> None:
        """Somebody comes or goes, and the edge says so; behind what is on its way, and perhaps it all arrives."""
        self.edges[edge].count(user, devices, self.now_ms)
        self._say(edge, self.edges[edge].due(self.now_ms), arrives)

    def act(self, edge: int, user: str, arrives: bool) -> None:
        """Somebody does something."""
        self.edges[edge].active(user, self.now_ms)
        self._say(edge, self.edges[edge].due(self.now_ms), arrives)

    def lose(self, edge: int) -> None:
        """What is said now never arrives, and the edge knows that it may not have."""
        if self.edges[edge].due(self.now_ms):
            self.edges[edge].lost(self.now_ms)

    def die(self, edge: int) -> None:
        """By kill -9; another process comes in its place."""
        self.names[edge] = f"e{self.made}"
        self.made += 1
        self.edges[edge] = Attendance(self.names[edge])

    def start_again(self, edge: int) -> None:
        """Under its old name."""
        self.now_ms += 1
        self.edges[edge] = Attendance(self.names[edge])

    def end(self, edge: int, arrives: bool) -> None:
        """In good order."""
        self._say(edge, self.edges[edge].farewell(self.now_ms), arrives)

    def repeat(self, number: int) -> None:
        """Something that was taken comes again."""
        if records := [record for taken in self.taken.values() for record in taken]:
            assert not self.roll.take(records[number % len(records)])

    def wait(self, ms: int) -> None:
        """What is on its way arrives within a lease."""
        old = [records[0].time_ms for records in self.on_the_way.values() if records]
        if any(self.now_ms + ms - at_ms >= LEASE_MS for at_ms in old):
            for name in list(self.on_the_way):
                self._deliver(name)
        self.now_ms += ms
        self.roll.expire(self.now_ms)

    def _say(self, edge: int, records: list[Presence], arrives: bool) -> None:
        name = self.names[edge]
        self.on_the_way.setdefault(name, []).extend(records)
        if arrives:
            self._deliver(name)

    def _deliver(self, name: str) -> None:
        for record in self.on_the_way.pop(name, ()):
            assert self.roll.take(record)
            self.taken.setdefault(name, []).append(record)

    def expected(self, user: str) -> Here | None:
        """What the taken records say in plain words: of each edge the last life; there, the last word on the user."""
        found: list[Present] = []
        for records in self.taken.values():
            life = max(record.life for record in records)
            stated: Present | None = None
            for record in (record for record in records if record.life == life):
                stated = None if user in record.gone or not record.lease_ms else stated
                stated = next((present for present in record.here if present.user == user), stated)
            last = records[-1]
            if stated and last.time_ms <= self.now_ms < last.time_ms + last.lease_ms:
                found.append(stated)
        if not found:
            return None
        return Here(
            sum(present.devices for present in found),
            min(present.since_ms for present in found),
            max(present.active_ms for present in found),
        )


USERS = ("ana", "ben")
_EDGE, _USER, _YES = st.integers(0, 1), st.sampled_from(USERS), st.sampled_from([True, True, True, False])
STEPS = st.one_of(
    st.tuples(st.just("count"), _EDGE, _USER, st.sampled_from([1, 2, 0]), _YES),
    st.tuples(st.just("act"), _EDGE, _USER, _YES),
    st.tuples(st.just("lose"), _EDGE),
    st.tuples(st.sampled_from(["die", "start_again"]), _EDGE),
    st.tuples(st.just("end"), _EDGE, _YES),
    st.tuples(st.just("repeat"), st.integers(0, 99)),
    st.tuples(st.just("wait"), st.integers(1, 2 * LEASE_MS)),
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEPS, min_size=20, max_size=40))
def test_who_is_here_is_who_was_stated_and_not_taken_back(steps: list[tuple[Any, ...]]) -> None:
    """
    Whatever edges go through and in whatever order their words arrive, answers and counts are those of a plain model.
    """
    edges = Edges()
    for name, *given_ in steps:
        getattr(edges, name)(*given_)
        expected = {user: edges.expected(user) for user in USERS}
        assert {user: edges.roll.of(user, edges.now_ms) for user in USERS} == expected, name
        assert edges.roll.online(edges.now_ms) == sum(here is not None for here in expected.values())


def test_who_begins_to_read_late_knows_everybody() -> None:
    """
    Of 3,000 users who came hours ago, a reader who begins at twice the time of restating knows each, by small records.
    """
    edge = Attendance("e1")
    for number in range(3_000):
        edge.count(f"u{number}", 1, NOW_MS)
    records = []
    for at_ms in range(NOW_MS, NOW_MS + 3 * 3_600_000, 1_000):
        records += edge.due(at_ms)
    since_ms = at_ms - 2 * module.RESTATED_MS
    recent = [record for record in records if record.time_ms >= since_ms]
    roll = roll_of(*recent, users_max=5_000)

    assert roll.online(at_ms) == 3_000
    assert {len(record.here) for record in recent} == {76}
    assert len(recent) == 2 * module.RESTATED_MS // RENEW_MS
