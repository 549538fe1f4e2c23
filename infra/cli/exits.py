"""How commands end: the table of exit codes, and the error that carries one to the user."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What the shell sees. Meanings are in `MEANINGS`; a code never changes its meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    UNAUTHORISED = 5
    BUSY = 6
    NOT_FOUND = 7
    INTERRUPTED = 130

    @property
    def label(self) -> str:
        """The name in a sentence."""
        return self.name.lower().replace("_", " ")


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done",
    Exit.FAILED: "failed; a check of `doctor` included",
    Exit.USAGE: "the command line or a setting is wrong",
    Exit.UNREACHABLE: "no server answers at that address",
    Exit.REFUSED: "what was handed over was refused: a bad line, a bad rules file, a used id",
    Exit.UNAUTHORISED: "the token is missing, not valid, or does not allow it",
    Exit.BUSY: "the server asked to come back later, and still did after all tries",
    Exit.NOT_FOUND: "there is no such thing",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}
LINES_MAX: Final = 20  # faults shown at once; more of them tell a person nothing new


class Failed(Exception):
    """Ends a command: `code`, a message, a hint at what to do, and one line for each single fault."""

    def __init__(self, code: Exit, message: str, hint: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.lines = tuple(lines)
