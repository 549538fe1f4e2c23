import json
import logging
import sys
from types import SimpleNamespace

import pytest
import structlog

from fanbell.infra import logs
from fanbell.infra.logs import configure


def test_json_lines_when_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A log line is one JSON object on stderr when that is not a terminal.
    """
    configure()
    structlog.get_logger("fanbell").info("listening", port=8787)
    line = json.loads(capsys.readouterr().err)

    assert (line["event"], line["level"], line["port"]) == ("listening", "info", 8787)


@pytest.mark.parametrize("as_json", [True, False])
def test_tracebacks_show_no_values(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A logged error shows where it happened, and none of the values that were there.
    """
    configure(as_json)
    try:
        secret_thing = "a " + "token"
        raise ValueError(len(secret_thing))
    except ValueError as error:
        structlog.get_logger("fanbell").error("failed", exc_info=error)
    told = capsys.readouterr().err

    assert "ValueError" in told
    assert "a token" not in told


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever logs goes on where the log has no room, so that a full disk is outlived.
    """
    full = open("/dev/full", "w", buffering=1)  # noqa: SIM115 - closing it fails too
    monkeypatch.setattr(sys, "stderr", full)
    configure()

    for _ in range(100):
        structlog.get_logger("fanbell").error("failed", why="x" * 1_000)

    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_what_libraries_log_is_a_line_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A library's warning is one JSON line; said again and again, it is counted and written once in a while.
    """
    now_s = 1_000.0
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now_s))
    logs.configure(json=True)
    logs.configure(json=True)  # replaces: nothing is written twice
    library = logging.getLogger("a.library")
    for node in range(5):
        library.warning("cannot reach node %s", node)
    library.info("of no interest")
    now_s += logs.REPEAT_S
    try:
        raise OSError("gone")
    except OSError:
        library.exception("cannot reach node %s", 7)

    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert (first["event"], first["library"], first["said"]) == (
        "library",
        "a.library",
        "cannot reach node 0",
    )
    assert (second["said"], second["left_out"], second["level"]) == ("cannot reach node 7", 4, "error")
    assert second["exception"][0]["exc_type"] == "OSError"
