"""Writes the small data folder that later versions must be able to open: `python -m tests.folders.make NAME`."""

import asyncio
import shutil
import sys
from pathlib import Path

from fanbell.infra.embedded import Embedded
from fanbell.infra.settings import Settings
from fanbell.schemas.records import Activity, Change, Preference
from fanbell.streams.core.kinds import default_source

HERE = Path(__file__).parent


async def write(folder: Path) -> None:
    backend = Embedded(Settings(data=folder, partitions=2))
    await backend.start()
    # What waits must still wait when the folder is opened years later.
    await backend.apply_rules(
        default_source().replace("waiting_ms = 600_000", "waiting_ms = 1_000_000_000_000")
    )
    await backend.change(
        [
            Change("f1", "follow", "bob", object="ana"),
            Change("f2", "follow", "ćiro/%..", object="ana"),
            Change("m1", "mute", "bob", object="rowdy", aspect="author"),
            Change("b1", "block", "ana", object="troll"),
            Change("s1", "preferences", "bob", preferences=[Preference("like", "*", "*", "off")]),
            Change("n1", "profile", "ana", name="Ana", locale="de", timezone="Europe/Berlin"),
        ]
    )
    await backend.publish(
        [
            Activity("a1", "post", "ana", "p1", data=b'{"title":"One"}'),
            Activity("a2", "like", "bob", "p1"),
            Activity("a3", "like", "ćiro/%..", "p1"),
            Activity("a4", "comment", "bob", "c1", target="p1"),
            Activity("a5", "reply", "ana", "c2", target="c1", mentions=["eve"]),
            Activity("a6", "like", "bob", "nobody-posted-this"),
            Activity("a7", "post", "ana", "p2", scope="garden"),
        ]
    )
    await backend.settle(30)
    rows = await backend.store.rows("bob")
    await backend.change(
        [
            Change(
                "k1",
                "mark",
                "bob",
                verb="read",
                ids=["a1"],
                seqs=[row.seq for row in rows if row.kind == "post"][-1:],
            )
        ]
    )
    await backend.settle(30)
    await backend.stop()


if __name__ == "__main__":
    target = HERE / sys.argv[1]
    shutil.rmtree(target, ignore_errors=True)
    asyncio.run(write(target))
    (target / "LOCK").unlink()
