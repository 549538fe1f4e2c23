"""How people are shown, at hand for rendering."""

import asyncio

import pytest

from fanbell.edge.names import Names
from fanbell.projections.store import Profile
from fanbell.projections.store_memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_is_heard_while_reading_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name that changes while it is being read ends up as changed.
    """
    store, going = MemoryStore(), asyncio.Event()

    async def slow(users: object) -> dict[str, Profile]:
        await going.wait()
        return {"bob": Profile("Bob")}

    monkeypatch.setattr(store, "profiles", slow)
    names = Names(store)
    meeting = asyncio.ensure_future(names.meet(["bob"]))
    await asyncio.sleep(0)
    names.hear("bob", Profile("Bobby"))
    going.set()
    await meeting

    assert names.known == {"bob": Profile("Bobby")}


async def test_strangers_are_not_remembered() -> None:
    """
    Changes of people whom nobody here hears of take no room, and those known are bounded.
    """
    names = Names(MemoryStore(), names_max=2)
    names.hear("stranger", Profile("S"))
    await names.meet(["a", "b"])
    await names.meet(["c"])

    assert set(names.known) == {"b", "c"}
    assert names.unmet(["a", "c"]) == {"a"}
