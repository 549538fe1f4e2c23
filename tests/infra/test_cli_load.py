"""`fanbell load`: history into a folder, and what keeps it out."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from fanbell.infra.cli.exits import Exit
from fanbell.infra.folder import STATE_FILE
from fanbell.infra.intake import run
from fanbell.infra.lock import FolderLock
from fanbell.schemas.topics import INTAKE
from fanbell.streams.folds import INTAKE_GROUP
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.sqlite import DatabaseFailed, open_database
from tests.infra.conftest import Run
from tests.infra.up_process import FANBELL, fanbell_up

T = TypeVar("T")
POSTS = 8_000
HISTORY = [
    {"id": "f1", "kind": "follow", "actor": "ben", "object": "ana", "occurred_at": "2020-01-01T00:00:00Z"},
    {"id": "p1", "kind": "post", "actor": "ana", "object": "post-1", "occurred_at": "2020-01-02T00:00:00Z"},
]


def written(folder: Path, *more: object) -> str:
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (*HISTORY, *more)))
    return str(path)


def test_loaded_history_is_in_the_inboxes(fanbell: Run, tmp_path: Path) -> None:
    """
    What was loaded into a folder is what its server shows.
    """
    ran = fanbell("load", written(tmp_path), "--data", str(tmp_path / "data"), "--json")

    assert ran.code == Exit.OK
    assert (ran.json["activities"], ran.json["notifications"]) == (2, 2)
    with fanbell_up(tmp_path) as up:
        assert [item["id"] for item in up.heard("ben")] == ["p1"]
        assert [item["id"] for item in up.heard("ana")] == ["f1"]


def test_loading_again_changes_nothing(fanbell: Run, tmp_path: Path) -> None:
    """
    A file is loaded once, however often it is loaded; of one that has grown, what is new. Not by ids: those count for
    a day only, and history is longer.
    """
    data = str(tmp_path / "data")
    fanbell("load", written(tmp_path), "--data", data)

    again = fanbell("load", written(tmp_path), "--data", data, "--json")
    later = {"id": "p2", "kind": "post", "actor": "ana", "object": "2", "occurred_at": "2020-02-02T00:00:00Z"}
    more = fanbell("load", written(tmp_path, later), "--data", data, "--json")

    assert (again.code, again.json["activities"], again.json["notifications"]) == (Exit.OK, 0, 0)
    assert (more.code, more.json["activities"], more.json["notifications"]) == (Exit.OK, 1, 1)


def test_files_of_one_length_are_told_apart(fanbell: Run, tmp_path: Path) -> None:
    """
    A file that was loaded is known again, also after another one that is just as long.
    """
    data = str(tmp_path / "data")
    counts = []
    for post in ("x", "y", "x"):
        at = "2020-02-02T00:00:00Z"
        file = written(
            tmp_path, {"id": post, "kind": "post", "actor": "ana", "object": post, "occurred_at": at}
        )
        counts.append(fanbell("load", file, "--data", data, "--json").json["activities"])

    assert counts[2] == 0


def test_a_bad_line_is_named(fanbell: Run, tmp_path: Path) -> None:
    """
    A line that is no activity is named by number and field.
    """
    ran = fanbell(
        "load", written(tmp_path, {"id": "x", "kind": "post", "actor": ""}), "--data", str(tmp_path / "data")
    )

    assert ran.code == Exit.REFUSED
    assert "line 3: " in ran.err
    assert "actor: must not be empty" in ran.err
    with fanbell_up(tmp_path) as up:  # what stood before it is in
        assert [item["id"] for item in up.heard("ben")] == ["p1"]
    corrected = {
        "id": "x",
        "kind": "post",
        "actor": "ana",
        "object": "y",
        "occurred_at": "2020-02-02T00:00:00Z",
    }
    again = fanbell("load", written(tmp_path, corrected), "--data", str(tmp_path / "data"), "--json")
    assert again.json["activities"] == 1


def test_a_folder_in_use_stays_shut(fanbell: Run, tmp_path: Path) -> None:
    """
    A folder that a server has open is not loaded into; who has it is said.
    """
    with FolderLock(tmp_path / "data"):
        ran = fanbell("load", written(tmp_path), "--data", str(tmp_path / "data"))

    assert ran.code == Exit.FAILED
    assert "in use" in ran.err


def test_a_file_in_the_place_of_the_folder(fanbell: Run, tmp_path: Path) -> None:
    """
    A data folder that cannot be one is said in a line.
    """
    ran = fanbell("load", written(tmp_path), "--data", written(tmp_path))

    assert ran.code == Exit.FAILED
    assert "Traceback" not in ran.err


def long_history(folder: Path) -> str:
    """Posts that ben hears of, more than the two processes hold between them."""
    day = "2020-01-03T00:00:00Z"
    return written(
        folder,
        *(
            {"id": f"p{n}", "kind": "post", "actor": "ana", "object": f"post-{n}", "occurred_at": day}
            for n in range(2, POSTS)
        ),
    )


@pytest.mark.parametrize("victim", ["loader", "folds"])
def test_killed_while_loading(tmp_path: Path, fanbell: Run, victim: str) -> None:
    """
    Whichever of the two processes is killed, the other ends, and loading the file again makes it whole.
    """
    file, data = long_history(tmp_path), tmp_path / "data"
    keep = ("--inbox-keep", str(POSTS))
    command = [FANBELL, "load", file, "--data", str(data), *keep]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as loader:
        folds = until(lambda: child_of(loader.pid))
        until(lambda: (data / STATE_FILE).exists() and kept(data) > 1_000)
        os.kill(loader.pid if victim == "loader" else folds, signal.SIGKILL)
        _, err = loader.communicate(timeout=60)
    until(lambda: not Path(f"/proc/{folds}").exists())

    if victim == "folds":
        assert loader.returncode == Exit.FAILED
        assert "load the file again" in err
        assert "Traceback" not in err
    assert fanbell("load", file, "--data", str(data), *keep).code == Exit.OK
    with closing(open_database(data / STATE_FILE, read_only=True)) as connection:
        heard = connection.execute("SELECT note FROM bodies WHERE note LIKE 'p%'").fetchall()
    assert sorted(heard) == sorted((f"p{number}",) for number in range(1, POSTS))


def child_of(pid: int) -> int | None:
    """The process that folds."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            with suppress(OSError):
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
    return None


def kept(data: Path) -> int:
    """How much of `intake` is in the inboxes."""
    with suppress(DatabaseFailed), closing(open_database(data / STATE_FILE, read_only=True)) as connection:
        return run(SqliteLog.reading(connection).committed(INTAKE_GROUP, INTAKE, 0)) or 0
    return 0  # not made yet


def until(found: Callable[[], T | None]) -> T:
    """What `found` says, once it says something."""
    end = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return value
