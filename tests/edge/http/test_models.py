import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from fanbell.edge.auth import Auth
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.http.app import CALLS, create_app
from fanbell.edge.http.models import MODELS
from fanbell.infra.settings import Settings
from fanbell.projections.inbox import Inbox
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.parse import FIELDS
from tests.edge.fake_backend import FakeBackend
from tests.projections.told import notice, update


def faults(model: dict[str, Any], value: Any) -> list[str]:
    """Where `value` is not of the form `model`."""
    whole = {**model, "components": {"schemas": MODELS}}
    return [error.message for error in jsonschema_rs.validator_for(whole).iter_errors(value)]


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for call in CALLS:
        contents = [answer.get("content", {}) for answer in call.responses.values()]
        contents += [call.body["content"]] if call.body else []
        for content in contents:
            for told in content.values():
                if "example" in told:
                    yield call.path, told["schema"], told["example"]
                for example in told.get("examples", {}).values():
                    yield call.path, told["schema"], example["value"]


@pytest.mark.parametrize(("path", "model", "example"), list(examples()))
def test_examples_are_of_their_models(path: str, model: dict[str, Any], example: Any) -> None:
    """
    Each example in the document is what the document says it is.
    """
    assert faults(model, example) == []


def test_model_of_an_activity_has_its_fields() -> None:
    """
    The document's activity has the fields that are parsed, no more and no fewer.
    """
    assert tuple(MODELS["Activity"]["properties"]) == FIELDS


def test_pages_of_a_real_inbox_are_as_documented() -> None:
    """
    A page of a real inbox has exactly what the document says, for plain and for grouped rows.
    """
    store = MemoryStore()
    told = [
        notice(1, ["ana"], data=b'{"title": "Hello"}', scope="s"),
        update(2, ["ana"], actors=("ben", "eve"), count=12),
        notice(3, ["ana"], kind="declared-no-more"),
    ]
    asyncio.run(store.apply({0: told}, {0: 2}))
    backend = FakeBackend()
    inbox = Inbox(store, lambda: backend.rules, lambda seq: encode_cursor(backend.epoch, seq))
    app = create_app(backend, inbox, Settings(), Auth())

    async def ask(path: str) -> Any:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path)).json()

    page = asyncio.run(ask("/v1/users/ana/notifications?limit=2"))
    rest = asyncio.run(ask(f"/v1/users/ana/notifications?before={page['next']}"))
    counts = asyncio.run(ask("/v1/users/ana/counts"))

    assert (
        faults(MODELS["Page"], page) == faults(MODELS["Page"], rest) == faults(MODELS["Counts"], counts) == []
    )
    assert [len(page["items"]), len(rest["items"]), page["total"], counts["unread"]] == [2, 1, 3, 3]
    assert list(page) == list(MODELS["Page"]["properties"])
    assert set(MODELS["Item"]["properties"]) == set(page["items"][0])
