"""Who is calling: JSON Web Tokens, what they must say, and whom they speak for. Tokens are never logged.

A token is signed with a secret that we share (HS256), or by a key of an identity provider (`jwks.py`: RS256, ES256,
EdDSA and their larger kin). A secret is never tried on anything but HS256, and a provider's key on nothing but its
own algorithm, so neither can be passed off as the other. Claims: `exp` (required), `sub` (the user), `nbf`, `aud`
and `iss` where settings name them, and roles (`caller.py`).

Tokens of a shared secret name them in `roles`. Those of a provider name them where `token_roles_claim` says, among
roles of others, which are passed over; without such a claim they have `token_default_role`.

With neither secret nor provider everybody may do everything, which is why the server then binds loopback only
(`check_bind`).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import jwt
from msgspec import Struct

from fanbell.edge.addresses import LOOPBACK_NAMES, is_loopback
from fanbell.edge.caller import ANYBODY, ROLES, Caller
from fanbell.edge.jwks import Jwks, KeysAway, UnknownKey
from fanbell.schemas.parse import id_fault

__all__ = ["ANYBODY", "LOOPBACK_NAMES", "ROLES", "Caller", "KeysAway", "is_loopback"]

LEEWAY_S: Final = 5  # clocks of two machines differ so much, rarely more
SECRET_BYTES_MIN: Final = 32  # RFC 7518, section 3.2: a key for HS256 is at least as long as the hash
TOKEN_CHARS_MAX: Final = 8_192  # what common proxies allow one header
NOBODYS: Final = "none"  # of `token_default_role`: without a claim there is no role
_REFUSALS: Final[Sequence[tuple[type[jwt.PyJWTError], str]]] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another service (aud)"),
    (jwt.InvalidIssuerError, "the token is of an issuer that does not count here (iss)"),
)
_MISSING: Final = {"exp": "expiry", "aud": "audience", "iss": "issuer"}


class Unauthorized(Exception):
    """No token, or none that counts; the message may be told to whoever sent it."""


class BadSecret(ValueError):
    """A token secret that is too short to be one."""


class UnsafeBind(ValueError):
    """The server would be open to the network without tokens."""


class Rules(Struct, frozen=True):
    """What a token must say, beside who it is of and until when."""

    audience: Sequence[str] = ()
    """One of these must be among those the token is for; empty: it may be for anything."""
    issuer: Sequence[str] = ()
    """The token must be of one of these; empty: of any."""
    leeway_s: float = LEEWAY_S
    roles_claim: str = "roles"
    """Where a provider's tokens name roles: a claim, or a path of claims joined by dots."""
    default_role: str = "user"
    """Of a provider's tokens without that claim; `NOBODYS` refuses them."""


class AuthSettings(Protocol):
    """The settings that tokens are checked by; `infra.settings.Settings` has them all."""

    @property
    def secrets(self) -> Sequence[str]: ...
    @property
    def token_jwks_url(self) -> str: ...
    @property
    def token_jwks_refresh_s(self) -> float: ...
    @property
    def token_jwks_keep_s(self) -> float: ...
    @property
    def token_audience(self) -> Sequence[str]: ...
    @property
    def token_issuer(self) -> Sequence[str]: ...
    @property
    def token_leeway_s(self) -> float: ...
    @property
    def token_roles_claim(self) -> str: ...
    @property
    def token_default_role(self) -> str: ...


