"""Sets of ordinals, as small as they can be: an int, a sorted tuple, or a Roaring bitmap.

Most authors have one or two followers in a shard; a bitmap for each took 107 bytes an edge on slashdot-zoo's graph.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

from pyroaring import BitMap

Ordinals = int | tuple[int, ...] | BitMap
K = TypeVar("K")

TUPLE_MAX: Final = (
    12  # a tuple of 12 takes 136 bytes, a bitmap of 12 at least 150; insertion copies, so not many more
)


def bitmap(value: Ordinals | None) -> BitMap:
    """The set as a bitmap. It may be the stored one: not to be changed."""
    if isinstance(value, BitMap):
        return value
    if isinstance(value, int):
        return BitMap((value,))
    return BitMap(value) if value else BitMap()


def each(value: Ordinals) -> tuple[int, ...] | BitMap:
    """The members of the set, rising, to go through or to count; not to be changed."""
    return (value,) if isinstance(value, int) else value


def contains(value: Ordinals | None, ordinal: int) -> bool:
    if value is None:
        return False
    return value == ordinal if type(value) is int else ordinal in value  # type: ignore[operator]


def packed(ordinals: Iterable[int], count: int) -> Ordinals:
    """The smallest form of `count` (≥ 1) ordinals, given in rising order."""
    if count == 1:
        return next(iter(ordinals))
    return tuple(ordinals) if count <= TUPLE_MAX else BitMap(ordinals)


def add(table: dict[K, Ordinals], key: K, ordinal: int) -> bool:
    """Put `ordinal` into the set at `key`; whether it is new there."""
    value = table.get(key)
    if value is None:
        table[key] = ordinal
        return True
    if contains(value, ordinal):
        return False
    if type(value) is BitMap:
        value.add(ordinal)
    else:
        members = sorted((*bitmap(value), ordinal))
        table[key] = packed(members, len(members))
    return True


def discard(table: dict[K, Ordinals], key: K, ordinal: int) -> bool:
    """Take `ordinal` out of the set at `key`; whether it was there. An empty set takes no place."""
    value = table.get(key)
    if not contains(value, ordinal):
        return False
    if type(value) is int:
        del table[key]
    elif type(value) is BitMap:
        value.remove(ordinal)
        if len(value) <= TUPLE_MAX // 2:  # half: a set at the border does not change form at every step
            table[key] = packed(value, len(value))
    else:
        rest = tuple(member for member in value if member != ordinal)  # type: ignore[union-attr]
        table[key] = packed(rest, len(rest))
    return True


def dumped(table: dict[K, Ordinals]) -> dict[K, int | list[int] | bytes]:
    """The table in values that msgpack knows."""
    return {key: _dumped(value) for key, value in table.items()}


def _dumped(value: Ordinals) -> int | list[int] | bytes:
    if isinstance(value, BitMap):
        return bytes(value.serialize())
    return value if isinstance(value, int) else list(value)


def loaded(table: dict[K, int | list[int] | bytes]) -> dict[K, Ordinals]:
    """The reverse of `dumped`."""
    return {key: _loaded(value) for key, value in table.items()}


def _loaded(value: int | list[int] | bytes) -> Ordinals:
    if isinstance(value, bytes):
        return BitMap.deserialize(value)
    return value if isinstance(value, int) else tuple(value)
