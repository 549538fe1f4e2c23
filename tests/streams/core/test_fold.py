import pytest

from fanbell.streams.core.fold import Jump, Taken, UnknownRules, Versions, effective_ms
from fanbell.streams.core.kinds import parse_rules

RULES = "[kinds.post]\n"


def test_a_record_is_as_late_as_it_says_but_hardly_early() -> None:
    """
    A record's time is when it occurred, at most 5 min after it was appended.
    """
    assert effective_ms(None, 1_000) == 1_000
    assert effective_ms(5, 1_000) == 5
    assert effective_ms(10**9, 1_000) == 301_000


def test_a_repeat_is_dropped_and_a_jump_stops() -> None:
    """
    From each source pairs are taken once and in order; one that skips another stops everything.
    """
    taken = Taken()

    assert taken.is_new(3, 0, 0, -1, -1)
    assert not taken.is_new(3, 0, 0, -1, -1)
    assert taken.is_new(3, 0, 5, 0, 0)
    assert not taken.is_new(3, 0, 4, 0, 0)
    assert taken.is_new(4, 9, 9, -1, -1)
    with pytest.raises(Jump, match=r"\(7, 0\) after \(6, 0\), but the last taken is \(0, 5\)"):
        taken.is_new(3, 7, 0, 6, 0)
    assert Taken.load(taken.dump()).pairs == taken.pairs


def test_rules_only_grow_newer() -> None:
    """
    An older version of the rules changes nothing, also after a snapshot; a version that never came is an error.
    """
    versions = Versions()
    with pytest.raises(UnknownRules, match="first record"):
        versions.newest  # noqa: B018

    assert versions.put(parse_rules(RULES, 2), 1)
    assert not versions.put(parse_rules(RULES, 1), 1)
    versions = Versions.load(versions.dump())
    assert versions.newest.version == 2
    assert not versions.put(parse_rules(RULES, 2), 1)
    with pytest.raises(UnknownRules, match="version 3 has not entered"):
        versions.get(3)


def test_a_few_old_versions_stay() -> None:
    """
    Commands on their way still find their rules, within a bound.
    """
    versions = Versions()
    for version in range(1, 30):
        versions.put(parse_rules(RULES, version), 1)

    assert sorted(versions.of) == list(range(30 - Versions.KEPT, 30))
