import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.edge.cursor import SEQ_MAX, BadCursor, ForeignCursor, decode_cursor, encode_cursor


@given(seq=st.integers(0, SEQ_MAX), epoch=st.text(max_size=40))
def test_round_trip(seq: int, epoch: str) -> None:
    """
    A cursor names the seq it was made of, in the log it was made for, and needs no escaping in a URL.
    """
    text = encode_cursor(epoch, seq)

    assert seq == decode_cursor(text, epoch)
    assert text.replace("-", "").replace("_", "").isalnum()


def test_cursor_of_another_log_is_told_apart() -> None:
    """
    A cursor of a log that was replaced is refused as such, not taken for a place in the new one.
    """
    with pytest.raises(ForeignCursor, match="another log"):
        decode_cursor(encode_cursor("old", 7), "new")


@given(text=st.text(max_size=60))
def test_anything_else_is_no_cursor(text: str) -> None:
    """
    Whatever somebody makes up is refused in words, never with another error.
    """
    with pytest.raises(BadCursor):
        decode_cursor(text, "epoch")


def test_seq_beyond_an_avro_long_is_refused() -> None:
    """
    A forged cursor cannot name a seq that the log could not write.
    """
    forged = encode_cursor("e", SEQ_MAX + 1)

    with pytest.raises(BadCursor):
        decode_cursor(forged, "e")
