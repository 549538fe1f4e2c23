"""How people are shown, at hand for rendering."""

import asyncio

import pytest

from fanbell.edge import names as module
from fanbell.edge.names import AGAIN_S, Names
from fanbell.projections.store import Profile, StoreFailed
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


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_nobody_waits_for_names_that_cannot_be_read(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A store that fails, or does not answer in time, is left alone for a while: who acts is shown by id, and met later.
    """
    store, now, asked = MemoryStore(), [100.0], []

    async def profiles(users: list[str]) -> dict[str, Profile]:
        asked.append(users)
        if len(asked) > 1:
            return {"bob": Profile("Bob")}
        if how == "fails":
            raise StoreFailed("away")
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    monkeypatch.setattr(store, "profiles", profiles)
    monkeypatch.setattr(module, "MEET_S", 0.01)
    names = Names(store, clock=lambda: now[0])
    assert names.unmet(["bob"]) == {"bob"}
    with pytest.raises(StoreFailed, match="away" if how == "fails" else "not read within"):
        await names.meet(["bob"])

    assert names.unmet(["bob"]) == set()
    assert "bob" not in names.known

    now[0] += AGAIN_S
    await names.meet(names.unmet(["bob"]))
    assert names.known == {"bob": Profile("Bob")}
