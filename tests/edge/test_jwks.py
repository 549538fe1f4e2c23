"""Tokens of an identity provider: which keys count, for what, and what happens when the provider does not answer."""

import asyncio
import gzip
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from fanbell.edge import jwks as jwks_module
from fanbell.edge.auth import Auth, Caller, KeysAway, Rules, Unauthorized, make_token
from fanbell.edge.jwks import ALGORITHMS, KEYS_MAX, BadJwksUrl, BadKeys, Jwks, check_url, parse_keys
from tests.edge.identity_provider import RSA, Provider, SigningKey, provider

pytestmark = pytest.mark.anyio
SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Seconds that go on when a test says so."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Checked:
    """What checks tokens of a provider's keys, by a clock of the test's."""

    def __init__(self, url: str, secrets: tuple[str, ...] = (), **rules: Any) -> None:
        self.clock = Clock()
        self.keys = Jwks(url, refresh_s=600, keep_s=3_600, again_s=10, clock=self.clock)
        self.auth = Auth(secrets, self.keys, Rules(**rules))

    async def caller(self, token: str) -> Caller:
        return await self.auth.caller_of(token)

    async def why(self, token: str) -> str:
        """Why `token` does not count."""
        with pytest.raises(Unauthorized) as refused:
            await self.caller(token)
        return str(refused.value)


