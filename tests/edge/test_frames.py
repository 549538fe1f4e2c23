"""JSON in and out of a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as WebsocketsFrame
from websockets.frames import Opcode

from fanbell.edge import frames
from fanbell.edge.frames import Connect, Malformed, Marks, Ping, Token, UnknownType, parse, wire


def said(**fields: object) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_frames_are_as_websockets_makes_them(size: int) -> None:
    """
    The bytes that all recipients share are those that the WebSocket library would have sent.
    """
    payload = b"x" * size

    assert wire(payload) == WebsocketsFrame(Opcode.TEXT, payload).serialize(mask=False)


def test_a_connect_frame_is_understood() -> None:
    """
    A client says who it is, and up to where it has heard.
    """
    assert parse(said(type="connect", user="ana", token="t", cursor="c")) == Connect("ana", "t", "c", None)
    assert parse(said(type="connect", token="t")) == Connect(None, "t")


def test_a_new_token_is_understood() -> None:
    """
    A client that goes on with a new token says it, with a ref if it wants to know what became of it.
    """
    assert parse(said(type="token", token="t", ref="1")) == Token("t", "1")


def test_marks_and_pings_are_understood() -> None:
    """
    Marks name ids, with the cursors they were shown with or without, or everything up to a cursor.
    """
    assert parse(said(type="read", ids=["a"], cursors=["c"])) == Marks("read", ["a"], ["c"])
    assert parse(said(type="archive", up_to="c", ref="1")) == Marks("archive", up_to="c", ref="1")
    assert parse(said(type="ping")) == Ping()


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "[]", '"connect"', "{}", '{"type":1}', '{"type":"ping","type":"ping"}', '{"type":"ping","ref":1}',
        '{"type":"connect","user":7}', '{"type":"connect","user":""}',
        '{"type":"token"}', '{"type":"token","token":""}', '{"type":"token","token":7}',
        '{"type":"token","token":"%s"}' % ("x" * 8_193), '{"type":"token","token":"t","ref":7}',
        '{"type":"connect","user":"\\u0000"}',
        '{"type":"connect","user":"\\ud800"}', '{"type":"connect","user":"ana","token":7}',
        '{"type":"read"}', '{"type":"read","ids":[]}', '{"type":"read","ids":"a"}', '{"type":"read","ids":[1]}',
        '{"type":"read","ids":["a"],"up_to":"c"}', '{"type":"read","ids":["a"],"cursors":[]}',
        '{"type":"read","ids":["a"],"cursors":[1]}', '{"type":"read","up_to":1}', '{"type":"ping","x":NaN}',
    ],
)  # fmt: skip
def test_malformed_frames_are_refused(text: str) -> None:
    """
    A frame that is not what its type asks for is refused, never guessed at.
    """
    with pytest.raises(Malformed):
        parse(text)


def test_binary_frames_are_refused() -> None:
    """
    Frames are text.
    """
    with pytest.raises(Malformed):
        parse(b'{"type":"ping"}')


def test_unknown_types_are_told_apart() -> None:
    """
    A type of a later client is not the same fault as nonsense.
    """
    with pytest.raises(UnknownType):
        parse(said(type="typing"))


@given(
    st.text(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps)
)
def test_anything_is_understood_or_refused(text: str) -> None:
    """
    No text makes the parser fail otherwise than by its two refusals.
    """
    try:
        parse(text)
    except (Malformed, UnknownType):
        return


def test_the_cursor_comes_with_the_last_of_many_states() -> None:
    """
    Who is cut off between two parts of one mark's states resumes before it.
    """
    told = [json.loads(frame.data[4:]) for frame in frames.states([{"id": "x" * 200}] * 5, "c", 7, 2)]

    assert [len(message["items"]) for message in told] == [2, 2, 1]
    assert [message.get("cursor") for message in told] == [None, None, "c"]
