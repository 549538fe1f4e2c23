"""How many notifications a second get from JSON lines into stored inboxes?

A notification is an activity × a recipient that passed all rules; what a group tells again is not counted. The way is
that of `fanbell load`: parse, check, make durable, fold, project, with a commit at least every 20,000 notifications or
100 ms. Another process reads inboxes meanwhile, and must see them grow. The graph is loaded before the clock runs;
opening the folder before, and saving snapshots after, are apart.

Figure asked: at least 120,000 notifications/s, with inboxes of 10,000 and of 200.
"""

import asyncio
import cProfile
import multiprocessing
import pstats
import shutil
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks import data
from benchmarks.harness import Stopwatch, asked, hash_of, report, skip
from benchmarks.stored import ends, heard, inboxes, notices
from fanbell.infra import load
from fanbell.infra.folder import STATE_FILE
from fanbell.infra.settings import Settings
from fanbell.projections.sqlite_reader import Reader
from fanbell.schemas.records import Activity
from fanbell.streams.core.kinds import default_source

QUESTION: Final = "melcup17 from JSON lines to stored inboxes"
LOOK_EVERY_S: Final = 0.1
LOOKED_AT: Final = 20  # inboxes


def watch(path: str, users: list[str], keep: int, asking: Connection) -> None:
    """Read inboxes until told to stop; then say how many different states of them were seen."""
    seen: set[tuple[int, ...]] = set()

    async def look() -> None:
        reader = Reader(path, keep, 1)
        asking.send(0)
        try:
            while not asking.poll(LOOK_EVERY_S):
                read = [await reader.read(user) for user in users]
                seen.add(tuple([max((row.seq for row in one.rows), default=0) for one in read]))
        finally:
            reader.close()

    asyncio.run(look())
    asking.send(len(seen))


def written(folder: Path, data_folder: Path, tiny: bool) -> tuple[list[str], int, int]:
    """Write `follows.jsonl` and `events.jsonl`; the members, and the times of the first and last event, Unix ms."""
    town = data.Melcup(data_folder)
    members, events = town.members, town.events()
    if tiny:
        members = members[:60]
        events = [event for event in events if event.actor in members][:600]
    first, last = events[0].occurred_at or 0, events[-1].occurred_at or 0
    some = set(members)

    def wanted(follow: Activity) -> bool:
        return follow.actor in some and follow.object in some

    data.write_lines(folder / "follows.jsonl", filter(wanted, town.follows(first - data.FOLLOWED_BEFORE_MS)))
    data.write_lines(folder / "events.jsonl", events)
    return members, first, last


def rules() -> str:
    """The shipped kinds, with reposts heard by the reposter's followers too, as on the platform the data is from."""
    owner_only = 'audience = [{ to = "owner", reason = "repost" }]'
    assert owner_only in default_source()
    both = 'audience = [{ to = "owner", reason = "repost" }, { to = "followers_of_actor", reason = "post" }]'
    return default_source().replace(owner_only, both)


def measure(
    folder: Path, keep: int, members: list[str], last: int, profile: bool
) -> tuple[dict[str, Any], str]:
    """Load; the figures, and the hash of all inboxes."""
    settings = Settings(data=folder / f"keep{keep}", inbox_keep=keep)
    shutil.copytree(folder / "graph", settings.data)
    since = ends(settings.data)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    watcher = context.Process(
        target=watch, args=(str(settings.data / STATE_FILE), members[:LOOKED_AT], keep, theirs)
    )
    watcher.start()
    theirs.close()  # so that its end is heard, should it fail
    ours.recv()
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    with Stopwatch() as watch_:
        found = load.run(folder / "events.jsonl", settings, now_ms=last)
    if profile:
        profiler.disable()
        stats = pstats.Stats(profiler, stream=sys.stderr)
        stats.sort_stats("cumulative").print_stats("fanbell|streams|projections|infra|schemas|sqlite3", 45)
        stats.sort_stats("tottime").print_stats(25)
    ours.send("stop")
    states = ours.recv()
    watcher.join()
    told = sum(map(heard, notices(settings.data, since)))
    assert found["stored_s"] < 10 * LOOK_EVERY_S or states > 2, (
        "a reader must see inboxes grow"
    )  # tiny: too short to see
    figures = {
        "notifications_per_s": round(told / found["stored_s"]),
        "notifications": told,
        "activities": found["activities"],
        "rows_told": found["notifications"],
        "waiting": found["waiting"],
        "dead": found["dead"],
        "stored_s": found["stored_s"],
        "with_opening_and_saving_s": round(watch_.seconds, 3),
        "states_seen": states,
    }
    return {f"{name}_keep_{keep}": value for name, value in figures.items()}, hash_of(
        inboxes(settings.data, keep)
    )


def main(tiny: bool = False, profile: bool = False) -> None:
    data_folder = data.folder()
    if data_folder is None:
        skip(QUESTION, "the real data is not there")
        return
    figures: dict[str, Any] = {}
    answers = []
    with tempfile.TemporaryDirectory() as name:
        members, first, last = written(Path(name), data_folder, tiny)
        graph = Settings(data=Path(name) / "graph")
        load.run(
            Path(name) / "follows.jsonl",
            graph,
            now_ms=first - data.FOLLOWED_BEFORE_MS,
            rules=rules(),
        )
        for keep in (20,) if tiny else (10_000, 200):
            found, answer = measure(Path(name), keep, members, last, profile)
            figures.update(found)
            answers.append(answer)
    report(QUESTION, figures, "+".join(answers), synthetic=False, made_up="times of likes", profiled=profile)


if __name__ == "__main__":
    main(**vars(asked("profile")))
