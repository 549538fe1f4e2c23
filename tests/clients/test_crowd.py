"""5,000 clients at once, and all of them again after a restart of the edge."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.clients.edge_process import KINDS

pytestmark = pytest.mark.browser
CROWD: Final = 5_000
AGAIN: Final = 2_000  # who come after them, to see whether memory grows
FILES: Final = CROWD + 512
ALL_IN_S: Final = 120.0  # all live: 5 to 10 s where nothing else runs; the bound is for a busy machine
MISSED: Final = 5
LEAK_BYTES_MAX: Final = 20_000_000  # of what no object tells; half of what the second crowd had


@contextmanager
def process(module: str, *args: int) -> Iterator[Any]:
    """A process that answers each line by one of JSON."""
    command = (sys.executable, "-m", module, *map(str, args))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        told, answers = child.stdin, child.stdout

        def ask(line: str) -> dict[str, Any]:
            told.write(line + "\n")
            told.flush()
            while not (answer := answers.readline()).startswith("{"):
                assert answer, f"{module} ended at {line}"  # what it logs is passed over
            found: dict[str, Any] = json.loads(answer)
            return found

        try:
            yield ask
        finally:
            child.kill()


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES, reason=f"fewer than {FILES} open files are allowed"
)
def test_a_crowd_comes_and_comes_back_and_leaves_nothing() -> None:
    """
    5,000 clients connect at once, and again after a restart: all are live soon, hear what they missed once, and are
    sent away by codes that say "come back" alone; when they have left, nothing of them is kept, nor of those after.
    """
    with process("tests.clients.edge_process", 0, CROWD) as edge:
        port = edge("start")["port"]
        with process("tests.clients.crowd", port, CROWD) as crowd:
            came = crowd("live")
            edge("tell 1")
            first = crowd("heard 1")
            full = edge("stats")
            edge("stop")
            edge(f"tell {MISSED}")
            edge("start")
            back = crowd("live")
            missed = crowd(f"heard {1 + MISSED}")
            crowd("leave")
        after = empty(edge)
        with process("tests.clients.crowd", port, AGAIN) as crowd:
            again = crowd("live")
            crowd("leave")
        in_the_end = empty(edge)
    print(came, back, again, after, in_the_end, sep="\n")

    assert (first["wrong"], missed["wrong"]) == (0, 0)
    assert max(one["took_s"] for one in (came, back, again)) < ALL_IN_S
    assert set(missed["codes"]) <= {"1001", "4503", "503", "lost", "no handshake", "ConnectionRefusedError"}
    assert full["left"] == {kind.__name__: CROWD for kind in KINDS}
    assert after["left"] == in_the_end["left"] == {}
    assert in_the_end["resident_bytes"] - after["resident_bytes"] < LEAK_BYTES_MAX


def empty(edge: Any) -> dict[str, Any]:
    """What the edge says of itself once nobody is there any more."""
    until = time.monotonic() + ALL_IN_S
    while True:
        stats: dict[str, Any] = edge("stats")
        if (stats["sockets"], stats["users"], stats["strangers"]) == (0, 0, 0):
            return stats
        assert time.monotonic() < until, stats
