import pytest

from fanbell.schemas.records import Rules
from fanbell.streams.core import fold
from fanbell.streams.core.fold import Jump, Taken, UnknownFold, UnknownRules, Versions, effective_ms
from fanbell.streams.core.kinds import FOLD_VERSION, parse_rules

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


@pytest.mark.interpreted
def test_the_fold_version_comes_with_rules_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a record of rules says of the fold is in force from there on; a lower one that comes later says nothing.
    """
    monkeypatch.setattr(fold, "FOLD_VERSION", 3)
    versions = Versions()
    found = []
    for number, fold_version in enumerate((1, 1, 3, 2), 1):
        assert versions.take(Rules(number, fold_version, RULES, 0))
        found.append(versions.fold_version)

    assert found == [1, 1, 3, 3]
    assert Versions.load(versions.dump()).fold_version == 3


@pytest.mark.interpreted
def test_a_fold_that_this_code_cannot_run_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A newer version of the fold is not folded on without, nor one that this code has forgotten; a repeat does no harm.
    """
    versions = Versions()
    versions.take(Rules(1, FOLD_VERSION, RULES, 0))
    saved = versions.dump()

    with pytest.raises(UnknownFold, match=rf"version {FOLD_VERSION + 1} .* upgrade it"):
        versions.take(Rules(2, FOLD_VERSION + 1, "what only a newer fold can read", 0))
    assert not versions.take(Rules(1, FOLD_VERSION + 1, RULES, 0))
    assert versions.fold_version == FOLD_VERSION

    monkeypatch.setattr(fold, "FOLD_VERSION", FOLD_VERSION + 2)
    monkeypatch.setattr(fold, "FOLD_OLDEST", FOLD_VERSION + 1)
    with pytest.raises(UnknownFold, match=f"none below {FOLD_VERSION + 1}"):
        Versions.load(saved)
    with pytest.raises(UnknownFold, match=f"none below {FOLD_VERSION + 1}"):
        Versions().take(Rules(1, FOLD_VERSION, RULES, 0))
