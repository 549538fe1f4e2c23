"""The session machine given everything, in any order: what holds whatever happens."""

from collections.abc import Sequence
from typing import Any, Final, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fanbell.edge.frames import Connect, Frame, Marks, Ping, Said, Token
from fanbell.edge.session import TABLE, Session
from fanbell.edge.steps import Admit, Admitted, Close, Ended, Gone, Mark, Opened, Output, Pong, Send
from tests.edge.test_session import HELLO, frame

HELD_FRAMES_MAX: Final = 6
HELD_BYTES_MAX: Final = 40
TOLD_BY_NO_RECORD: Final = Frame(-1, "", False, b"gone")


def said_by_clients() -> st.SearchStrategy[Any]:
    """Every input that a client can make."""
    known = [Connect("ana"), Token("t"), Ping(), Ping("p"), Marks("read", ["a"]), Marks("seen", up_to="c")]
    assert {type(one) for one in known} == set(get_args(Said))
    return st.sampled_from(known)


class Anything(RuleBasedStateMachine):
    """Inputs come in any order, sensible or not; records come in the order of their seqs, now and then twice."""

    @initialize()
    def begin(self) -> None:
        self.session = Session(HELD_FRAMES_MAX, HELD_BYTES_MAX)
        self.seq = 0
        self.told: list[int] = []
        self.closes = 0
        self.closed = False

    def give(self, given: Any) -> Sequence[Output]:
        before = self.session.state
        outputs = self.session.step(given)
        for output in outputs:
            assert isinstance(output, Output)
            assert not self.closed, "a session that has ended does nothing"
            self.closes += isinstance(output, Close)
            if isinstance(output, Send):
                assert self.session.state == "live"
                self.told += [each.seq for each in output.frames if each.seq >= 0]
            if isinstance(output, Admit):
                assert before == "waiting"
            if isinstance(output, Mark | Pong):
                assert before in ("opening", "live")
        self.closed = self.session.state == "closed"
        if (before, type(given)) not in TABLE:
            assert outputs == ()
            assert self.session.state == before
        return outputs

    @rule(said=said_by_clients())
    def the_client_says(self, said: Any) -> None:
        self.give(said)

    @rule()
    def is_admitted(self) -> None:
        self.give(Admitted())

    @rule(back=st.integers(0, 3), ahead=st.integers(0, 3))
    def is_opened(self, back: int, ahead: int) -> None:
        covered = max(0, self.seq - back)
        self.give(Opened(covered, [HELLO], covered + ahead if ahead else 0))

    @rule(of_rows=st.booleans(), size=st.integers(1, 12))
    def something_happens(self, of_rows: bool, size: int) -> None:
        self.seq += 1
        self.give(Frame(self.seq, "", of_rows, b"x" * size))

    @rule()
    def a_row_leaves_by_itself(self) -> None:
        live = self.session.state == "live"
        assert bool(self.give(TOLD_BY_NO_RECORD)) == live, "told to who is live, and to nobody else"

    @rule(why=st.sampled_from(["resume", "late", "token_expired", "malformed"]))
    def is_ended(self, why: str) -> None:
        was_closed = self.closed
        assert self.give(Ended(why)) == (() if was_closed else (Close(why),))

    @rule()
    def breaks(self) -> None:
        assert self.give(Gone()) == ()

    @invariant()
    def each_record_is_told_once_in_order(self) -> None:
        assert self.told == sorted(set(self.told))

    @invariant()
    def it_ends_once(self) -> None:
        assert self.closes <= 1

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        assert self.session.held <= HELD_FRAMES_MAX
        assert self.session._held_bytes <= HELD_BYTES_MAX
        if self.session.state != "opening":
            assert self.session.held == 0


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, print_blob=True)


def test_frames_of_a_session_that_opens_are_told_after_it() -> None:
    """
    A row that leaves while the inbox is being read is not told: what is read then is without it.
    """
    one = Session(HELD_FRAMES_MAX, HELD_BYTES_MAX)
    for given in (Connect("ana"), Admitted(), TOLD_BY_NO_RECORD, frame(1)):
        one.step(given)

    assert one.step(Opened(0, [HELLO])) == (Send([HELLO, frame(1)]),)