def unsigned(head: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = (json.dumps(head).encode(), json.dumps(claims).encode(), signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


# Which keys count, and for what


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"])
async def test_the_providers_algorithms(algorithm: str) -> None:
    """
    A token signed by one of the provider's keys speaks for its subject, as a user unless it says more.
    """
    key = SigningKey("k1", algorithm)
    with provider(key) as there:
        caller = await Checked(there.url).caller(key.token())

    assert (caller.user, caller.roles) == ("ana", {"user"})
    assert 3_500 < caller.left_s(time.time()) < 3_700


async def test_a_key_that_names_no_algorithm_has_the_usual_one() -> None:
    """
    Without "alg" an RSA key is for RS256, and for nothing else.
    """
    key, other = SigningKey("k1", "RS256"), SigningKey("k1", "PS256")
    del key.jwk["alg"]
    with provider(key) as there:
        checked = Checked(there.url)

        assert (await checked.caller(key.token())).user == "ana"
        assert "not valid" in await checked.why(other.token())


async def test_neither_kind_passes_for_the_other() -> None:
    """
    A public key is no secret to sign with, a secret is none for what names a key, and nothing goes without a signature.
    """
    key, claims = SigningKey("k1", "RS256"), {"sub": "ana", "roles": ["operator"], "exp": 9_000_000_000}
    public = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    by_public = unsigned_by(public, {"alg": "HS256", "kid": "k1"}, claims)
    by_secret = unsigned_by(SECRET.encode(), {"alg": "RS256", "kid": "k1"}, claims)
    with provider(key) as there:
        for secrets in ((), (SECRET,)):
            checked = Checked(there.url, secrets)
            for token in (
                by_public,
                by_secret,
                unsigned({"alg": "none", "kid": "k1"}, claims),
                unsigned({"alg": "None"}, claims),
                unsigned({"alg": "", "kid": "k1"}, claims),
                unsigned({"kid": "k1"}, claims),
                unsigned({"alg": ["RS256"], "kid": "k1"}, claims),
                unsigned({"alg": "RS256", "kid": ["k1"]}, claims),
                unsigned({"alg": "ES256", "kid": "k1"}, claims, b"\0" * 64),
            ):
                assert await checked.why(token)
            assert (await checked.caller(key.token())).roles == {"user"}


def unsigned_by(secret: bytes, head: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token whose signature is an HMAC by `secret`, whatever its head says."""
    body = unsigned(head, claims).rpartition(".")[0]
    signature = hmac.digest(secret, body.encode(), hashlib.sha256)
    return f"{body}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_keys_that_a_token_brings_are_not_looked_at() -> None:
    """
    A token that carries its own key, or says where to get it, is checked by the provider's all the same.
    """
    good, evil = SigningKey("k1"), SigningKey("k1")
    with provider(good) as there:
        checked = Checked(there.url)
        for head in ({"jwk": evil.jwk}, {"jku": there.url}, {"x5u": there.url}, {"crit": ["exp"], "exp": 1}):
            assert "not valid" in await checked.why(evil.token(head))


async def test_secret_and_provider_side_by_side() -> None:
    """
    Services go on with tokens of the shared secret while people come with the provider's; theirs name roles.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        checked = Checked(there.url, (SECRET,))

        assert (await checked.caller(key.token())).user == "ana"
        assert (await checked.caller(make_token(SECRET, "shop", ["producer"], 60))).roles == {"producer"}
        assert "roles" in await checked.why(
            jwt.encode({"sub": "ana", "exp": 9_000_000_000}, SECRET, algorithm="HS256")
        )


@pytest.mark.parametrize(
    "published",
    [
        {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"alg": "HS256"}, {"alg": "none"},
        {"alg": "RS256"}, {"alg": ["ES256"]}, {"kty": "oct", "k": "AAAA"}, {"kty": ["EC"]}, {"crv": "P-384"},
        {"crv": 7}, {"kid": 7}, {"x": "AAAA"}, {"y": 7}, {"d": "AAAA"}, {"kty": "RSA"}, {"x": ""},
    ],
)  # fmt: skip
async def test_keys_that_are_none_of_use(published: dict[str, Any]) -> None:
    """
    A key for encryption, a symmetric or private one, one of another algorithm than its type, a broken one: passed over.
    """
    good, bad = SigningKey("good"), SigningKey("bad")
    bad.jwk |= published

    keys = parse_keys(json.dumps({"keys": [bad.jwk, good.jwk, 7, None]}).encode())

    assert [key.kid for key in keys] == ["good"]
    assert {key.algorithm for key in keys} <= ALGORITHMS
    with pytest.raises(BadKeys, match="none of its keys"):
        parse_keys(json.dumps({"keys": [bad.jwk]}).encode())


def test_small_rsa_keys_do_not_count() -> None:
    """
    A key that could be broken by brute force signs nothing here.
    """
    small = rsa.generate_private_key(65_537, 1_024).public_key()
    with pytest.raises(BadKeys):
        parse_keys(json.dumps({"keys": [RSAAlgorithm.to_jwk(small, as_dict=True)]}).encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"\xff", b"[" * 200_000]
)
def test_sets_that_are_none(body: bytes) -> None:
    """
    What is no key set is refused as a whole.
    """
    with pytest.raises(BadKeys):
        parse_keys(body)


def test_a_set_has_a_bound() -> None:
    """
    A provider with very many keys is a mistake, or an attack.
    """
    key = SigningKey("k1").jwk
    with pytest.raises(BadKeys, match="more than"):
        parse_keys(json.dumps({"keys": [key] * (KEYS_MAX + 1)}).encode())
    assert len(parse_keys(json.dumps({"keys": [key] * KEYS_MAX}).encode())) == KEYS_MAX


async def test_which_key_it_is() -> None:
    """
    Among several keys a token must say which it is signed by; two algorithms may share a name; one key needs none.
    """
    first, second, sharing = SigningKey("k1"), SigningKey("k2"), SigningKey("k1", "EdDSA")
    nameless = SigningKey(None)
    with provider(first, second, sharing) as there:
        checked = Checked(there.url)
        for key in (first, second, sharing):
            assert (await checked.caller(key.token())).user == "ana"
        assert "not valid" in await checked.why(second.token({"kid": "k1"}))
        first.kid = None
        assert "(kid)" in await checked.why(first.token())
    with provider(nameless) as there:
        checked = Checked(there.url)
        assert (await checked.caller(nameless.token())).user == "ana"
        assert (await checked.caller(nameless.token({"kid": "anything"}))).user == "ana"
        assert "not valid" in await checked.why(SigningKey("k1").token())


# What the provider's tokens say


@pytest.mark.parametrize(
    ("rules", "claims", "roles"),
    [
        ({}, {}, {"user"}),
        ({}, {"roles": ["producer", "offline_access"]}, {"producer"}),
        ({}, {"roles": []}, None),
        ({}, {"roles": ["king"]}, None),
        ({}, {"roles": {"user": 1}}, None),
        ({}, {"roles": [["user"], 7]}, None),
        ({"default_role": "none"}, {}, None),
        ({"default_role": "none"}, {"roles": ["user"]}, {"user"}),
        ({"roles_claim": "realm_access.roles"}, {"realm_access": {"roles": ["operator"]}}, {"operator"}),
        ({"roles_claim": "realm_access.roles"}, {"realm_access": ["roles"], "roles": ["operator"]}, {"user"}),
        ({"roles_claim": "https://a.example/roles"}, {"https://a.example/roles": ["user"]}, {"user"}),
        ({"roles_claim": "scope"}, {"scope": "openid user producer"}, {"user", "producer"}),
    ],
)
async def test_roles_of_a_providers_token(
    rules: dict[str, Any], claims: dict[str, Any], roles: set[str] | None
) -> None:
    """
    Roles stand where the setting says, among others' roles; without that claim there is the default, or none.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        checked = Checked(there.url, **rules)
        if roles is None:
            assert "role" in await checked.why(key.token(**claims))
        else:
            assert (await checked.caller(key.token(**claims))).roles == roles


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "no expiry"),
        ({"nbf": 9_000_000_000}, "not valid yet"),
        ({"aud": "shop"}, "another service"),
        ({"aud": None}, "no audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"sub": ""}, "no user"),
        ({"sub": None}, "no user"),
    ],
)
async def test_claims_are_checked_for_a_providers_token_too(claims: dict[str, Any], why: str) -> None:
    """
    Expiry, beginning, audience, issuer and subject are looked at, whoever signed.
    """
    key = SigningKey("k1")
    good = {"aud": ["inbox"], "iss": "https://id.example"}
    with provider(key) as there:
        checked = Checked(there.url, audience=("inbox",), issuer=("https://id.example",))
        assert (await checked.caller(key.token(**good))).user == "ana"
        assert why in await checked.why(key.token(**{**good, **claims}))


# Fetching


async def test_many_callers_fetch_once() -> None:
    """
    Whoever comes while keys are being fetched waits for that fetch, and causes none of their own.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        checked = Checked(there.url)
        there.gate.clear()
        waiting = [asyncio.ensure_future(checked.caller(key.token())) for _ in range(50)]
        await until_asked(there, 1)
        there.gate.set()
        callers = await asyncio.gather(*waiting)

    assert {caller.user for caller in callers} == {"ana"}
    assert there.asked == 1


async def until_asked(there: Provider, times: int) -> None:
    async with asyncio.timeout(10):
        while there.asked < times:  # noqa: ASYNC110 - the server is a thread of its own
            await asyncio.sleep(0.002)


async def test_a_new_key_is_fetched_when_it_is_first_seen() -> None:
    """
    A provider changes its keys at any time: the first token of a new one causes a fetch, and old ones stop to count.
    """
    old, new = SigningKey("old"), SigningKey("new")
    with provider(old) as there:
        checked = Checked(there.url)
        await checked.caller(old.token())
        there.publish(new)
        checked.clock.now_s += 11

        assert (await checked.caller(new.token())).user == "ana"
        assert "does not count" in await checked.why(old.token())


async def test_made_up_keys_do_not_become_requests() -> None:
    """
    Tokens of keys that nobody has cause one fetch in a while, however many there are.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        checked = Checked(there.url)
        await checked.caller(key.token())
        checked.clock.now_s += 11
        for number in range(30):
            assert "does not count" in await checked.why(SigningKey(f"made-up-{number}").token())
        assert there.asked == 2
        checked.clock.now_s += 11
        await checked.why(SigningKey("again").token())
        assert there.asked == 3


async def test_keys_are_refreshed_without_making_anybody_wait() -> None:
    """
    Keys that have grown old are fetched again beside, while they go on counting; a key taken back then is gone.
    """
    kept, taken_back = SigningKey("kept"), SigningKey("taken back")
    with provider(kept, taken_back) as there:
        checked = Checked(there.url)
        await checked.caller(taken_back.token())
        there.publish(kept)
        checked.clock.now_s += 600
        there.gate.clear()
        assert (await checked.caller(taken_back.token())).user == "ana"
        await until_asked(there, 2)
        there.gate.set()
        await checked.keys.renew()

        assert "(kid)" in await checked.why(taken_back.token())
        assert (await checked.caller(kept.token())).user == "ana"


@pytest.mark.parametrize("trouble", ["away", "garbage", "error", "redirect", "huge", "unpacking"])
async def test_old_keys_count_while_there_are_no_others(trouble: str) -> None:
    """
    While the provider is away, or answers nonsense or without end, its last keys count up to an age, and no longer;
    tokens of keys not seen yet are not called bad meanwhile.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        checked = Checked(there.url)
        await checked.caller(key.token())
        good = there.body
        if trouble == "away":
            there.away()
        elif trouble == "garbage":
            there.body = b"<html>sign in</html>"
        elif trouble == "error":
            there.status = 500
        elif trouble == "redirect":
            there.status, there.headers = 302, {"Location": there.url}
        elif trouble == "huge":
            there.body = good + b" " * (jwks_module.SET_BYTES_MAX + 1)
        elif trouble == "unpacking":
            there.headers = {"Content-Encoding": "gzip"}
            there.body = gzip.compress(good + b" " * 50_000_000, 1)
        checked.clock.now_s += 3_000
        await checked.keys.renew()
        assert (await checked.caller(key.token())).user == "ana"
        checked.clock.now_s += 11
        with pytest.raises(KeysAway):
            await checked.caller(SigningKey("new").token())
        checked.clock.now_s += 600
        with pytest.raises(KeysAway):
            await checked.caller(key.token())
        if trouble != "away":
            there.status, there.body, there.headers = 200, good, {}
            checked.clock.now_s += 11
            assert (await checked.caller(key.token())).user == "ana"


async def test_a_slow_provider_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A provider that does not answer in time has not answered.
    """
    monkeypatch.setattr(jwks_module, "FETCH_S", 0.05)
    key = SigningKey("k1")
    with provider(key) as there:
        there.gate.clear()
        with pytest.raises(KeysAway):
            await Checked(there.url).caller(key.token())


async def test_the_first_keys_may_come_late() -> None:
    """
    A server may start before its provider: tokens are neither good nor bad until keys are there.
    """
    key = SigningKey("k1")
    with provider(key) as there:
        there.status = 503
        checked = Checked(there.url)
        await checked.auth.open()
        for _ in range(5):
            with pytest.raises(KeysAway):
                await checked.caller(key.token())
        assert there.asked == 1
        there.status = 200
        checked.clock.now_s += 11

        assert (await checked.caller(key.token())).user == "ana"


async def test_a_fetch_under_way_is_given_up_at_the_end() -> None:
    """
    A server that stops does not wait for its provider.
    """
    with provider(SigningKey("k1")) as there:
        checked = Checked(there.url)
        there.gate.clear()
        waiting = asyncio.ensure_future(checked.keys.renew())
        await until_asked(there, 1)
        await checked.auth.close()

        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://id.example/keys", "must be https"),
        ("http://127.0.0.1.example/keys", "must be https"),
        ("ftp://127.0.0.1/keys", "URL such as"),
        ("https:///keys", "URL such as"),
        ("id.example/keys", "URL such as"),
        ("https://ana:hunter2@id.example/keys", "no user or password"),
        ("https://id.example:port/keys", "not a URL"),
    ],
)
def test_keys_are_fetched_safely_or_not_at_all(url: str, why: str) -> None:
    """
    Whoever could change keys on their way could sign for anybody, so they come by https; on loopback nobody can.
    """
    with pytest.raises(BadJwksUrl, match=why) as refused:
        Jwks(url)

    assert "hunter2" not in str(refused.value)
    assert check_url("https://id.example/keys") == "id.example"
    assert check_url("http://[::1]:1/keys") == "::1"
