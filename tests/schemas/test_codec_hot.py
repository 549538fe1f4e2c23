"""The encoders written by hand give the same bytes as fastavro."""

from hypothesis import given
from hypothesis import strategies as st

from fanbell.schemas import codec
from fanbell.schemas.records import Ask, Audience, Content, Outcome, Silenced, Update

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


def numbers_of(record: Outcome | Update) -> bytes:
    return b"".join(map(codec.zigzag, (record.n, record.index, record.prev_n, record.prev_index, record.seq)))


@given(contents)
def test_a_content_is_the_same_by_hand(content: Content) -> None:
    """
    What stage 1 writes by hand is what fastavro writes.
    """
    assert codec.content_bytes(content) == codec.encode_body(content)


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
    assert codec.ask_bytes(ask) == codec.encode_body(ask)


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
    data = codec.outcome_bytes(numbers_of(outcome), outcome.id, outcome.heard, outcome.silenced)
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
    assert codec.update_bytes(
        numbers_of(update), update, [codec.pack(name) for name in update.recipients]
    ) == codec.encode(update)
