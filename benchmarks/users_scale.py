"""Does a notification cost more where there are more users?

The same activities with the same fan-out, where 10,000, 100,000 and 1,000,000 users are known: each of them has got a
message before, and the followers are spread over all of them. Once through both stages in memory, once through the
embedded runner to stored inboxes. Warmed: every author has posted before. CPU seconds count, the wall's are beside.
What comes before that is made as cheaply as it can be: messages to 500 at once, and follows by rules that tell nobody
of a follow. What was told, by id and count, must be the same at every scale and both ways.

Figures asked, of the largest to the smallest: the folds within 1.3, to stored inboxes within 3.5.
"""

import gc
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.fold import Folds
from benchmarks.harness import Stopwatch, asked, hash_of, report, say
from benchmarks.stored import heard
from benchmarks.workload import activities, follows, quiet_source
from fanbell.infra.fold_process import GC_THRESHOLD
from fanbell.infra.folder import DataFolder
from fanbell.infra.intake import run as now
from fanbell.infra.load import BATCH_S, BATCH_WEIGHT
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import HEADER_BYTES, HEADERS, content_of, decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Notice, Outcome, Rules
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.embedded import Runner
from fanbell.streams.log import Record
from fanbell.streams.log_memory import MemoryLog

PARTITIONS: Final = 8
BEFORE_MS: Final = 1_600_000_000_000
AFTER_MS: Final = 1_800_000_000_000  # when the activities are appended: history, all of it
ADDRESSED: Final = 500  # recipients of one message
ACTORS: Final = 10_000  # of likes and comments: the same people at every scale


def known(users: int) -> Iterator[Activity]:
    """Every user, by a message, so that each has an inbox with something in it."""
    for number in range(0, users, ADDRESSED):
        names = [f"user{user}" for user in range(number, min(number + ADDRESSED, users))]
        yield Activity(
            f"k{number}", "message", "greeter", f"m{number}", target=f"hall{number}", recipients=names
        )


def folded(
    users: int, authors: int, followers: int, warm: list[Activity], measured: list[Activity]
) -> dict[str, Any]:
    """Both stages in memory."""
    gc.set_threshold(*GC_THRESHOLD)
    folds = Folds(PARTITIONS, quiet_source())
    for activity in known(users):
        folds.put(ACTIVITIES, partition_of(activity.target or "", PARTITIONS), encode(activity), BEFORE_MS)
    for change in follows(authors, followers, users):
        for partition, copy in placed(change, PARTITIONS):
            folds.put(ROUTED, partition, encode(copy), BEFORE_MS)
    folds.put_rules(2, default_source())

    def placed_records(some: list[Activity]) -> list[tuple[int, bytes, int]]:
        return [(partition_of(a.target or a.object, PARTITIONS), encode(a), a.occurred_at or 0) for a in some]

    for partition, value, at_ms in placed_records(warm):
        folds.put(ACTIVITIES, partition, value, at_ms)
    records = placed_records(measured)
    folds.notices = []
    gc.collect()
    gc.freeze()
    with Stopwatch() as watch:
        for partition, value, at_ms in records:
            folds.put(ACTIVITIES, partition, value, at_ms)
    wanted = (HEADERS[Notice], HEADERS[Outcome])
    told = [decode(value) for value in folds.notices if value[:HEADER_BYTES] in wanted]
    return _figures(watch, told)


def stored(
    users: int, authors: int, followers: int, warm: list[Activity], measured: list[Activity]
) -> dict[str, Any]:
    """By the embedded runner, as `fanbell load` drives it, into inboxes of 200."""
    gc.set_threshold(*GC_THRESHOLD)
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Settings(data=Path(name)))
        with closing(folder):
            runner = folder.runner(MemoryLog(1))
            now(runner.open())
            quiet, usual = (
                encode(Rules(version, FOLD_VERSION, source, BEFORE_MS))
                for version, source in enumerate((quiet_source(), default_source()), 1)
            )
            _take(runner, [quiet, *map(encode, known(users))], BEFORE_MS)
            _take(runner, [*map(encode, follows(authors, followers, users)), usual], BEFORE_MS)
            _take(runner, map(encode, warm), AFTER_MS)
            values = [encode(activity) for activity in measured]
            gc.collect()
            gc.freeze()
            with Stopwatch() as watch:
                told = _take(runner, values, AFTER_MS)
    return _figures(watch, told)


