"""Who is calling: JSON Web Tokens (HS256), their roles, and what a role may do. Tokens are never logged.

Claims: `exp` (required), `sub` (the user) and `roles`, a list of

- producer: publishes activities of anybody, sets anybody's wishes (follows, mutes, blocks, preferences,
  profile) and reads traces; reads nobody's inbox but the own.
- user: publishes as themselves, and reaches only what is their own.
- operator: everything.

Without a secret everybody may do everything, which is why the server then binds loopback only (`check_bind`).
Nobody is an operator by name then, so a delete without a token is one by its actor.
"""

import ipaddress
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import jwt
from msgspec import Struct

from fanbell.schemas.parse import id_fault

ROLES: Final = ("producer", "user", "operator")
LEEWAY_S: Final = 5  # clocks of two machines differ so much, rarely more
SECRET_BYTES_MIN: Final = 32  # RFC 7518, section 3.2: a key for HS256 is at least as long as the hash
TOKEN_CHARS_MAX: Final = 8_192  # what common proxies allow one header
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Unauthorized(Exception):
    """No token, or none that counts; the message may be told to whoever sent it."""


class BadSecret(ValueError):
    """A token secret that is too short to be one."""


class UnsafeBind(ValueError):
    """The server would be open to the network without a token secret."""


class Caller(Struct, frozen=True):
    """Who calls, and what they may do. `user` is None for a caller without a token where none is needed."""

    user: str | None
    roles: frozenset[str]
    anybody: bool = False
    """True without a token secret: everything is allowed."""

    @property
    def is_operator(self) -> bool:
        return self.anybody or "operator" in self.roles

    @property
    def is_producer(self) -> bool:
        return self.is_operator or "producer" in self.roles

    @property
    def deletes_as_operator(self) -> bool:
        """Whether a delete counts as the operator's: only if a token says so."""
        return "operator" in self.roles

    def may_reach(self, user: str) -> bool:
        """Whether the inbox and the lists of `user` may be read and marked."""
        return self.is_operator or ("user" in self.roles and self.user == user)

    def may_act_for(self, user: str) -> bool:
        """Whether activities and wishes may be made in the name of `user`."""
        return self.is_producer or ("user" in self.roles and self.user == user)


ANYBODY: Final = Caller(user=None, roles=frozenset(), anybody=True)


class Auth:
    """Checks tokens against up to two secrets (the current one and the one before it, for rotation)."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
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

    @property
    def required(self) -> bool:
        """Whether callers need a token."""
        return bool(self._secrets)

    def caller(self, authorization: str | None) -> Caller:
        """Who the value of an `Authorization` header speaks for. Raises Unauthorized."""
        if not self._secrets:
            return ANYBODY
        if not authorization:
            raise Unauthorized("a token is needed: Authorization: Bearer TOKEN")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the Authorization header must be: Bearer TOKEN")
        return self.caller_of(token.strip())

    def caller_of(self, token: str) -> Caller:
        """Who `token` speaks for. Raises Unauthorized. Where no token is needed, none is looked at."""
        if not self._secrets:
            return ANYBODY
        if len(token) > TOKEN_CHARS_MAX:
            raise Unauthorized("the token is too long")
        return _caller_from(self._claims(token))

    def _claims(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                return jwt.decode(
                    token,
                    secret,
                    algorithms=["HS256"],
                    leeway=LEEWAY_S,
                    options={"require": ["exp"], "verify_aud": False},
                )
            except jwt.InvalidSignatureError:
                continue  # perhaps the other secret signed it
            except jwt.ExpiredSignatureError:
                raise Unauthorized("the token has expired") from None
            except jwt.MissingRequiredClaimError:
                raise Unauthorized("the token has no expiry (exp)") from None
            except (jwt.PyJWTError, ValueError):
                raise Unauthorized("the token is not valid") from None
        raise Unauthorized("the token is not valid")


def _caller_from(claims: dict[str, Any]) -> Caller:
    user, roles = claims.get("sub"), claims.get("roles")
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        raise Unauthorized(f"the token's roles must be a list out of {', '.join(ROLES)}")
    if id_fault(user) is not None:
        raise Unauthorized("the token names no user (sub)")
    return Caller(user=user, roles=frozenset(roles))


def make_token(secret: str, user: str, roles: Iterable[str], ttl_s: int) -> str:
    """A token for `user` with `roles`, good for `ttl_s` seconds from now. Raises ValueError."""
    names = sorted(set(roles))
    if fault := id_fault(user):
        raise ValueError(f"user {fault}")
    if not names or not all(role in ROLES for role in names):
        raise ValueError(f"roles must be out of {', '.join(ROLES)}")
    if ttl_s <= 0:
        raise ValueError("a token must be good for at least one second")
    now_s = int(time.time())
    return jwt.encode(
        {"sub": user, "roles": names, "iat": now_s, "exp": now_s + ttl_s}, secret, algorithm="HS256"
    )


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only be reached from this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # what a dual-stack socket says for 127.0.0.1
    return bool((mapped or address).is_loopback)


def check_bind(host: str, secrets: Sequence[str]) -> None:
    """Raises UnsafeBind if binding `host` without a token secret would open the server to the network."""
    if not secrets and not is_loopback(host):
        raise UnsafeBind(
            f"without a token secret Fanbell listens on loopback only, and {host!r} is not: "
            "set FANBELL_TOKEN_SECRET, or host to 127.0.0.1"
        )
