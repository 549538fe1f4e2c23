"""The intake: what is durable, and what the runner need not read from the file."""

import asyncio
from pathlib import Path

import pytest

from fanbell.infra import intake as module
from fanbell.infra.intake import Intake


def appended(intake: Intake, *sizes: int) -> None:
    for number, size in enumerate(sizes):
        asyncio.run(intake.append([bytes([number]) * size]))


def test_what_was_just_appended_is_in_memory(tmp_path: Path) -> None:
    """
    Records that were made durable are handed over in order from wherever the reader is, and then let go.
    """
    intake = Intake(str(tmp_path / "intake.db"), lambda: None)
    appended(intake, 3, 3, 3, 3)

    assert [record.offset for record in intake.recent(1, 2)] == [1, 2]
    assert [record.offset for record in intake.recent(2, 10)] == [2, 3]
    assert intake.recent(0, 10) == []  # let go: the file has it
    assert intake.recent(4, 10) == []
    intake.stop()
    intake.close()


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of what a slow reader has not taken, the newest stays in memory; the reader is sent to the file.
    """
    monkeypatch.setattr(module, "RECENT_BYTES_MAX", 10)
    intake = Intake(str(tmp_path / "intake.db"), lambda: None)
    appended(intake, 4, 4, 4)

    assert intake.recent(0, 10) == []
    assert [record.offset for record in intake.recent(1, 10)] == [1, 2]
    intake.stop()
    intake.close()