class Auth:
    """Checks tokens against up to two secrets (the current one and the one before it), and a provider's keys."""

    def __init__(
        self, secrets: Sequence[str] = (), keys: Jwks | None = None, rules: Rules | None = None
    ) -> None:
        """Raises BadSecret."""
        if len(secrets) > 2:
            raise BadSecret("at most two token secrets are used: the current one and the one before it")
        for secret in secrets:
            if len(secret.encode()) < SECRET_BYTES_MIN:
                raise BadSecret(
                    f"a token secret has at least {SECRET_BYTES_MIN} bytes; make one with: "
                    "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        self._secrets = tuple(secrets)
        self._keys = keys
        self._rules = rules or Rules()

    @classmethod
    def of(cls, settings: AuthSettings) -> "Auth":
        """As the settings say. Raises BadSecret, BadJwksUrl."""
        url = settings.token_jwks_url
        keys = Jwks(url, settings.token_jwks_refresh_s, settings.token_jwks_keep_s) if url else None
        rules = Rules(
            settings.token_audience,
            settings.token_issuer,
            settings.token_leeway_s,
            settings.token_roles_claim,
            settings.token_default_role,
        )
        return cls(settings.secrets, keys, rules)

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._secrets) or self._keys is not None

    async def open(self) -> None:
        """Have the provider's keys at hand, if it answers: a wrong URL shows in the log at the start."""
        if self._keys is not None:
            await self._keys.renew()

    async def close(self) -> None:
        """Give up what is under way."""
        if self._keys is not None:
            await self._keys.close()

    async def caller(self, authorization: str | None) -> Caller:
        """Who the value of an `Authorization` header speaks for. Raises Unauthorized, KeysAway."""
        if not self.required:
            return ANYBODY
        if not authorization:
            raise Unauthorized("a token is needed: Authorization: Bearer TOKEN")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the Authorization header must be: Bearer TOKEN")
        return await self.caller_of(token.strip())

    async def caller_of(self, token: str) -> Caller:
        """Who `token` speaks for. Where no token is needed, none is looked at.

        Waits only for keys that must be fetched, and not for longer than a fetch may take. Raises Unauthorized,
        KeysAway.
        """
        if not self.required:
            return ANYBODY
        if len(token) > TOKEN_CHARS_MAX:
            raise Unauthorized("the token is too long")
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthorized("the token is not valid") from None
        if "crit" in head:  # RFC 7515, section 4.1.11: whoever does not understand it refuses
            raise Unauthorized("the token is not valid")
        if head.get("alg") == "HS256":
            claims = self._by_secret(token)
            roles = _our_roles(claims)
        else:
            claims = await self._by_key(token, head)
            roles = self._provider_roles(claims)
        user = claims.get("sub")
        if id_fault(user) is not None:
            raise Unauthorized("the token names no user (sub)")
        return Caller(user=user, roles=roles, expires_at_s=float(int(claims["exp"])) + self._rules.leeway_s)

    def _by_secret(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            claims = self._claims(token, secret, "HS256")
            if claims is not None:
                return claims
        raise Unauthorized("the token is not valid")

    async def _by_key(self, token: str, head: Mapping[str, Any]) -> dict[str, Any]:
        if self._keys is None:
            raise Unauthorized("the token is not valid")
        try:
            key = await self._keys.key(head.get("kid"), head.get("alg"))
        except UnknownKey as error:
            raise Unauthorized(str(error)) from None
        claims = self._claims(token, key.key, key.algorithm)
        if claims is None:
            raise Unauthorized("the token is not valid")
        return claims

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
        """What `token` says; None if its signature is not by `key`. Raises Unauthorized."""
        rules = self._rules
        required = ["exp", *(["aud"] if rules.audience else []), *(["iss"] if rules.issuer else [])]
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=list(rules.audience) or None,
                issuer=list(rules.issuer) or None,
                leeway=rules.leeway_s,
                options={
                    "require": required,
                    "verify_aud": bool(rules.audience),
                    "verify_iss": bool(rules.issuer),
                },
            )
        except jwt.InvalidSignatureError:
            return None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"the token has no {_MISSING[error.claim]} ({error.claim})") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            why = next((why for kind, why in _REFUSALS if isinstance(error, kind)), "the token is not valid")
            raise Unauthorized(why) from None

    def _provider_roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        named = _claim_at(claims, self._rules.roles_claim)
        if named is None and self._rules.default_role != NOBODYS:
            return frozenset((self._rules.default_role,))
        given = named.split() if isinstance(named, str) else named  # a list, or words as in `scope`
        roles = frozenset(role for role in ROLES if isinstance(given, list) and role in given)
        if not roles:
            raise Unauthorized(
                f"the token has none of the roles {', '.join(ROLES)} ({self._rules.roles_claim})"
            )
        return roles


def _our_roles(claims: Mapping[str, Any]) -> frozenset[str]:
    roles = claims.get("roles")
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        raise Unauthorized(f"the token's roles must be a list out of {', '.join(ROLES)}")
    return frozenset(roles)


def _claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, dots and all, or else the one that the path leads to; None if there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def make_token(
    secret: str, user: str, roles: Iterable[str], ttl_s: int, audience: str = "", issuer: str = ""
) -> str:
    """A token for `user` with `roles`, good for `ttl_s` seconds from now. Raises ValueError."""
    names = sorted(set(roles))
    if fault := id_fault(user):
        raise ValueError(f"user {fault}")
    if not names or not all(role in ROLES for role in names):
        raise ValueError(f"roles must be out of {', '.join(ROLES)}")
    if ttl_s <= 0:
        raise ValueError("a token must be good for at least one second")
    now_s = int(time.time())
    claims: dict[str, Any] = {"sub": user, "roles": names, "iat": now_s, "exp": now_s + ttl_s}
    claims |= {name: value for name, value in (("aud", audience), ("iss", issuer)) if value}
    return jwt.encode(claims, secret, algorithm="HS256")


def check_bind(host: str, secrets: Sequence[str], jwks_url: str = "") -> None:
    """Raises UnsafeBind if binding `host` without tokens would open the server to the network."""
    if not secrets and not jwks_url and not is_loopback(host):
        raise UnsafeBind(
            f"without tokens Fanbell listens on loopback only, and {host!r} is not: "
            "set FANBELL_TOKEN_SECRET or FANBELL_TOKEN_JWKS_URL, or host to 127.0.0.1"
        )
