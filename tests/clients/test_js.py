"""The JavaScript client in Node's own test runner, the last of its files against a server that runs."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.infra.up_process import fanbell_up

FOLDER: Final = Path(__file__).parent / "js"
NODE: Final = shutil.which("node")
MAJOR_MIN: Final = 20
TIMEOUT_S: Final = 120
CI: Final = bool(os.environ.get("CI"))

pytestmark = pytest.mark.browser


def node() -> str:
    """Where Node is; without one that is new enough the tests are skipped, and fail where CI is set."""
    told = subprocess.run([NODE, "--version"], capture_output=True, text=True).stdout if NODE else "none"
    major = told.strip().lstrip("v").partition(".")[0]
    if NODE is None or not major.isdigit() or int(major) < MAJOR_MIN:
        why = f"Node {MAJOR_MIN} or later is needed, here is {told.strip()}"
        (pytest.fail if CI else pytest.skip)(why)
        raise AssertionError(why)
    return NODE


def ran(*files: Path, **environ: str) -> str:
    """What Node says of the tests in `files`. A failure shows all of it."""
    # Node 20 has a WebSocket, behind a flag; later ones have it without, and still know the flag.
    command = (node(), "--experimental-websocket", "--test", "--test-reporter=spec", *files)
    done = subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_client_by_itself() -> None:
    """
    Store, line, marks and tabs hold against an edge that a test plays.
    """
    files = [path for path in sorted(FOLDER.glob("*.test.js")) if path.name != "server.test.js"]

    told = ran(*files)

    assert len(files) >= 4
    assert "skipped 0" in told


def test_the_client_with_a_server(tmp_path: Path) -> None:
    """
    Live, resumed, marked, read elsewhere, paged: as the client says it, so the server does it.
    """
    with fanbell_up(tmp_path) as up:
        told = ran(FOLDER / "server.test.js", FANBELL_URL=up.url)

    assert "skipped 0" in told
