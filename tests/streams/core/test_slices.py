from typing import Any

import msgspec
import pytest

from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.route import Route
from fanbell.streams.core.slices import SLICE_BYTES, array, finished, mapping
from fanbell.streams.core.told import Single


@pytest.mark.parametrize("count", [0, 1, 20, 70_000])
def test_slices_make_the_whole(count: int) -> None:
    """
    What was encoded in slices is decoded as what was given.
    """
    items: list[Any] = [[number, f"item {number}", None] for number in range(count)]
    pairs = {f"key {number}": items[number] for number in range(count)}

    tree = msgspec.msgpack.encode({"array": finished(array(items)), "map": finished(mapping(pairs.items()))})

    assert msgspec.msgpack.decode(tree) == {"array": items, "map": pairs}


def test_no_slice_is_much_larger_than_the_bound() -> None:
    """
    Between two items that fill a slice, others have their turn.
    """
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield b"x" * 1_000

    seen = [taken for _ in array(counted())]

    assert (
        max(after - before for before, after in zip([0, *seen], seen, strict=False))
        <= SLICE_BYTES // 1_000 + 1
    )
    assert len(seen) >= 1_000 * 1_000 // SLICE_BYTES - 1


def slow(fold: Any) -> tuple[int, bytes]:
    """In how many steps the state is encoded, and what it is."""
    state: list[bytes] = []

    def ended() -> Any:
        state.append((yield from fold.dumping()))

    return sum(1 for _ in ended()), state[0]


@pytest.mark.parametrize("fold", [FanOut(0), Route(0, 1)])
def test_a_state_in_steps_is_the_state(fold: Any) -> None:
    """
    A fold's state is the same in steps and at once.
    """
    if isinstance(fold, FanOut):
        for number in range(5_000):
            fold.book.put_single(Single(f"a{number}", "post", "ana", f"p{number}", None, number, 7), 1 << 20)
    else:
        fold.entities = {f"p{number}": ("ana", "p") for number in range(20_000)}

    steps, state = slow(fold)

    assert steps > 1
    assert state == fold.dump()
    again = Route.load(0, 1, state) if isinstance(fold, Route) else FanOut.load(0, state)
    assert again.dump() == state
