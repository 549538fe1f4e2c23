"""What one edge says of its users, and when it need not."""

from fanbell.edge.attendance import ACTIVE_STEP_MS, AGAIN_MS, RECORD_USERS, Attendance
from fanbell.edge.presence import LEASE_MS, RENEW_MS
from fanbell.schemas.codec import encode
from fanbell.schemas.limits import ID_BYTES_MAX, RECORD_BYTES_MAX
from fanbell.schemas.records import Present

NOW_MS = 1_800_000_000_000 - 1_800_000_000_000 % ACTIVE_STEP_MS


def edge_with(*users: str) -> Attendance:
    """An edge that has said that these are here, at `NOW_MS`."""
    edge = Attendance("e1")
    for user in users:
        edge.count(user, 1, NOW_MS)
    edge.due(NOW_MS)
    return edge


def test_nothing_is_said_of_nobody() -> None:
    """
    An edge without users in a partition says nothing there, however long.
    """
    assert Attendance("e1").due(NOW_MS) == []
    assert Attendance("e1").farewell(NOW_MS) == []


def test_what_happens_together_is_said_together() -> None:
    """
    Who came and who went since the last time are in one record.
    """
    edge = edge_with("ana", "ben")
    edge.count("cleo", 1, NOW_MS + 10)
    edge.count("cleo", 2, NOW_MS + 20)
    edge.count("ana", 0, NOW_MS + 30)
    (record,) = edge.due(NOW_MS + 1_000)

    assert (record.here, record.gone) == ([Present("cleo", 2, NOW_MS + 10, NOW_MS)], ["ana"])
    assert edge.due(NOW_MS + 1_001) == []


def test_who_left_is_said_once() -> None:
    """
    A user's end is told, and is not told again.
    """
    edge = edge_with("ana")
    edge.count("ana", 0, NOW_MS + 1)
    (record,) = edge.due(NOW_MS + 2)
    assert (record.gone, record.here, record.number) == (["ana"], [], 2)
    assert edge.due(NOW_MS + 10 * LEASE_MS) == []


def test_a_reloaded_page_is_no_absence() -> None:
    """
    Who is back before it was said that they left never left.
    """
    edge = edge_with("ana")
    edge.count("ana", 0, NOW_MS + 500)
    edge.count("ana", 1, NOW_MS + 900)
    (record,) = edge.due(NOW_MS + 1_000)

    assert (record.gone, record.here) == ([], [Present("ana", 1, NOW_MS, NOW_MS)])


def test_who_is_busy_costs_one_entry_a_minute() -> None:
    """
    A mark a second is said once in a minute.
    """
    edge = edge_with("ana")
    stated = 0
    for second in range(1, 301):
        edge.active("ana", NOW_MS + second * 1_000)
        edge.active("nobody here", NOW_MS)
        stated += sum(record.here[0].active_ms > NOW_MS for record in edge.due(NOW_MS + second * 1_000))

    assert stated <= 300_000 // ACTIVE_STEP_MS + 300_000 // RENEW_MS
    assert edge.due(NOW_MS + 330_000)[0].here[0].active_ms == NOW_MS + 300_000


def test_the_lease_is_renewed_three_times_in_its_length() -> None:
    """
    An edge where nothing happens says that it is here every 15 s, and not between.
    """
    edge = edge_with("ana")
    at_ms = [second * 1_000 for second in range(1, 91) if edge.due(NOW_MS + second * 1_000)]

    assert at_ms == [RENEW_MS * turn for turn in range(1, 7)]
    assert 3 * RENEW_MS <= LEASE_MS


def test_after_a_pause_longer_than_the_lease_everybody_is_stated_anew() -> None:
    """
    An edge that was frozen knows that nobody believes it any more.
    """
    edge = edge_with("ana", "ben")
    (record,) = edge.due(NOW_MS + LEASE_MS)

    assert (record.number, record.life) == (1, NOW_MS + LEASE_MS)
    assert {present.user for present in record.here} == {"ana", "ben"}


def test_a_clock_that_is_set_back_begins_a_new_life() -> None:
    """
    Set back by an hour, an edge neither falls silent for an hour nor speaks of the future.
    """
    edge = edge_with("ana")
    (record,) = edge.due(NOW_MS - 3_600_000)

    assert (record.number, record.life, record.time_ms) == (1, NOW_MS + 1, NOW_MS - 3_600_000)


def test_what_was_lost_is_said_anew_after_a_pause() -> None:
    """
    When the log failed, everybody is stated in a new life, a few seconds later.
    """
    edge = edge_with("ana", "ben")
    edge.count("cleo", 1, NOW_MS + 10)
    edge.due(NOW_MS + 1_000)
    edge.lost(NOW_MS + 1_000)
    edge.count("ana", 0, NOW_MS + 1_500)

    assert edge.due(NOW_MS + 2_000) == []
    (record,) = edge.due(NOW_MS + 1_000 + AGAIN_MS)
    assert (record.number, record.gone) == (1, [])
    assert {present.user for present in record.here} == {"ben", "cleo"}


def test_a_farewell_ends_the_lease() -> None:
    """
    The last word of an edge that ends names nobody, and ends its lease.
    """
    (record,) = edge_with("ana").farewell(NOW_MS + 5)

    assert (record.number, record.lease_ms, record.here, record.gone) == (2, 0, [], [])


def test_records_fit_the_log() -> None:
    """
    However many come at once, with the longest of ids, no record is larger than the log takes, and none is left out.
    """
    edge = Attendance("e1")
    users = [f"{number:0{ID_BYTES_MAX}}" for number in range(2 * RECORD_USERS + 1)]
    for user in users:
        edge.count(f"{user[1:]}x", 1, NOW_MS)
    edge.due(NOW_MS)
    for user in users:
        edge.count(f"{user[1:]}x", 0, NOW_MS)
        edge.count(user, 1, NOW_MS)
    records = edge.due(NOW_MS)

    assert [record.number for record in records] == [4, 5, 6]
    assert len({user for record in records for user in record.gone}) == len(users)
    assert [present.user for record in records for present in record.here] == users
    assert max(len(encode(record)) for record in records) < RECORD_BYTES_MAX
