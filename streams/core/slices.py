"""A state encoded some at a time, so that whoever has other things to do can do them in between.

The bytes are those of MessagePack, as if the whole were encoded at once. What is being encoded must not change
meanwhile. Items are taken one by one: a generator's brackets would be made into a list where this is compiled.
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
    count, encoded = yield from _joined(map(_encode, items))
    return msgspec.Raw(b"\xdd" + count.to_bytes(4, "big") + encoded)


def mapping(items: Iterable[tuple[Any, Any]]) -> Steps[msgspec.Raw]:
    """The pairs `items` as a map."""
    count, encoded = yield from _joined(map(_pair, items))
    return msgspec.Raw(b"\xdf" + count.to_bytes(4, "big") + encoded)


def _pair(item: tuple[Any, Any]) -> bytes:
    return _encode(item[0]) + _encode(item[1])


def _joined(items: Iterable[bytes]) -> Steps[tuple[int, bytes]]:
    """How many there were, and all of them."""
    slices: list[bytes] = []
    waiting: list[bytes] = []
    size = count = 0
    for count, item in enumerate(items, 1):  # noqa: B007
        waiting.append(item)
        size += len(item)
        if size >= SLICE_BYTES:
            slices.append(b"".join(waiting))
            waiting, size = [], 0
            yield
    return count, b"".join([*slices, *waiting])


def finished(steps: Steps[T]) -> T:
    """The result, all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
