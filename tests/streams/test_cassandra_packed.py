"""Packed batches are, byte by byte, what the driver would send."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.protocol import BatchMessage
from cassandra.query import BatchStatement, BatchType

from fanbell.streams.cassandra_packed import (
    PackedBatch,
    PackedHandler,
    head_of,
    packed,
    packed_byte,
    packed_flag,
    packed_int,
    packed_long,
)

ID = b"0123456789abcdef"
VALUES = (b"\0\0\0\x07", "añ".encode(), b"\x10", b"\0" * 7 + b"\x09", b"\x01", b"")
PIECES = (
    packed_int(7),
    packed("añ".encode()),
    packed_byte(16),
    packed_long(9),
    packed_flag(True),
    packed(b""),
)


def message(queries: Any) -> BatchMessage:
    return BatchMessage(BatchType.UNLOGGED, queries, ConsistencyLevel.LOCAL_QUORUM, timestamp=5)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_bytes_are_the_drivers(version: int, rows: int) -> None:
    """A packed batch is sent as the driver sends the same rows; and again when it is asked again."""
    statement: Any = SimpleNamespace(query_id=ID, column_metadata=VALUES)
    batch = PackedBatch(b"key", rows, [head_of(statement), *PIECES] * rows)
    expected = message([(True, ID, VALUES)] * rows)

    ours, theirs = message(batch._statements_and_parameters), io.BytesIO()
    expected.send_body(theirs, version)
    frame = PackedHandler.encode_message(ours, 1, version, None, False)
    assert frame.endswith(theirs.getvalue())
    assert frame == PackedHandler.encode_message(expected, 1, version, None, False)
    assert frame == PackedHandler.encode_message(ours, 1, version, None, False)


def test_what_it_leans_on_is_there() -> None:
    """The driver still keeps a batch's rows where ours are put; a new version that does not fails here."""
    assert BatchStatement()._statements_and_parameters == []
    assert len(PackedBatch(b"key", 3, [])._statements_and_parameters) == 3
    assert PackedBatch(b"key", 3, []).routing_key == b"key"
