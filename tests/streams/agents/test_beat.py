"""Taking at beats: at once after a pause, together in a trickle."""

import asyncio

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
