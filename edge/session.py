"""One client's session: what it may say when, what it is told when. Pure: no clock, no socket, nothing
awaits.

Theory. A session is registered for its user *before* anything is read for it, so from then on every record of
that user's partition reaches it; there is no moment in which one could slip by. While the inbox is being
read, what happens meanwhile is held. The reader then says up to which seq the start covers everything; of
what was held, only what lies above goes out, in order, and what comes later follows it. So each record is
told once: by the start, or by a frame.

The store may be a moment ahead of the records that the edge has heard, so a fresh page can already show what
a later record says. `Opened.shown_to` says how far; up to there, frames about rows are left out, be the rows
on the page or not: a row that has moved since would be shown as it was. Wishes are on no page, and go out.

A session lasts as long as its token. The client may bring a newer one while it is being opened and while it is
live; the rim looks at it and moves the session's end, or leaves it where it was. The machine only says when a token
may come: not before the first one has counted.

What the client says and what the world does are inputs; each has one cell in the table below for each state.
An input without a cell is not possible in that state or no longer matters: it does nothing. `step` returns
what to do, in order.

    waiting   connected, has not said who it is; a bound on time and on the number of such sessions holds
    opening   may have what it asks for; the inbox is being read; live frames are held
    live      gets frames as they come
    closed    nothing more goes out
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from fanbell.edge.frames import Connect, Frame, Marks, Ping, Said, Token
from fanbell.edge.steps import (
    Admit,
    Admitted,
    Close,
    Ended,
    Gone,
    Input,
    Mark,
    Opened,
    Output,
    Pong,
    Renew,
    Send,
)

State = Literal["waiting", "opening", "live", "closed"]


NOTHING: Final[tuple[Output, ...]] = ()


class Session:
    """The state of one session. Drive it by `step` alone."""

    __slots__ = (
        "_covered",
        "_held",
        "_held_bytes",
        "_held_bytes_max",
        "_held_frames_max",
        "_shown_to",
        "seq",
        "state",
    )

    def __init__(self, held_frames_max: int, held_bytes_max: int) -> None:
        self.state: State = "waiting"
        self.seq = 0
        """Everything up to here has gone out, or was covered by the start."""
        self._held: list[Frame] = []
        self._held_bytes = 0
        self._held_frames_max = held_frames_max
        self._held_bytes_max = held_bytes_max
        self._covered = 0
        self._shown_to = 0

    @property
    def held(self) -> int:
        """Frames that wait for the inbox to be read."""
        return len(self._held)

    def step(self, given: Input) -> Sequence[Output]:
        """What to do about `given`."""
        cell = TABLE.get((self.state, type(given)))
        if cell is None:
            return NOTHING
        does, self.state = cell
        return does(self, given)

    def _admit(self, connect: Connect) -> Sequence[Output]:
        return (Admit(connect),)

    def _start(self, opened: Opened) -> Sequence[Output]:
        self.seq = self._covered = opened.seq
        self._shown_to = opened.shown_to
        held = [frame for frame in self._held if self.is_news(frame)]
        self._held, self._held_bytes = [], 0
        return (Send([*opened.frames, *held]),)

    def _hold(self, frame: Frame) -> Sequence[Output]:
        if frame.seq < 0:
            return NOTHING  # of no record, but of the rows as they are: the start will have read them
        self._held.append(frame)
        self._held_bytes += len(frame.data)
        if len(self._held) > self._held_frames_max or self._held_bytes > self._held_bytes_max:
            return self._end(Ended("resume"))
        return NOTHING

    def _tell(self, frame: Frame) -> Sequence[Output]:
        return (Send((frame,)),) if self.is_news(frame) else NOTHING

    def is_news(self, frame: Frame) -> bool:
        """Whether the start did not cover what `frame` says. Records reach a session in order, each once.

        A live session is told so by `step`, or by this alone, which spares what is written most often the wrapping.
        """
        if frame.seq < 0:
            return True
        if frame.seq <= self._covered:
            return False
        self.seq = frame.seq
        return frame.seq > self._shown_to or not frame.of_rows

    def _mark(self, marks: Marks) -> Sequence[Output]:
        return (Mark(marks),)

    def _renew(self, token: Token) -> Sequence[Output]:
        return (Renew(token),)

    def _pong(self, ping: Ping) -> Sequence[Output]:
        return (Pong(ping.ref),)

    def _end(self, ended: Ended) -> Sequence[Output]:
        self.state = "closed"
        self._forget()
        return (Close(ended.why),)

    def _out_of_place(self, _: Said) -> Sequence[Output]:
        return self._end(Ended("unknown_type"))

    def _gone(self, _: Gone) -> Sequence[Output]:
        self._forget()
        return NOTHING

    def _nothing(self, _: Admitted) -> Sequence[Output]:
        return NOTHING

    def _forget(self) -> None:
        self._held, self._held_bytes = [], 0


_S = Session
TABLE: Final[Mapping[tuple[State, type[Any]], tuple[Callable[[Session, Any], Sequence[Output]], State]]] = {
    # state, input             does               then
    ("waiting", Connect):     (_S._admit,         "waiting"),
    ("waiting", Marks):       (_S._out_of_place,  "closed"),
    ("waiting", Ping):        (_S._out_of_place,  "closed"),
    ("waiting", Token):       (_S._out_of_place,  "closed"),
    ("waiting", Admitted):    (_S._nothing,       "opening"),
    ("waiting", Ended):       (_S._end,           "closed"),
    ("waiting", Gone):         (_S._gone,          "closed"),

    ("opening", Connect):     (_S._out_of_place,  "closed"),
    ("opening", Marks):       (_S._mark,          "opening"),
    ("opening", Ping):        (_S._pong,          "opening"),
    ("opening", Token):       (_S._renew,         "opening"),
    ("opening", Frame):       (_S._hold,          "opening"),
    ("opening", Opened):      (_S._start,         "live"),
    ("opening", Ended):       (_S._end,           "closed"),
    ("opening", Gone):        (_S._gone,          "closed"),

    ("live", Connect):        (_S._out_of_place,  "closed"),
    ("live", Marks):          (_S._mark,          "live"),
    ("live", Ping):           (_S._pong,          "live"),
    ("live", Token):          (_S._renew,         "live"),
    ("live", Frame):          (_S._tell,          "live"),
    ("live", Ended):          (_S._end,           "closed"),
    ("live", Gone):           (_S._gone,          "closed"),
}  # fmt: skip
"""All that can happen. `closed` has no row: whatever comes then does nothing."""
