"""Batches of rows that are put into Cassandra's protocol by hand: 1 µs a row, where the driver's own take 7.

A row is a prepared statement's id and its values, as bytes that are joined; most of them are the same for all rows of
one notice. The driver takes such a batch for one of its own and sends it by `PackedHandler`, its documented way of
changing what is sent. tests/streams/test_cassandra_packed.py holds the bytes to those that the driver would send.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchStatement, BatchType, PreparedStatement

_INT: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_SHORT: Final = struct.Struct(">H")
ROWS_MAX: Final = 0xFFFF  # of one batch, by the protocol
NULL: Final = b"\xff\xff\xff\xff"


def packed(value: bytes) -> bytes:
    """A value of a text or blob column."""
    return _INT.pack(len(value)) + value


def packed_long(value: int) -> bytes:
    """A value of a bigint column, or a timestamp."""
    return b"\0\0\0\x08" + _LONG.pack(value)


def packed_int(value: int) -> bytes:
    """A value of an int column, or a TTL."""
    return b"\0\0\0\x04" + _INT.pack(value)


def packed_byte(value: int) -> bytes:
    """A value of a tinyint column."""
    return b"\0\0\0\x01" + bytes((value,))


def packed_flag(value: bool) -> bytes:
    """A value of a boolean column."""
    return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0"


def head_of(statement: PreparedStatement) -> bytes:
    """What a row begins with; all the values of `statement` must follow, in its order."""
    id_ = statement.query_id
    return b"".join((b"\x01", _SHORT.pack(len(id_)), id_, _SHORT.pack(len(statement.column_metadata))))


class _Rows:
    """In place of a batch's statements."""

    __slots__ = ("count", "pieces")

    def __init__(self, count: int, pieces: Sequence[bytes]) -> None:
        self.count, self.pieces = count, pieces

    def __len__(self) -> int:
        return self.count


class PackedBatch(BatchStatement):  # type: ignore[misc]  # the driver has no types
    """An unlogged batch of `count` rows, whose heads and values joined are `pieces`, all of one Cassandra partition."""

    def __init__(self, routing_key: bytes, count: int, pieces: Sequence[bytes]) -> None:
        super().__init__(BatchType.UNLOGGED)
        self.is_idempotent = True
        self.routing_key = routing_key
        self._statements_and_parameters = _Rows(count, pieces)


class _PackedMessage(BatchMessage):  # type: ignore[misc]
    queries: Any

    def send_body(self, f: Any, protocol_version: int) -> None:
        """As the driver's own, but for the rows."""
        rows: _Rows = self.queries
        self.queries = ()
        try:
            rest = _Tail(f)
            f.write(bytes((self.batch_type.value,)) + _SHORT.pack(rows.count))
            f.write(b"".join(rows.pieces))
            super().send_body(rest, protocol_version)
        finally:
            self.queries = rows  # it may be sent again


class _Tail:
    """Passes on what is written after the first two fields: type and number of statements."""

    def __init__(self, file: Any) -> None:
        self._file, self._skip = file, 3

    def write(self, data: bytes) -> None:
        if self._skip:
            self._skip -= len(data)
            return
        self._file.write(data)


class PackedHandler(ProtocolHandler):  # type: ignore[misc]
    """The driver's way of encoding messages, which knows packed batches too."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **kw: Any) -> Any:
        if isinstance(msg, BatchMessage) and isinstance(msg.queries, _Rows):
            msg.__class__ = _PackedMessage
        return super().encode_message(msg, *args, **kw)
