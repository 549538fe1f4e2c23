"""What a session is given, and what it says to do about it."""

from collections.abc import Sequence

from msgspec import Struct

from fanbell.edge.frames import Connect, Frame, Marks, Said, Token


class Admitted(Struct, frozen=True):
    """The rim has checked the token and registered the session for its user."""


class Opened(Struct, frozen=True):
    """The inbox was read: how the session starts."""

    seq: int
    """Everything up to here is covered by `frames`."""
    frames: Sequence[Frame]
    """Hello, and what was missed or a fresh page."""
    shown_to: int = 0
    """The fresh page shows all that happened to the inbox up to here; may be below `seq`, and is 0 without a page."""


class Ended(Struct, frozen=True):
    """Time, a bound, a bad frame or a fault ends the session; `why` is a name in `close_codes`."""

    why: str


class Gone(Struct, frozen=True):
    """The connection is no more."""


Input = Said | Admitted | Opened | Frame | Ended | Gone


class Admit(Struct, frozen=True):
    """Check who this is, register the session, then say Admitted, read the inbox, and say Opened."""

    connect: Connect


class Send(Struct, frozen=True):
    frames: Sequence[Frame]


class Mark(Struct, frozen=True):
    """Put the marks in the log, and answer if they carry a ref."""

    marks: Marks


class Renew(Struct, frozen=True):
    """Check the new token, move the session's end to its end, and answer if it came with a ref."""

    token: Token


class Pong(Struct, frozen=True):
    ref: str | None


class Close(Struct, frozen=True):
    """Close the connection; `why` is a name in `close_codes`."""

    why: str


Output = Admit | Send | Mark | Renew | Pong | Close
