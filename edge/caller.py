"""Who is calling, and what they may do. Roles are

- producer: publishes activities of anybody, sets anybody's wishes (follows, mutes, blocks, preferences,
  profile) and reads traces; reads nobody's inbox but the own.
- user: publishes as themselves, and reaches only what is their own.
- operator: everything.

Where no token is needed everybody may do everything. Nobody is an operator by name then, so a delete without a token
is one by its actor.
"""

from typing import Final

from msgspec import Struct

ROLES: Final = ("producer", "user", "operator")
FOREVER: Final = float("inf")


class Caller(Struct, frozen=True):
    """Who calls, and what they may do. `user` is None for a caller without a token where none is needed."""

    user: str | None
    roles: frozenset[str]
    anybody: bool = False
    """True where no token is needed: everything is allowed."""
    expires_at_s: float = FOREVER
    """When the token stops to count, Unix s, leeway included."""

    def left_s(self, now_s: float) -> float:
        """How long the token is still good at `now_s` (Unix s), s."""
        return max(0.0, self.expires_at_s - now_s)

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
