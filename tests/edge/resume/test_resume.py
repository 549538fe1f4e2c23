"""Sessions among everything that can happen to them, by seeds: in the end every device shows the inbox as it is.

A store that is behind, or ahead; rings that are too small; records lost on the way, or written twice by a writer that
had been replaced; updates, retractions and marks that wait for a read; rows that expire, and inboxes that are full;
slow clients; connections cut after any frame; edges that restart, and logs that are replaced.
"""

import os
from collections import Counter
from typing import Any, Final

import pytest
from msgspec import to_builtins

from fanbell.edge.cursor import encode_cursor
from fanbell.projections.rows import Counts
from tests.edge.resume.device import Device, faults_of, faults_of_counts
from tests.edge.resume.mutants import MUTANTS, planted
from tests.edge.resume.world import run

SEEDS: Final = int(os.environ.get("FANBELL_TEST_RESUME_SEEDS", "180"))
PARTS: Final = 2  # so that the seeds spread over the tests' processes
MUTANT_SEEDS: Final = 100
COMES_TO_PASS: Final = (
    "page", "notification", "state", "retract", "gone", "kept", "counts", "wish", "pong", "closed", "waited",
    "replaced", "restarted", "repeated", "lost", "read from the log",
)  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_every_device_shows_the_inbox_in_the_end(part: int) -> None:
    """
    Whatever befalls log, store, edge and connections: every device shows the inbox as it is, in its order, with its
    counters, and was told of each notification once.
    """
    seen: Counter[str] = Counter()
    for seed in range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS):
        faults, came = run(seed)
        seen.update(came)
        assert not faults, f"seed {seed}: {faults}"

    assert [name for name in COMES_TO_PASS if not seen[name]] == [], "what did not happen proves nothing"


@pytest.mark.interpreted
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """
    The simulation notices each of the mistakes that are planted for it.
    """
    with planted(name):
        assert any(run(seed, MUTANTS[name][1])[0] for seed in range(MUTANT_SEEDS))


def row(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "text": "…", **more}


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        (["a"], "b is not shown"),
        (["a", "b", "c"], "c is shown"),
        (["b", "a"], "the order"),
        (["a", "b", "b"], "twice"),
    ],
)
def test_a_list_that_is_wrong_is_noticed(shown: list[str], fault: str) -> None:
    """
    The check notices a row too few, too many, out of order or shown twice.
    """
    (found,) = faults_of("ana", [row(id_) for id_ in shown], [row("a"), row("b")])

    assert fault in found


def test_a_row_or_a_counter_that_is_stale_is_noticed() -> None:
    """
    The check notices a row that shows what was, and a wrong badge; and finds nothing where nothing is wrong.
    """
    counted = Counts(1, 1, {"post": 1}, {})

    assert faults_of("ana", [row("a", read=False)], [row("a", read=True)]) == ["ana: a is not as it is"]
    assert faults_of("ana", [row("a")], [row("a")]) == []
    assert len(faults_of_counts("ana", {"unread": 2}, counted)) == 1
    assert faults_of_counts("ana", to_builtins(counted), counted) == []


def test_a_device_notices_what_is_told_twice() -> None:
    """
    A notification that comes again, or after a newer one, is a fault.
    """

    device = Device("ana", 10)
    device.take({"type": "hello", "epoch": "e", "oldest": None, "counts": {}})
    for seq in (2, 2, 1):
        device.take({"type": "notification", "item": row(f"n{seq}", cursor=encode_cursor("e", seq))})

    assert len(device.faults) == 2
