"""The keys of an identity provider: a JSON Web Key Set at a URL, kept at hand.

Keys are fetched when they are first needed, again in the background once they are older than `refresh_s`, and at
once, but at most every `AGAIN_S`, when a token names a key (`kid`) that is not among them: so a provider may change
its keys at any time. One fetch at a time, for all who wait. While the URL does not answer, or answers nonsense, the
keys there are stay in use until they are `keep_s` old.

A key is good for one algorithm: the one it names, else the usual one of its type. What a token says of its
algorithm never decides how its signature is checked. Symmetric and private keys are no keys here: whoever reads the
set could sign with them.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import DecodeError
from msgspec import json as msgspec_json

from fanbell.edge.addresses import is_loopback

SET_BYTES_MAX: Final = 256 * 1024  # sets of large providers have 10 KB, with certificates in them
KEYS_MAX: Final = 64  # large providers have a dozen
FETCH_S: Final = 5.0  # whoever connects waits for it; a provider answers in a tenth of that
AGAIN_S: Final = 10.0  # between two fetches: tokens of made-up keys must not become requests to the provider
REFRESH_S: Final = 600  # a key that was taken back is good for so much longer
KEEP_S: Final = 86_400  # a provider that is away for a day is seen by other means
RSA_BITS_MIN: Final = 2_048  # RFC 7518, section 3.3
RSA_BITS_MAX: Final = 8_192  # past it checking a signature takes milliseconds
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
FITS: Final[Mapping[tuple[object, object], tuple[str, ...]]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""Algorithms by (type, curve) of a key; the first is meant where a key names none."""
ALGORITHMS: Final = frozenset(name for names in FITS.values() for name in names)
log = structlog.get_logger("fanbell.jwks")


class BadJwksUrl(ValueError):
    """A URL that keys cannot be fetched from safely."""


class BadKeys(Exception):
    """What was fetched is no set of usable keys."""


class UnknownKey(Exception):
    """The token names a key that the provider does not have, or none; the message may be told to its sender."""


class KeysAway(Exception):
    """Keys cannot be fetched now, so nobody can tell whether a token counts."""

    def __init__(self) -> None:
        super().__init__("tokens cannot be checked now: the identity provider's keys cannot be fetched")


class Key(NamedTuple):
    """A public key, and the one algorithm it is good for."""

    kid: str | None
    algorithm: str
    key: Any


def parse_keys(body: bytes) -> tuple[Key, ...]:
    """The usable keys of a JSON Web Key Set; others are passed over. Raises BadKeys if there are none."""
    try:
        value = msgspec_json.decode(body)
    except (DecodeError, RecursionError):
        raise BadKeys("it is not JSON") from None
    given = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(given, list):
        raise BadKeys('it has no list "keys"')
    if len(given) > KEYS_MAX:
        raise BadKeys(f"it has more than {KEYS_MAX} keys")
    keys = tuple(key for one in given if (key := _usable(one)) is not None)
    if not keys:
        raise BadKeys("none of its keys can be used")
    return keys


