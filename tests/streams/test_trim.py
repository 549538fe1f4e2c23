"""`streams/trim.py`: what is forgotten is old, and below what is needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.schemas.topics import NOTICES
from fanbell.streams.log import Entry
from fanbell.streams.log_memory import MemoryLog
from fanbell.streams.trim import trim
from tests.streams.pipeline import done


@given(
    stamps=st.lists(st.integers(0, 20), max_size=12).map(sorted),
    holes=st.lists(st.booleans(), min_size=12, max_size=12),
    before_ms=st.integers(0, 21),
    at_most=st.integers(0, 30),
    began=st.integers(0, 6),
)
def test_what_is_kept_is_what_is_young_or_needed(
    stamps: list[int], holes: list[bool], before_ms: int, at_most: int, began: int
) -> None:
    """With holes anywhere, exactly the records that are old and below the bound are gone."""
    log = MemoryLog(1)
    for stamp, hole in zip(stamps, holes, strict=False):
        if hole:
            log.leave_hole(NOTICES, 0, 2)
        done(log.append(NOTICES, 0, [Entry(b"x", stamp)]))
    done(log.trim(NOTICES, 0, began))
    before = done(log.read(NOTICES, 0, 0, 100))
    at_most = min(at_most, done(log.end(NOTICES, 0)))

    start = done(trim(log, NOTICES, 0, before_ms, at_most))

    kept = [one for one in before if one.timestamp_ms >= before_ms or one.offset >= at_most]
    assert done(log.read(NOTICES, 0, 0, 100)) == kept
    assert start == done(log.start(NOTICES, 0))


@pytest.mark.parametrize("at_most", [0, -1])
def test_nothing_is_needed_less_than_nothing(at_most: int) -> None:
    """Without a snapshot nothing is forgotten, however old."""
    log = MemoryLog(1)
    done(log.append(NOTICES, 0, [Entry(b"x", 1)] * 3))

    done(trim(log, NOTICES, 0, 100, at_most))

    assert len(done(log.read(NOTICES, 0, 0, 100))) == 3
