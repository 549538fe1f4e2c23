from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.edge.http.asked import decoded


@given(text=st.text())
def test_what_was_encoded_comes_back(text: str) -> None:
    """
    Whatever text was percent-encoded comes back as it was.
    """
    assert text == decoded(quote(text, safe=""))


@given(text=st.text())
def test_utf8_may_stand_unencoded(text: str) -> None:
    """
    UTF-8 octets that a client did not encode mean the same.
    """
    octets = text.replace("%", "%25").encode().decode("latin-1")

    assert text == decoded(octets)


@pytest.mark.parametrize(
    "raw", ["%", "%2", "%zz", "a%", "%ff", "%c3", "%ed%a0%80", "%c0%af", "\xff", "%f4%90%80%80", "%2%35"]
)
def test_what_is_neither_is_refused(raw: str) -> None:
    """
    Half an escape, and octets that are no UTF-8 (overlong and surrogates included), are refused, never replaced.
    """
    with pytest.raises(ValueError, match=r"UTF-8|%"):
        decoded(raw)
