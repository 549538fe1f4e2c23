"""Which partition an id lives in: as Kafka's own clients see it, everywhere and for ever."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.schemas.partitions import murmur2, partition_of

# From the tests of Kafka's Java client (UtilsTest.testMurmur2), as signed numbers.
KAFKAS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("text", "signed"), KAFKAS.items())
def test_the_hash_is_kafkas(text: str, signed: int) -> None:
    """Our murmur2 gives what Kafka's gives."""
    assert murmur2(text.encode()) == signed % 2**32


@pytest.mark.parametrize(("text", "signed"), KAFKAS.items())
def test_the_partition_is_kafkas(text: str, signed: int) -> None:
    """A partition is the hash without its sign, modulo their number (`toPositive` there)."""
    for partitions in (1, 2, 8, 12, 1_000):
        assert partition_of(text, partitions) == (signed & 0x7FFFFFFF) % partitions


@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=256), partitions=st.integers(1, 10_000))
def test_every_id_has_one_partition(key: str, partitions: int) -> None:
    """Any id falls into one of the partitions, the same each time."""
    partition = partition_of(key, partitions)

    assert 0 <= partition < partitions
    assert partition_of.__wrapped__(key, partitions) == partition


def test_ids_spread() -> None:
    """Numbered users are spread evenly: no partition of 8 has a tenth more than its share."""
    found = Counter(partition_of(f"user:{i}", 8) for i in range(8_000))

    assert len(found) == 8
    assert max(found.values()) < 1_100
