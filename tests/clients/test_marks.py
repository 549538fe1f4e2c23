"""Marks that wait for an answer."""

import msgspec
import pytest

from fanbell.clients.errors import MarksFull
from fanbell.clients.marks import IDS_PER_FRAME, SETS, WAITING_MAX, Marks
from fanbell.edge.frames import wire
from fanbell.projections.apply import marked
from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN
from fanbell.schemas.limits import ID_BYTES_MAX
from fanbell.schemas.parse import VERBS
from tests.clients.told import at

FRAME_BYTES_MAX = 64 * 1024  # of a client, as docs/edge.md says
FLAGS = {"read": READ, "seen": SEEN, "archived": ARCHIVED, "clicked": CLICKED}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flags", range(16))
def test_marks_do_here_what_they_do_in_the_inbox(verb: str, flags: int) -> None:
    """
    The client shows at once what the inbox will be.
    """
    before = {name: bool(flags & flag) for name, flag in FLAGS.items()}
    after = {name: bool(marked(flags, verb) & flag) for name, flag in FLAGS.items()}

    assert before | SETS[verb] == after


def test_what_was_not_answered_is_sent_again() -> None:
    """
    After a cut, marks without an answer go out again, in their order; answered ones do not.
    """
    marks = Marks()
    sent = [marks.add("read", {id_: at(1)})[0] for id_ in ("a", "b", "c")]
    for mark in sent:
        mark.sent = mark.tried = True
    marks.accepted(sent[0].ref, {})
    idle = marks.next()
    marks.cut()

    assert idle is None
    assert marks.next() is sent[1]


def test_many_ids_fit_into_frames() -> None:
    """
    However long ids are, no frame is larger than the edge takes.
    """
    ids = {f"{number}".rjust(ID_BYTES_MAX, '"'): at(2**62, "e" * 40) for number in range(IDS_PER_FRAME + 1)}
    made = Marks().add("unarchive", ids)

    assert [len(mark.ids) for mark in made] == [IDS_PER_FRAME, 1]
    assert all(len(wire(msgspec.json.encode(mark.frame()))) < FRAME_BYTES_MAX for mark in made)


def test_rows_that_are_not_at_hand_are_marked_by_id() -> None:
    """
    Where the cursor that a row was shown with is not known, the edge takes the row as it is.
    """
    known, unknown = Marks().add("read", {"a": at(1), "b": None})

    assert known.frame() == {"type": "read", "ref": known.ref, "ids": ["a"], "cursors": [at(1)]}
    assert unknown.frame() == {"type": "read", "ref": unknown.ref, "ids": ["b"]}


def test_marks_that_wait_are_bounded() -> None:
    """
    A client that is offline for long does not gather marks without end.
    """
    marks = Marks()
    for number in range(WAITING_MAX):
        marks.add("read", {f"n{number}": None})

    with pytest.raises(MarksFull):
        marks.add("read", {"one more": None})
    assert len(marks) == WAITING_MAX
