import time
from typing import Any

import jwt
import pytest

from fanbell.edge.auth import (
    ANYBODY,
    Auth,
    BadSecret,
    Caller,
    Unauthorized,
    UnsafeBind,
    check_bind,
    is_loopback,
    make_token,
)

SECRET = "a secret of at least thirty-two bytes"
OTHER = "another secret, also of thirty-two bytes"


def header(token: str) -> str:
    return f"Bearer {token}"


def forged(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    full = {"sub": "ana", "roles": ["user"], "exp": int(time.time()) + 86_400, **claims}
    return jwt.encode({k: v for k, v in full.items() if v is not None}, secret, algorithm=algorithm)


def test_token_names_user_and_roles() -> None:
    """
    A token made with the secret names its user and roles.
    """
    caller = Auth((SECRET,)).caller(header(make_token(SECRET, "ana", ["user", "producer"], 60)))

    assert Caller(user="ana", roles=frozenset({"user", "producer"})) == caller


def test_both_secrets_count_while_rotating() -> None:
    """
    Tokens of the current secret and of the one before it are good, those of any other are not.
    """
    auth = Auth((OTHER, SECRET))

    assert auth.caller(header(forged(SECRET))).user == "ana"
    assert auth.caller(header(forged(OTHER))).user == "ana"
    with pytest.raises(Unauthorized, match="not valid"):
        auth.caller(header(forged("a third secret which nobody told to us")))


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (forged(exp=int(time.time()) - 60), "expired"),
        (forged(exp=None), "no expiry"),
        (forged(exp="soon"), "not valid"),
        (forged(SECRET * 2, algorithm="HS512"), "not valid"),
        (jwt.encode({"sub": "ana", "roles": ["user"], "exp": 9e9}, "", algorithm="none"), "not valid"),
        (forged(roles=None), "roles"),
        (forged(roles=[]), "roles"),
        (forged(roles=["king"]), "roles"),
        (forged(roles=[["user"]]), "roles"),
        (forged(roles="user"), "roles"),
        (forged(sub=None), "no user"),
        (forged(sub=""), "no user"),
        (forged(sub="a\x00b"), "no user"),
        ("not.a.token", "not valid"),
        ("x" * 10_000, "too long"),
    ],
)
def test_bad_tokens_are_refused(token: str, why: str) -> None:
    """
    A token that is expired, endless, unsigned, differently signed or incomplete speaks for nobody.
    """
    with pytest.raises(Unauthorized, match=why):
        Auth((SECRET,)).caller(header(token))


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer  ", "Basic YTpi", "ana"])
def test_header_without_a_token_is_refused(value: str | None) -> None:
    """
    With a secret set, a request without a token is nobody's.
    """
    with pytest.raises(Unauthorized):
        Auth((SECRET,)).caller(value)


def test_refusals_do_not_repeat_the_token() -> None:
    """
    What is told of a bad token does not contain it.
    """
    token = forged("a third secret which nobody told to us")

    with pytest.raises(Unauthorized) as refusal:
        Auth((SECRET,)).caller(header(token))

    assert token.split(".")[2] not in str(refusal.value)


def test_without_a_secret_everybody_may_do_everything() -> None:
    """
    Without a secret no token is looked at, and nobody counts as the operator by name.
    """
    caller = Auth().caller("Bearer whatever")

    assert caller == ANYBODY
    assert caller.may_reach("ana")
    assert caller.may_act_for("ana")
    assert not caller.deletes_as_operator


@pytest.mark.parametrize(
    ("roles", "reaches_own", "reaches_others", "acts_as_own", "acts_for_others"),
    [
        ({"user"}, True, False, True, False),
        ({"producer"}, False, False, True, True),
        ({"user", "producer"}, True, False, True, True),
        ({"operator"}, True, True, True, True),
    ],
)
def test_what_roles_may(
    roles: set[str], reaches_own: bool, reaches_others: bool, acts_as_own: bool, acts_for_others: bool
) -> None:
    """
    Users reach and do what is their own, producers act for anybody and read nobody, operators do everything.
    """
    caller = Caller(user="ana", roles=frozenset(roles))

    assert (reaches_own, reaches_others) == (caller.may_reach("ana"), caller.may_reach("ben"))
    assert (acts_as_own, acts_for_others) == (caller.may_act_for("ana"), caller.may_act_for("ben"))


def test_short_secret_is_refused() -> None:
    """
    A secret that could be guessed is not taken, and the message tells how to make one.
    """
    with pytest.raises(BadSecret, match="at least 32 bytes"):
        Auth(("hunter2",))


@pytest.mark.parametrize(
    ("user", "roles", "ttl_s"),
    [("", ["user"], 1), ("ana", [], 1), ("ana", ["king"], 1), ("ana", ["user"], 0)],
)
def test_tokens_that_could_not_be_used_are_not_made(user: str, roles: list[str], ttl_s: int) -> None:
    """
    A token for nobody, without a known role or already over is an error where it is made.
    """
    with pytest.raises(ValueError, match=r"must|roles"):
        make_token(SECRET, user, roles, ttl_s)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True),
        ("[::1]", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False),
        ("localhost.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    """
    Loopback is what only this machine reaches; names other than localhost are not trusted to be it.
    """
    assert loopback == is_loopback(host)


def test_open_server_binds_loopback_only() -> None:
    """
    Without a token secret the server refuses to listen to the network; with one it does not mind.
    """
    with pytest.raises(UnsafeBind, match="FANBELL_TOKEN_SECRET"):
        check_bind("0.0.0.0", ())
    check_bind("0.0.0.0", (SECRET,))
    check_bind("127.0.0.1", ())
