"""Packing records: whatever they are, they come out as they went in, and any run of them can be taken out."""

from hypothesis import given
from hypothesis import strategies as st

from fanbell.streams.log import Entry, Record
from fanbell.streams.log_batch import BATCH_BYTES_MAX, RECORD_OVERHEAD_BYTES, Batch, cut, pack

an_entry = st.builds(
    Entry,
    value=st.binary(max_size=300),
    timestamp_ms=st.one_of(st.integers(0, 3), st.integers(-(2**62), 2**62)),
    key=st.none() | st.binary(max_size=20),
)


@given(
    entries=st.lists(an_entry, min_size=1, max_size=20),
    base=st.integers(0, 2**50),
    skipped=st.integers(0, 25),
    at_most=st.integers(0, 25),
)
def test_what_is_packed_comes_out(entries: list[Entry], base: int, skipped: int, at_most: int) -> None:
    """Values, times and keys survive packing, absent and empty keys told apart."""
    batch = Batch(base, pack(entries))

    expected = [Record(base + i, e.value, e.timestamp_ms, e.key) for i, e in enumerate(entries)]
    assert batch.records(base + skipped, at_most) == expected[skipped : skipped + at_most]


def test_one_time_and_no_keys_cost_nothing() -> None:
    """What all records of a batch share is stored once: four bytes a record are left beside its value."""
    packed = pack([Entry(b"12345678", 1_700_000_000_000)] * 1_000)

    assert len(packed) < 1_000 * (8 + 4) + 20


def test_runs_are_bounded_in_bytes() -> None:
    """Entries are cut so that each run packs to the bound at most, none lost, none moved."""
    entries = [Entry(bytes(size), i) for i, size in enumerate([400_000, 600_000, 400_000, 0, 10] * 3)]

    runs = list(cut(entries))

    assert [entry for run in runs for entry in run] == entries
    assert len(runs) > 1
    assert all(len(pack(run)) <= BATCH_BYTES_MAX + 20 for run in runs)


def test_an_entry_above_the_bound_is_a_run_of_its_own() -> None:
    """One entry is never split."""
    large = Entry(bytes(BATCH_BYTES_MAX), 1)

    assert [len(run) for run in cut([large, large, Entry(b"", 1)])] == [1, 1, 1]


def test_no_entries_make_no_run() -> None:
    """Nothing to append is nothing to store."""
    assert list(cut([])) == []


def test_empty_values_are_bounded_too() -> None:
    """Records without a byte still cost what is kept beside them, so a run has a bounded number of them."""
    runs = list(cut([Entry(b"", 1)] * 100_000))

    assert max(len(run) for run in runs) == BATCH_BYTES_MAX // RECORD_OVERHEAD_BYTES
