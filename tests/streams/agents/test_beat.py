"""Taking at beats: at once after a pause, together in a trickle."""

import asyncio
from itertools import pairwise

from fanbell.streams.agents.beat import Beat


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_after_a_pause_it_is_time_at_once():
    """
    What comes after a pause is taken at once, and what follows waits for the next beat.
    """
    clock = Clock()
    beat = Beat(0.02, clock)

    assert beat.due_s() == 0.0
    clock.now += 0.015
    assert round(beat.due_s(), 6) == 0.005
    clock.now += 0.006
    assert beat.due_s() == 0.0


def test_who_waits_for_the_same_beat_goes_on_together():
    """
    Partitions that wait for the same beat are taken at the same time, and who comes later waits for the one after.
    """
    clock = Clock()
    beat = Beat(0.02, clock)

    async def run() -> list[float]:
        assert beat.due_s() == 0.0
        clock.now += 0.010
        await asyncio.gather(beat.wait(), beat.wait(), beat.wait())
        clock.now += 0.010
        return [beat.due_s(), beat.due_s()]

    assert [round(left_s, 6) for left_s in asyncio.run(run())] == [0.02, 0.02]


def test_beats_of_their_own_fall_apart():
    """
    Partitions that were first taken at the same moment are then taken at moments that lie apart, each at its own pace.
    """
    clock = Clock()
    beats = [Beat(2.0, clock, phase / 8) for phase in range(8)]
    taken: list[list[float]] = [[] for _ in beats]

    for _ in range(64):
        for number, beat in enumerate(beats):
            if beat.due_s() == 0.0:
                taken[number].append(clock.now)
        clock.now += 0.125

    assert all(times[0] == 100.0 for times in taken)
    assert all(later - at == 2.0 for times in taken for at, later in pairwise(times[1:]))
    assert len({times[-1] for times in taken}) == 8
