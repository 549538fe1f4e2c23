"""Folders of released formats stay readable: each folder here was written by the version that it is named for."""

import asyncio
import shutil
from pathlib import Path

import pytest

from fanbell.infra.embedded import Embedded
from fanbell.infra.settings import Settings
from fanbell.projections.store import READ
from fanbell.schemas.records import Activity

FOLDERS = sorted(
    path for path in Path(__file__).parent.iterdir() if path.is_dir() and not path.name.startswith("_")
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_folder_of_that_version_opens_and_goes_on(folder: Path, tmp_path: Path) -> None:
    """
    Inboxes, marks, graph, wishes, waiting activities and used ids are as they were left, and the stream goes on.
    """
    shutil.copytree(folder, tmp_path / "data")

    async def story() -> None:
        backend = Embedded(Settings(data=tmp_path / "data", partitions=2))
        await backend.start()
        store = backend.store
        bob = await store.rows("bob")
        assert [(row.kind, bool(row.flags & READ)) for row in bob] == [
            ("post", False),
            ("reply", False),
            ("post", True),
        ]
        assert {row.kind for row in await store.rows("ana")} == {"follow", "like", "comment"}
        assert [row.kind for row in await store.rows("eve")] == ["reply"]
        assert await store.listed("bob", "mutes", None, 10) == ["author:rowdy"]
        assert await store.listed("ćiro/%..", "follows", None, 10) == ["ana"]
        assert (await store.profiles(["ana"]))["ana"].locale == "de"
        assert (await store.preferences("bob"))[0].value == "off"
        trace = await backend.trace("a6")
        assert trace is not None
        assert trace.state == "waiting"
        assert await backend.publish([Activity("a1", "post", "ana", "p1", data=b'{"title":"One"}')]) == [
            "duplicate"
        ]
        await backend.publish(
            [Activity("a8", "post", "ana", "p3"), Activity("a9", "post", "eve", "nobody-posted-this")]
        )
        assert await backend.settle(30)
        assert len(await store.rows("bob")) == 4
        assert [row.kind for row in await store.rows("eve")] == ["like", "reply"]
        await backend.stop()

    asyncio.run(story())
