"""Whatever a test of the edge makes the server say, it is checked against the description of the protocol."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import pytest

from fanbell.edge import frames
from fanbell.edge.frames import Frame
from tests.edge.described import check_sent

MADE_UP: Final = ("test_frames.py", "test_sse.py")
"""Whose frames say what no inbox says."""


@pytest.fixture(autouse=True)
def frames_are_as_described(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every frame that is made is as docs/asyncapi.yaml says."""
    framed = frames.framed
    faults: list[AssertionError] = []

    def checked(message: Mapping[str, Any], *more: Any, **named: Any) -> Frame:
        try:
            check_sent(msgspec.json.decode(msgspec.json.encode(message)))
        except (
            AssertionError
        ) as fault:  # told at the end: here, a task of the server might be all that hears it
            faults.append(fault)
        return framed(message, *more, **named)

    if request.path.name not in MADE_UP:
        monkeypatch.setattr(frames, "framed", checked)
    yield
    assert faults == []
