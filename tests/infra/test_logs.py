import json
import sys

import pytest
import structlog

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