def _take(runner: Runner, values: Iterable[bytes], at_ms: int) -> list[Notice | Outcome]:
    """Let the runner take records, as if they had come out of `intake`; what was told of activities."""
    told: list[Notice | Outcome] = []
    records = [Record(runner.position + i, value, at_ms) for i, value in enumerate(values)]
    while records:
        batches = now(runner.run(records[:2_000], BATCH_WEIGHT, BATCH_S))
        told += [one for batch in batches.values() for _, one in batch if isinstance(one, (Notice, Outcome))]
        records = records[runner.position - records[0].offset :]
    return told


def _figures(watch: Stopwatch, told: Sequence[Notice | Outcome]) -> dict[str, Any]:
    count = sum(map(heard, told))
    by_id: Counter[str] = Counter()
    for one in told:
        by_id[one.id if isinstance(one, Outcome) else content_of(one.content).id] += heard(one)
    names = sorted(name.encode() for one in told if isinstance(one, Notice) for name in one.recipients)
    return {
        "cpu_us": watch.cpu / count * 1e6,
        "wall_us": watch.seconds / count * 1e6,
        "notifications": count,
        "told": hash_of(f"{id_} {heard_}\n".encode() for id_, heard_ in sorted(by_id.items())),
        "by_whom": hash_of(names),
    }


def apart(what: str, args: tuple[Any, ...], saying: Connection) -> None:
    saying.send((folded if what == "fold" else stored)(*args))


def in_process(what: str, *args: Any) -> dict[str, Any]:
    """The figures of one scale, in a process of its own, so that none pays for what another left behind."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=apart, args=(what, args, theirs))
    process.start()
    theirs.close()
    found: dict[str, Any] = ours.recv()
    process.join()
    return found


def main(tiny: bool = False, authors: int = 1_000, followers: int = 100, rounds: int = 4) -> None:
    scales = (10_000, 100_000, 1_000_000)
    if tiny:
        scales, authors, followers = (200, 400, 800), 20, 20
    made = list(activities(authors * rounds, authors, min(ACTORS, scales[0])))
    cut = (
        len(made) // rounds + authors // 8
    )  # more than a round: 6 % are no posts, and each author shall have posted
    figures: dict[str, Any] = {}
    told, by_whom = set(), set()
    for what in ("fold", "stored"):
        costs = []
        for users in scales:
            started = time.monotonic()
            args = (users, authors, followers, made[:cut], made[cut:])
            found = (folded if what == "fold" else stored)(*args) if tiny else in_process(what, *args)
            costs.append(found["cpu_us"])
            figures[f"{what}_cpu_us_per_notification_{users}_users"] = round(found["cpu_us"], 3)
            figures[f"{what}_wall_us_per_notification_{users}_users"] = round(found["wall_us"], 3)
            figures["notifications"] = found["notifications"]
            told.add(found["told"])
            by_whom.add((users, found["by_whom"]))
            say(
                f"{what}, {users:,} users: {costs[-1]:.3f} us of CPU, took {time.monotonic() - started:.0f} s"
            )
        figures[f"{what}_ratio"] = round(costs[-1] / costs[0], 2)
    assert len(told) == 1, "the same was told at every scale, and both ways"
    assert len(by_whom) == len(scales), "to the same people, both ways"
    report(
        "cost of a notification by number of users",
        figures,
        hash_of(map(str.encode, [*told, *(names for _, names in sorted(by_whom))])),
        synthetic=True,
        followers=followers,
    )


if __name__ == "__main__":
    main(**vars(asked()))
