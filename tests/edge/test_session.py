"""The session machine: its table, and that nothing is told twice, out of order, or not at all."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fanbell.edge.frames import Connect, Frame, Marks, Ping, Token
from fanbell.edge.session import TABLE, Session
from fanbell.edge.steps import Admit, Admitted, Close, Ended, Gone, Mark, Opened, Output, Pong, Renew, Send


def frame(seq: int, of_rows: bool = True) -> Frame:
    return Frame(seq, "", of_rows, b"%d" % seq)


HELLO = Frame(-1, "", False, b"hello")


def session() -> Session:
    return Session(held_frames_max=4, held_bytes_max=1_000)


def opening() -> Session:
    one = session()
    one.step(Connect("ana"))
    one.step(Admitted())
    return one


def live(seq: int = 0, shown_to: int = 0) -> Session:
    one = opening()
    one.step(Opened(seq, [HELLO], shown_to))
    return one


def sent(outputs: object) -> list[bytes]:
    assert isinstance(outputs, list | tuple)
    return [frame.data for output in outputs if isinstance(output, Send) for frame in output.frames]


def test_a_session_begins_with_a_connect() -> None:
    """
    Who connects is checked first; nothing is sent before.
    """
    one = session()

    assert one.step(Connect("ana")) == (Admit(Connect("ana")),)
    assert one.state == "waiting"


def test_anything_else_first_ends_it() -> None:
    """
    A stranger may say who it is, and nothing else.
    """
    for first in (Ping(), Marks("read", ["a"]), Token("t")):
        one = session()
        assert one.step(first) == (Close("unknown_type"),)
        assert one.state == "closed"


def test_a_second_connect_ends_it() -> None:
    """
    A session belongs to one user.
    """
    assert live().step(Connect("bob")) == (Close("unknown_type"),)
    assert opening().step(Connect("bob")) == (Close("unknown_type"),)


def test_frames_are_held_while_the_inbox_is_read() -> None:
    """
    What happens while the inbox is being read goes out after it, in order.
    """
    one = opening()

    assert one.step(frame(6)) == ()
    assert one.step(frame(7)) == ()
    assert sent(one.step(Opened(5, [HELLO]))) == [b"hello", b"6", b"7"]
    assert one.state == "live"


def test_what_the_start_covers_is_not_told_again() -> None:
    """
    Of what was held, only what lies above the start goes out.
    """
    one = opening()
    one.step(frame(5))
    one.step(frame(6))

    assert sent(one.step(Opened(5, [HELLO]))) == [b"hello", b"6"]


def test_a_page_ahead_of_the_records_is_not_told_again() -> None:
    """
    What the page shows already is not told when its record comes; what it cannot show is, and what comes later.
    """
    one = live(5, shown_to=8)

    assert sent(one.step(frame(6))) == []
    assert sent(one.step(frame(7, of_rows=False))) == [b"7"]
    assert sent(one.step(frame(8))) == []
    assert sent(one.step(frame(9))) == [b"9"]


def test_holding_is_bounded() -> None:
    """
    A session whose inbox takes too long to read is asked to resume, instead of filling memory.
    """
    one = opening()
    outputs = [one.step(frame(seq)) for seq in range(1, 6)]

    assert outputs[-1] == (Close("resume"),)
    assert one.held == 0


def test_holding_is_bounded_in_bytes() -> None:
    """
    The same in bytes.
    """
    one = Session(held_frames_max=100, held_bytes_max=5)
    one.step(Admitted())

    assert one.step(Frame(1, "", True, b"123456")) == (Close("resume"),)


def test_marks_and_pings_pass_once_admitted() -> None:
    """
    Marks and pings are taken from then on.
    """
    for one in (opening(), live()):
        assert one.step(Marks("read", ["a"])) == (Mark(Marks("read", ["a"])),)
        assert one.step(Ping("1")) == (Pong("1"),)


def test_a_new_token_may_come_once_one_has_counted() -> None:
    """
    A client may bring a new token while it is being opened and while it is live; the session goes on as it was.
    """
    for one in (opening(), live()):
        state = one.state
        assert one.step(Token("t", "1")) == (Renew(Token("t", "1")),)
        assert one.state == state


def test_nothing_goes_out_after_the_end() -> None:
    """
    A session that ended sends nothing, and ends once.
    """
    one = live()
    assert one.step(Ended("resume")) == (Close("resume"),)
    for late in (frame(9), Ended("late"), Gone(), Ping(), Opened(9, [HELLO]), Connect("ana"), Token("t")):
        assert one.step(late) == ()


def test_the_table_has_a_cell_for_the_end_of_every_state() -> None:
    """
    A session can be ended, and its connection can break, whatever it is doing.
    """
    states = {state for state, _ in TABLE}

    assert states == {"waiting", "opening", "live"}
    assert all((state, given) in TABLE for state in states for given in (Ended, Gone))


class Life(RuleBasedStateMachine):
    """A session among records that keep coming, against the plain statement of what it must tell."""

    @initialize(before=st.integers(0, 5))
    def begin(self, before: int) -> None:
        self.session = Session(10_000, 10_000_000)
        self.seq = before
        self.told: list[int] = []
        self.covered: int | None = None
        self.shown_to = 0
        self.wishes: set[int] = set()
        self.first = before
        self.closed = False

    def do(self, outputs: object) -> None:
        assert isinstance(outputs, list | tuple)
        for output in outputs:
            assert isinstance(output, Output)
            assert not self.closed
            if isinstance(output, Send):
                self.told += [frame.seq for frame in output.frames if frame.seq >= 0]
            self.closed = self.closed or isinstance(output, Close)

    @rule(is_wish=st.booleans())
    def something_happens(self, is_wish: bool) -> None:
        self.seq += 1
        if is_wish:
            self.wishes.add(self.seq)
        self.do(self.session.step(frame(self.seq, of_rows=not is_wish)))

    @precondition(lambda self: self.session.state == "waiting")
    @rule()
    def is_admitted(self) -> None:
        self.session.step(Connect("ana"))
        self.session.step(Admitted())
        self.first = self.seq

    @precondition(lambda self: self.session.state == "opening")
    @rule(ahead=st.integers(-2, 4))
    def is_opened(self, ahead: int) -> None:
        self.covered = self.first
        self.shown_to = max(0, self.covered + ahead)
        self.do(self.session.step(Opened(self.covered, [HELLO], self.shown_to)))

    @rule()
    def pings(self) -> None:
        if self.session.state != "waiting":
            self.do(self.session.step(Ping()))

    @rule()
    def brings_a_token(self) -> None:
        if self.session.state != "waiting":
            self.do(self.session.step(Token("t")))

    @precondition(lambda self: self.session.state == "live" and self.seq > 20)
    @rule()
    def ends(self) -> None:
        self.do(self.session.step(Ended("resume")))

    @invariant()
    def told_each_once_in_order(self) -> None:
        if not hasattr(self, "session"):
            return
        assert self.told == sorted(set(self.told))
        if self.session.state == "live":
            assert self.covered is not None
            due = range(self.covered + 1, self.seq + 1)
            assert self.told == [seq for seq in due if seq > self.shown_to or seq in self.wishes]
        elif self.session.state in ("waiting", "opening"):
            assert self.told == []


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
