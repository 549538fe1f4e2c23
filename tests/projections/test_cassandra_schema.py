"""The numbered files of tables, and the settings put into them."""

import pytest

from fanbell.projections.cassandra_schema import replication, schema_files
from fanbell.streams.cassandra import CassandraConfig


def test_files_are_numbered_without_a_gap() -> None:
    """
    Files count from 1, and every table named in a statement is of the keyspace that was set.
    """
    files = schema_files(CassandraConfig(contact_points=(), keyspace="here"))
    assert [file.number for file in files] == list(range(1, len(files) + 1))
    for file in files:
        assert file.statements
        for statement in file.statements:
            assert " here" in statement
            assert "{keyspace}" not in statement
            if statement.startswith("CREATE TABLE"):
                assert " IF NOT EXISTS here." in statement


@pytest.mark.parametrize(
    ("said", "cql"),
    [
        ("3", "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}"),
        ("dc1:3, dc-2:2", "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc-2': 2}"),
    ],
)
def test_replication(said: str, cql: str) -> None:
    """
    A number is so many copies in every data centre, pairs so many in each that is named.
    """
    assert replication(said) == cql


@pytest.mark.parametrize("said", ["", "0", "dc1", "dc1:", "dc1:0", "dc1:3,", "dc'1:3", "dc1:3}; DROP"])
def test_no_replication(said: str) -> None:
    """
    What says no copies, or more than that, is refused.
    """
    with pytest.raises(ValueError, match="cassandra_replication must be"):
        replication(said)
