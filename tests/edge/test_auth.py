import asyncio
import time
from typing import Any

import jwt
import pytest

from fanbell.edge.auth import (
    ANYBODY,
    LEEWAY_S,
    Auth,
    BadSecret,
    Caller,
    Rules,
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


def caller_of(auth: Auth, authorization: str | None) -> Caller:
    return asyncio.run(auth.caller(authorization))


def forged(
    secret: str = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any
) -> str:
    full = {"sub": "ana", "roles": ["user"], "exp": int(time.time()) + 86_400, **claims}
    return jwt.encode(
        {k: v for k, v in full.items() if v is not None}, secret, algorithm=algorithm, headers=headers
    )


def test_token_names_user_and_roles() -> None:
    """
    A token made with the secret names its user and roles.
    """
    caller = caller_of(Auth((SECRET,)), header(make_token(SECRET, "ana", ["user", "producer"], 60)))

    assert ("ana", frozenset({"user", "producer"})) == (caller.user, caller.roles)


def test_a_token_counts_until_its_end_and_the_leeway() -> None:
    """
    A caller knows how long the token is good: as long as it would be accepted, never less than nothing.
    """
    caller = caller_of(Auth((SECRET,)), header(forged(exp=9_000_000_000)))

    assert caller.left_s(9_000_000_000 - 60) == 60 + LEEWAY_S
    assert caller.left_s(9_000_000_000 + 60) == 0
    assert caller_of(Auth(), None).left_s(time.time()) == float("inf")


def test_leeway_forgives_clocks() -> None:
    """
    A token counts a little before its beginning and after its end, as much as the setting says and no more.
    """
    now_s = int(time.time())
    late, early = forged(exp=now_s - 100), forged(nbf=now_s + 100)
    lenient = Auth((SECRET,), rules=Rules(leeway_s=200))

    for token, why in ((late, "expired"), (early, "not valid yet")):
        assert caller_of(lenient, header(token)).user == "ana"
        with pytest.raises(Unauthorized, match=why):
            caller_of(Auth((SECRET,)), header(token))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "inbox", "iss": "https://id.example"}, None),
        ({"aud": ["shop", "inbox"], "iss": "https://id.example"}, None),
        ({"aud": "shop", "iss": "https://id.example"}, "another service"),
        ({"aud": [], "iss": "https://id.example"}, "no audience"),
        ({"aud": {"inbox": 1}, "iss": "https://id.example"}, "another service"),
        ({"iss": "https://id.example"}, "no audience"),
        ({"aud": "inbox"}, "no issuer"),
        ({"aud": "inbox", "iss": "https://id.example.evil"}, "issuer that does not count"),
    ],
)
def test_audience_and_issuer(claims: dict[str, Any], why: str | None) -> None:
    """
    Where settings name services and issuers, a token must be for one and of one, whoever signed it.
    """
    auth = Auth((SECRET,), rules=Rules(audience=("inbox", "other"), issuer=("https://id.example",)))
    if why is None:
        assert caller_of(auth, header(forged(**claims))).user == "ana"
        return
    with pytest.raises(Unauthorized, match=why):
        caller_of(auth, header(forged(**claims)))


def test_tokens_that_we_make_are_for_us() -> None:
    """
    A token made here names the audience and the issuer that settings ask for.
    """
    auth = Auth((SECRET,), rules=Rules(audience=("inbox",), issuer=("us",)))

    assert caller_of(auth, header(make_token(SECRET, "ana", ["user"], 60, "inbox", "us"))).user == "ana"


def test_both_secrets_count_while_rotating() -> None:
    """
    Tokens of the current secret and of the one before it are good, those of any other are not.
    """
    auth = Auth((OTHER, SECRET))

    assert caller_of(auth, header(forged(SECRET))).user == "ana"
    assert caller_of(auth, header(forged(OTHER))).user == "ana"
    with pytest.raises(Unauthorized, match="not valid"):
        caller_of(auth, header(forged("a third secret which nobody told to us")))


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (forged(exp=int(time.time()) - 60), "expired"),
        (forged(exp=None), "no expiry"),
        (forged(exp="soon"), "not valid"),
        (forged(exp=float("inf")), "not valid"),
        (forged(exp=float("nan")), "not valid"),
        (forged(nbf=int(time.time()) + 86_400), "not valid yet"),
        (forged(headers={"crit": ["b64"], "b64": True}), "not valid"),
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
        caller_of(Auth((SECRET,)), header(token))


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer  ", "Basic YTpi", "ana"])
def test_header_without_a_token_is_refused(value: str | None) -> None:
    """
    With a secret set, a request without a token is nobody's.
    """
    with pytest.raises(Unauthorized):
        caller_of(Auth((SECRET,)), value)


def test_refusals_do_not_repeat_the_token() -> None:
    """
    What is told of a bad token does not contain it.
    """
    token = forged("a third secret which nobody told to us")

    with pytest.raises(Unauthorized) as refusal:
        caller_of(Auth((SECRET,)), header(token))

    assert token.split(".")[2] not in str(refusal.value)


def test_without_a_secret_everybody_may_do_everything() -> None:
    """
    Without a secret no token is looked at, and nobody counts as the operator by name.
    """
    caller = caller_of(Auth(), "Bearer whatever")

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
    Without tokens the server refuses to listen to the network; with a secret or a provider's keys it does not mind.
    """
    with pytest.raises(UnsafeBind, match="FANBELL_TOKEN_SECRET"):
        check_bind("0.0.0.0", ())
    check_bind("0.0.0.0", (SECRET,))
    check_bind("0.0.0.0", (), "https://id.example/keys")
    check_bind("127.0.0.1", ())
