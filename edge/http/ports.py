"""What the HTTP API asks of what it is given: the settings that concern it, and the inbox projection."""

from collections.abc import Sequence
from typing import Protocol

from fanbell.projections.rows import Counts, Query


class HttpSettings(Protocol):
    """The settings that the API reads; `infra.settings.Settings` has them all."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def edge_port(self) -> int: ...
    @property
    def edge_url(self) -> str: ...
    @property
    def tls_certfile(self) -> str: ...
    @property
    def trusted_proxies(self) -> Sequence[str]: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...
    @property
    def allowed_origins(self) -> Sequence[str]: ...
    @property
    def rate_limit_per_token(self) -> float: ...
    @property
    def rate_limit_per_address(self) -> float: ...


class Inbox(Protocol):
    """Inboxes ready to show; `projections.inbox.Inbox`."""

    async def page(self, user: str, query: Query, locale: str | None) -> bytes:
        """A page as JSON."""
        ...

    async def counts(self, user: str) -> Counts: ...

    async def stamp(self, user: str) -> tuple[int, ...]:
        """Stays the same only while all pages and counters of the user do, in every locale."""
        ...
