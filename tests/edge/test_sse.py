"""Frames as events, and the wire's own bounds."""

import json

import pytest

from fanbell.edge import frames
from fanbell.edge.close_codes import BY_NAME
from fanbell.edge.ports import WRITE_BUFFER_BYTES
from fanbell.edge.sse import HttpWire, closing, event_of


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_headers_of_frames_come_off(size: int) -> None:
    """
    Frames of every length, one behind the other, give back what they were made of.
    """
    said = [b"x" * size, b"y", b"z" * size]

    assert list(frames.payloads(b"".join(map(frames.wire, said)))) == said


def test_an_event_has_the_frames_type_and_cursor() -> None:
    """
    An event is named as its frame is, and carries the frame's own cursor, never an item's.
    """
    with_cursor = b'{"type":"notification","item":{"cursor":"inner"},"cursor":"outer"}'
    without = b'{"type":"state","items":[{"cursor":"inner"}]}'
    unknown = b'{"type":"hello","cursor":null}'

    assert event_of(with_cursor) == b"id: outer\nevent: notification\ndata: " + with_cursor + b"\n\n"
    assert event_of(without) == b"event: state\ndata: " + without + b"\n\n"
    assert event_of(unknown) == b"event: hello\ndata: " + unknown + b"\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\r", "\u2028", "data: x\n\nevent: y"])
def test_what_people_write_ends_no_event(text: str) -> None:
    """
    Line ends in texts do not end an event, nor begin another.
    """
    (payload,) = frames.payloads(frames.framed({"type": "wish", "text": text}).data)
    event = event_of(payload)

    assert event.count(b"\n") == 3
    assert b"\r" not in event
    assert json.loads(event.split(b"data: ", 1)[1])["text"] == text


def test_the_last_event_says_what_to_do() -> None:
    """
    The end comes with its row of the table of close codes.
    """
    row = BY_NAME["resume"]
    said = json.loads(closing(row).removeprefix(b"event: close\ndata: "))

    assert said == {"code": 4500, "reason": row.reason, "comes_back": True, "after_ms": 0}


def test_a_wire_is_paused_by_what_waits() -> None:
    """
    Past its bound a wire takes no more, so that frames wait where they are counted.
    """
    wire = HttpWire(lambda: None)
    frame = frames.framed({"type": "wish", "text": "x" * 1_000}).data
    put = 0
    while not wire.paused:
        wire.put_out(frame)
        put += len(frame)

    assert WRITE_BUFFER_BYTES <= put + 2_000 <= WRITE_BUFFER_BYTES + 4_000
