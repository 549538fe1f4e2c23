"""Records written and read by hand: the same bytes and the same values as fastavro's."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fanbell.schemas import by_hand, codec
from fanbell.schemas.codec import Undecodable
from fanbell.schemas.records import (
    Ask,
    Audience,
    Command,
    Content,
    Mark,
    Notice,
    Outcome,
    Retraction,
    Silenced,
    Update,
    Wish,
)
from tests.schemas.records import of_class

texts = st.text(max_size=300).filter(lambda text: "\ud800" not in text and text.isprintable())
longs = st.integers(-(1 << 62), 1 << 62)
optional = st.none() | texts
contents = st.builds(
    Content,
    texts,
    texts,
    texts,
    texts,
    optional,
    optional,
    optional,
    st.none() | st.binary(max_size=300),
    optional,
    longs,
    st.none() | longs,
)
audiences = st.builds(Audience, texts, optional, st.lists(texts, max_size=3))


def numbers_of(record: Notice | Outcome | Update) -> bytes:
    return b"".join(map(codec.zigzag, (record.n, record.index, record.prev_n, record.prev_index, record.seq)))


@given(contents)
def test_a_content_is_the_same_by_hand(content: Content) -> None:
    """
    What stage 1 writes by hand is what fastavro writes.
    """
    assert by_hand.content_bytes(content) == codec.encode_body(content)


@given(
    st.builds(
        Ask,
        st.integers(0, 1 << 30),
        longs,
        st.sampled_from(["announce", "undo", "retract", "drop", "change"]),
        optional,
        st.binary(max_size=50),
        st.lists(audiences, max_size=3),
    )
)
def test_an_ask_is_the_same_by_hand(ask: Ask) -> None:
    """
    A command's question is the same bytes by hand and by fastavro.
    """
    assert by_hand.ask_bytes(ask) == codec.encode_body(ask)


@given(
    st.builds(
        Outcome,
        longs,
        st.integers(0, 99),
        longs,
        st.integers(-1, 99),
        longs,
        texts,
        st.integers(0, 1 << 30),
        st.lists(st.builds(Silenced, texts, st.integers(0, 1 << 30)), max_size=3),
    )
)
def test_an_outcome_is_the_same_by_hand(outcome: Outcome) -> None:
    """
    An outcome is the same bytes by hand and by fastavro.
    """
    data = by_hand.outcome_bytes(numbers_of(outcome), outcome.id, outcome.heard, outcome.silenced)
    assert data == codec.encode(outcome)


@given(
    st.builds(
        Update, longs, st.integers(0, 99), longs, st.integers(-1, 99), longs, texts, texts, longs, longs, st.booleans(),
        st.integers(0, 1 << 30), st.lists(texts, max_size=3), longs, st.binary(max_size=50),
        st.lists(texts, min_size=1, max_size=4),
    )
)  # fmt: skip
def test_an_update_is_the_same_by_hand(update: Update) -> None:
    """
    A group's update is the same bytes by hand and by fastavro.
    """
    assert by_hand.update_bytes(
        numbers_of(update), update, by_hand.recipients_bytes([codec.pack(name) for name in update.recipients])
    ) == codec.encode(update)


@given(record=st.one_of(of_class(Notice), of_class(Update)), recipients=st.lists(texts, max_size=130))
def test_recipients_put_in_are_recipients_encoded(record: Any, recipients: list[str]) -> None:
    """
    Packed names put into a record without recipients give the bytes of the record with them.
    """
    bare = codec.encode(replace(record, recipients=[]))

    found = by_hand.with_recipients(bare, [codec.pack(name) for name in recipients])

    assert found == codec.encode(replace(record, recipients=recipients))


@given(notice=of_class(Notice), recipients=st.lists(texts, min_size=1, max_size=130))
def test_a_notice_is_the_same_by_hand(notice: Notice, recipients: list[str]) -> None:
    """
    A notice joined from parts has the bytes of a notice encoded.
    """
    reason, content = codec.pack(notice.reason), by_hand.packed_bytes(notice.content)
    packed = by_hand.recipients_bytes([codec.pack(name) for name in recipients])

    data = by_hand.notice_bytes(numbers_of(notice), reason, content, packed)

    assert data == codec.encode(replace(notice, recipients=recipients))


@given(command=of_class(Command))
def test_a_command_is_the_same_by_hand(command: Command) -> None:
    """
    A command joined from parts has the bytes of a command encoded, and is taken apart again.
    """
    numbers = [command.source, command.n, command.index, command.prev_n, command.prev_index]
    ask = codec.encode_body(command.ask)

    data = by_hand.command_bytes(b"".join(map(codec.zigzag, numbers)), ask)

    assert data == codec.encode(command)
    at, read = codec.HEADER_BYTES, []
    for _ in numbers:
        number, at = codec.long_at(data, at)
        read.append(number)
    assert (read, data[at:]) == (numbers, ask)
    assert codec.ask_of(ask) == command.ask


@given(st.one_of(of_class(cls) for cls in (Notice, Update, Outcome, Wish, Mark, Retraction)))
def test_what_was_told_is_read_the_same_by_hand(record: Any) -> None:
    """
    Every record of `notices` comes out as fastavro reads it.
    """
    assert by_hand.told_of(codec.encode(record)) == record


@settings(max_examples=500, deadline=None)
@given(st.one_of(of_class(cls) for cls in (Notice, Update, Outcome)), st.data())
def test_damaged_bytes_are_refused_by_hand_as_by_fastavro(record: Any, data: st.DataObject) -> None:
    """
    Cut, stretched or with a byte changed: refused, or read as fastavro reads it.
    """
    value = bytearray(codec.encode(record))
    what = data.draw(st.sampled_from(["cut", "stretch", "change"]))
    at = data.draw(st.integers(codec.HEADER_BYTES, len(value) - 1))
    if what == "change":
        value[at] = data.draw(st.integers(0, 255))
    damaged = bytes(value[:at] if what == "cut" else value + b"\0" if what == "stretch" else value)
    try:
        expected = codec.decode(damaged)
    except Undecodable:
        with pytest.raises(Undecodable):
            by_hand.told_of(damaged)
    else:
        assert by_hand.told_of(damaged) == expected
