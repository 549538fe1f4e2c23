"""What the stages put out: all of it, in order, once seen from a reader, and never ahead of acknowledgements."""

from bisect import bisect_left
from collections.abc import Iterator

from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Notice, Update
from fanbell.schemas.topics import DEAD
from tests.simulation.history import History, Noticed
from tests.simulation.wrong import Wrong

NONE_YET = (-1, -1)


def outputs(history: History) -> Iterator[Wrong]:
    """Each output stands in its log: all of them, in order, the same bytes however often (I1, I2, I3)."""
    for place in sorted({*history.outputs, *history.expected}):
        expected = {(n, index): digest for n, index, digest in history.expected.get(place, ())}
        last, taken = NONE_YET, set()
        for pair in history.outputs.get(place, ()):
            at = (pair.n, pair.index)
            if at not in expected:
                yield Wrong("unwanted", f"{place} put out {at}, which nothing gives rise to")
            elif pair.digest != expected[at]:
                yield Wrong("differs", f"{place} put out {at} with other bytes than an undisturbed fold")
            taken.add(at)
            if at > last and place[2] != DEAD:
                if (pair.prev_n, pair.prev_index) != last:
                    yield Wrong(
                        "out of order", f"{place} put out {at} before what comes between it and {last}"
                    )
                last = at
        for at in expected:
            if at not in taken:
                yield Wrong("lost", f"{place} never put out {at}")


def acknowledged(history: History) -> Iterator[Wrong]:
    """What is committed or saved has its outputs acknowledged (I4)."""
    landed: dict[tuple[str, int], dict[int, int]] = {}
    for place, pairs in history.outputs.items():
        first: dict[tuple[int, int], int] = {}
        for pair in pairs:
            first.setdefault((pair.n, pair.index), pair.time)
        for (n, _), time in first.items():
            by_n = landed.setdefault(place[:2], {})
            by_n[n] = max(time, by_n.get(n, 0))
    for moved in history.moved:
        for n, time in landed.get((moved.stage, moved.partition), {}).items():
            if n <= moved.offset and time > moved.time:
                yield Wrong(
                    "ahead of acks", f"{moved} when the outputs of {n} were not out; they were at {time}"
                )
                break


def repeats(history: History) -> Iterator[Wrong]:
    """Nobody puts out again what they could see in the log when they opened."""
    for partition, noticed in history.notices.items():
        for one in noticed:
            ends = [NONE_YET if one.saw[0] <= noticed[0].offset else _last_below(noticed, one.saw[0])]
            ends += [_pair(other) for other in noticed if one.saw[0] <= other.offset < one.saw[1]]
            if one.saw[0] >= 0 and _pair(one) <= min(ends):
                yield Wrong("twice", f"notices[{partition}] {one.offset} was there when its writer opened")


def _pair(noticed: Noticed) -> tuple[int, int]:
    return noticed.record.n, noticed.record.index


def _last_below(noticed: list[Noticed], end: int) -> tuple[int, int]:
    return _pair(noticed[bisect_left(noticed, end, key=lambda one: one.offset) - 1])


def taken(noticed: list[Noticed]) -> Iterator[Noticed]:
    """What a reader of `notices` takes."""
    last = NONE_YET
    for one in noticed:
        if _pair(one) > last:
            last = _pair(one)
            yield one


def times(history: History) -> Iterator[Wrong]:
    """Nothing is told before it is said, nor before what it is about is there; places in the inbox are dense."""
    ops = {op.id: op for op in history.ops}
    made = {op.object: op for op in reversed(history.ops) if op.kind in ("post", "comment")}
    for partition, noticed in history.notices.items():
        for seq, one in enumerate(taken(noticed), 1):
            if one.record.seq != seq:
                yield Wrong(
                    "out of order", f"notices[{partition}] {one.offset} has seq {one.record.seq}, not {seq}"
                )
                break
            if not isinstance(one.record, Notice | Update):
                continue
            content = content_of(one.record.content)
            op = ops.get(content.id)
            if op is None or one.time < op.invoked:
                yield Wrong("too early", f"{content.id} was told at {one.time}, before it was said")
            elif op.kind in ("like", "comment"):
                about = made.get(op.target or op.object)
                if about is None or one.time < about.invoked:
                    yield Wrong(
                        "too early",
                        f"{content.id} was told at {one.time}, before {op.target or op.object} was there",
                    )
