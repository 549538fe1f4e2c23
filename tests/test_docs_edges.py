"""docs/edges.md says what is so."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from fanbell.edge import hub, socket
from fanbell.edge.presence import LEASE_MS
from fanbell.schemas.partitions import partition_of

PAGE = (Path(__file__).parent.parent / "docs" / "edges.md").read_text(encoding="utf-8")


def test_the_line_that_tells_a_partition_runs() -> None:
    """
    The line on the page prints the partition of its user.
    """
    (line,) = re.findall(r"^python (-c .*)$", PAGE, re.MULTILINE)
    said = subprocess.run([sys.executable, *shlex.split(line)], capture_output=True, text=True, check=True)

    assert said.stdout == f"{partition_of('ana', 64)}\n"


def test_times_on_the_page_are_those_of_the_code() -> None:
    """
    Pings, the lease of presence, and how long a partition is followed without users are as the page says.
    """
    assert f"pings every {socket.PING_EVERY_S:.0f} s" in PAGE
    assert f"within {socket.PING_TIMEOUT_S:.0f} s more" in PAGE
    assert f"lease ends, {LEASE_MS // 1_000} s after its last word" in PAGE
    assert hub.IDLE_S == 60
    assert "A minute after its last user left" in PAGE
    assert f"less {socket.FILES_KEPT}" in PAGE
    assert f"asks for {socket.BACKLOG:,} waiting" in PAGE
