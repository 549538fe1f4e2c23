from hypothesis import given
from hypothesis import strategies as st

from fanbell.streams.core.hashes import HashSet, RecentIds, hash64

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_a_hash_is_the_same_in_every_process() -> None:
    """
    Hashes are BLAKE2b's: they mean the same in every process, and in a snapshot.
    """
    assert hash64(b"\x06ana") == 0x4F5145FB831BD9CF == hash64(b"\x06", b"ana")
    assert hash64(b"\x06ana") != hash64(b"\x06bob")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5_000))))
def test_a_hash_set_is_a_set(calls: list[tuple[bool, int]]) -> None:
    """
    A set of hashes holds what a plain set holds, before and after a snapshot.
    """
    hashes, plain = HashSet(), set[int]()
    for puts, value in calls:
        before = value in plain
        assert (hashes.add(value) is not before) if puts else (hashes.discard(value) is before)
        (plain.add if puts else plain.discard)(value)
    loaded = HashSet.load(hashes.dump())

    assert (len(loaded), loaded.dump()) == (len(plain), hashes.dump())
    assert all(value in loaded for value in plain)


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR_MS), st.integers(0, 12)), max_size=60))
def test_an_id_counts_for_as_long_as_the_rules_say(uses: list[tuple[int, int]]) -> None:
    """
    An id counts for exactly so long in fold time, whatever else was used meanwhile, and across a snapshot.
    """
    recent = RecentIds(keep_ms=DAY_MS // 4)
    plain: dict[int, tuple[int, int]] = {}
    now = 0
    for number, (wait, value) in enumerate(uses):
        now += wait
        expected = {v: body for v, (body, at) in plain.items() if now - at < DAY_MS // 4}
        assert {v: recent.get(v, now) for v in range(13)} == {v: expected.get(v) for v in range(13)}
        recent.put(value, number, now)
        plain[value] = (number, now)
        recent = RecentIds.load(recent.dump())


def test_ids_are_bounded_in_number() -> None:
    """
    Of many ids the newest count, and no more are kept than a sixteenth above the bound.
    """
    recent = RecentIds(at_most=160)
    for value in range(1_000):
        recent.put(value, value, 0)

    assert all(recent.get(value) == value for value in range(1_000 - 160, 1_000))
    assert 160 <= len(recent) <= 170
