"""`fanbell load`: history into a folder, and what keeps it out."""

import json
from pathlib import Path

from fanbell.infra.cli.exits import Exit
from fanbell.infra.lock import FolderLock
from tests.infra.conftest import Run
from tests.infra.up_process import fanbell_up

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
    Ids make it safe to load a file twice.
    """
    file, data = written(tmp_path), str(tmp_path / "data")
    fanbell("load", file, "--data", data)

    again = fanbell("load", file, "--data", data, "--json")

    assert again.code == Exit.OK
    assert again.json["notifications"] == 0


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