def _usable(one: object) -> Key | None:
    if not isinstance(one, dict) or "d" in one or one.get("use", "sig") != "sig":
        return None
    operations = one.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    kid, curve = one.get("kid"), one.get("crv")
    if not isinstance(kid, str | None) or not isinstance(curve, str | None):
        return None
    fits = FITS.get((one.get("kty"), curve), ()) if isinstance(one.get("kty"), str) else ()
    algorithm = one.get("alg", fits[0] if fits else None)
    if algorithm not in fits:
        return None
    try:
        key = jwt.PyJWK(one, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        return None
    if isinstance(key, RSAPublicKey) and not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        return None
    return Key(kid, algorithm, key)


def check_url(url: str) -> str:
    """The host of `url`. Raises BadJwksUrl unless it is https, or http on this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise BadJwksUrl("token_jwks_url is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise BadJwksUrl("token_jwks_url must carry no user or password: keys are public")
    if not host or parts.scheme not in ("https", "http"):
        raise BadJwksUrl("token_jwks_url must be a URL such as https://id.example.org/keys")
    if parts.scheme == "http" and not is_loopback(host):
        raise BadJwksUrl(
            f"token_jwks_url must be https: whoever is between us and {host} could send own keys"
        )
    return host


class Jwks:
    """The key set at `url`. `clock`: seconds that never go back."""

    def __init__(
        self,
        url: str,
        refresh_s: float = REFRESH_S,
        keep_s: float = KEEP_S,
        again_s: float = AGAIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises BadJwksUrl."""
        self._url = url
        self._host = check_url(url)
        self._refresh_s = refresh_s
        self._keep_s = keep_s
        self._again_s = again_s
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = 0.0
        self._tried_at = float("-inf")
        self._failed = False
        """Whether the last fetch brought nothing, so that nobody knows what keys there are now."""
        self._fetching: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None
        self.fetches = 0
        """How often the provider was asked."""

    async def key(self, kid: str | None, algorithm: object) -> Key:
        """The key that a token with this `kid` is signed by; `algorithm` chooses among keys of one `kid`.

        Whoever checks the signature does so by the key's own algorithm. Raises UnknownKey, KeysAway.
        """
        age_s = self._clock() - self._fetched_at
        if age_s >= self._keep_s:
            self._keys = ()
        if not self._keys:
            await self.renew()
        elif age_s >= self._refresh_s:
            self._begin()
        found = self._find(kid, algorithm)
        if found is None and await self.renew():
            found = self._find(kid, algorithm)
        if found is not None:
            return found
        if self._failed or not self._keys:
            raise KeysAway
        raise UnknownKey("the token is signed by a key that does not count (kid)")

    async def renew(self) -> bool:
        """Wait for a fetch, if one may be made now or is under way; whether there was one. Never raises."""
        fetching = self._begin()
        if fetching is None:
            return False
        await asyncio.shield(fetching)  # others wait for it too
        return True

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _find(self, kid: str | None, algorithm: object) -> Key | None:
        if kid is None:
            if len(self._keys) > 1:
                raise UnknownKey("the token does not say which key it is signed by (kid)")
            return self._keys[0] if self._keys else None
        named = [key for key in self._keys if key.kid == kid]
        if not named and len(self._keys) == 1 and self._keys[0].kid is None:
            return self._keys[0]
        return next((key for key in named if key.algorithm == algorithm), named[0] if named else None)

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, begun now if one may be; else None."""
        if self._fetching is None and self._clock() - self._tried_at >= self._again_s:
            self._tried_at = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        import httpx  # a fifth of what `fanbell token` takes, and most servers have no provider

        self.fetches += 1
        try:
            keys = parse_keys(await self._fetch())
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, BadKeys) as error:
            self._failed = True
            why = str(error) or type(error).__name__
            log.warning("token keys cannot be fetched", host=self._host, error=why, keys_kept=len(self._keys))
        else:
            self._keys, self._fetched_at, self._failed = keys, self._clock(), False
            log.info("token keys fetched", host=self._host, keys=len(keys))
        finally:
            self._fetching = None

    async def _fetch(self) -> bytes:
        """The body at the URL. Raises httpx.HTTPError, OSError, TimeoutError, BadKeys."""
        import httpx

        # Uncompressed, and read as it comes: a small answer may unpack to one without end.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with asyncio.timeout(FETCH_S):
            if self._tls is None:  # reads the system's authorities from disk
                self._tls = await asyncio.to_thread(ssl.create_default_context)
            async with (
                httpx.AsyncClient(
                    verify=self._tls, timeout=FETCH_S, trust_env=not is_loopback(self._host)
                ) as client,
                client.stream("GET", self._url, headers=headers) as answer,
            ):
                if (
                    answer.status_code != 200
                ):  # redirects are not followed: what they lead to was named by nobody
                    raise BadKeys(f"status {answer.status_code}")
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > SET_BYTES_MAX:
                        raise BadKeys(f"it has more than {SET_BYTES_MAX} bytes")
        return bytes(body)
