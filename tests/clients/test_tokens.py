"""What a client reads out of its token."""

import pytest

from fanbell.clients.tokens import Identity, claims_of
from fanbell.edge.auth import make_token

SECRET = "a secret of at least thirty-two bytes"


async def no_token() -> str:
    raise AssertionError("not asked for")


@pytest.mark.parametrize("text", [None, "", "x", "x.y.z", "x.W10.z"])
def test_what_is_no_token_says_nothing(text: str | None) -> None:
    """
    Any string is passed on as a token; one that is none names nobody.
    """
    assert claims_of(text) == {}


def test_a_token_says_whose_it_is() -> None:
    """
    The inbox is that of whom the token names, unless another is asked for.
    """
    token = make_token(SECRET, "ana", ["user"], 60)

    assert Identity(None, token, None).user == "ana"
    assert Identity("bob", token, None).user == "bob"


@pytest.mark.parametrize(("life_s", "least_s", "most_s"), [(3_600, 3_500, 3_540), (50, 30, 40)])
def test_a_new_token_is_asked_for_in_time(life_s: int, least_s: float, most_s: float) -> None:
    """
    A minute before the end; of a short-lived token, when a fifth of its life is left.
    """
    in_s = Identity(None, make_token(SECRET, "ana", ["user"], life_s), no_token).renews_in_s()

    assert in_s is not None
    assert least_s <= in_s <= most_s


def test_without_a_source_or_a_life_there_is_no_next_token() -> None:
    """
    Nobody is asked for a token before the one at hand is refused, if that cannot be foreseen.
    """
    assert Identity(None, make_token(SECRET, "ana", ["user"], 60), None).renews_in_s() is None
    assert Identity("ana", "opaque", no_token).renews_in_s() is None
    assert Identity(None, make_token(SECRET, "ana", ["user"], 1), no_token).renews_in_s() is None
