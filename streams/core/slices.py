"""A state encoded some at a time, so that whoever has other things to do can do them in between.

The bytes are those of MessagePack, as if the whole were encoded at once. What is being encoded must not change
meanwhile.
"""

from collections.abc import Generator, Iterable
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Yields after each slice; returns the result."""
SLICE_BYTES: Final = 64 * 1024  # some hundred groups, or a thousand notices: about 2 ms

_encode: Final = msgspec.msgpack.Encoder().encode


def array(items: Iterable[Any]) -> Steps[msgspec.Raw]:
    """`items` as an array."""
    encoded: list[bytes] = []
    size = 0
    for item in items:
        one = _encode(item)
        encoded.append(one)
        size += len(one)
        if size >= SLICE_BYTES:
            yield
            size = 0
    return msgspec.Raw(b"\xdd" + len(encoded).to_bytes(4, "big") + b"".join(encoded))


def mapping(items: Iterable[tuple[Any, Any]]) -> Steps[msgspec.Raw]:
    """The pairs `items` as a map."""
    encoded: list[bytes] = []
    size = count = 0
    for count, (key, value) in enumerate(items, 1):  # noqa: B007
        pair = _encode(key) + _encode(value)
        encoded.append(pair)
        size += len(pair)
        if size >= SLICE_BYTES:
            yield
            size = 0
    return msgspec.Raw(b"\xdf" + count.to_bytes(4, "big") + b"".join(encoded))


def finished(steps: Steps[T]) -> T:
    """The result, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
