"""What the tests of the HTTP API share: the app with a backend in memory, asked without a socket."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from fanbell.edge.auth import Auth, make_token
from fanbell.edge.http.app import create_app
from fanbell.edge.jwks import Jwks
from fanbell.infra.settings import Settings
from tests.edge.fake_backend import FakeBackend, FakeInbox

SECRET = "a secret of at least thirty-two bytes"


@dataclass
class Server:
    """The app and what is behind it. `get`, `put`, … ask it and return the answer."""

    settings: Settings = field(default_factory=Settings)
    secrets: tuple[str, ...] = ()
    client: tuple[str, int] = ("127.0.0.1", 50_000)
    keys: Jwks | None = None
    leaving: bool = False

    def __post_init__(self) -> None:
        self.backend = FakeBackend()
        self.inbox = FakeInbox()
        self.app = create_app(
            self.backend,
            self.inbox,
            self.settings,
            Auth(self.secrets, self.keys),
            leaving=lambda: self.leaving,
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, **more))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=self.client)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787") as client:
            return await client.request(method, path, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, json: Any, **more: Any) -> httpx.Response:
        return self.ask("POST", path, json=json, **more)

    def put(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("DELETE", path, **more)

    def with_settings(self, **values: Any) -> "Server":
        return Server(replace(self.settings, **values), self.secrets, self.client)


@pytest.fixture
def server() -> Server:
    """Without a token secret: anybody may do anything."""
    return Server()


@pytest.fixture
def guarded() -> Server:
    """With a token secret; `bearer` makes headers."""
    return Server(secrets=(SECRET,))


def bearer(user: str, *roles: str) -> dict[str, str]:
    """Headers of a request in the name of `user`."""
    return {"authorization": f"Bearer {make_token(SECRET, user, roles or ('user',), 60)}"}


def activity(id_: str = "a1", **fields: Any) -> dict[str, Any]:
    """A post by Ana."""
    return {"id": id_, "kind": "post", "actor": "ana", "object": f"post-{id_}", **fields}


def errors_of(answer: httpx.Response) -> list[tuple[int | None, str]]:
    """(item, field) of each error in a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["item"], error["field"]) for error in answer.json()["errors"]]
