"""Does a notification cost more where there are more users?

The same activities with the same fan-out, where 10,000, 100,000 and 1,000,000 users are known: each of them has got a
message before, and the followers are spread over all of them. Once through both stages in memory, once through the
embedded runner to stored inboxes. Warmed: every author has posted before. CPU seconds count, the wall's are beside.

Figures asked, of the largest to the smallest: the folds within 1.3, to stored inboxes within 3.5.
"""

import gc
import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.fold import Folds
from benchmarks.harness import Stopwatch, asked, hash_of, report
from benchmarks.stored import heard
from benchmarks.workload import activities, follows
from fanbell.infra.folder import DataFolder
from fanbell.infra.intake import run as now
from fanbell.infra.load import BATCH_S, BATCH_WEIGHT
from fanbell.infra.settings import Settings
from fanbell.schemas.codec import HEADER_BYTES, HEADERS, content_of, decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Notice, Outcome, Rules, Told
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
    folds = Folds(PARTITIONS)
    for activity in known(users):
        folds.put(ACTIVITIES, partition_of(activity.target or "", PARTITIONS), encode(activity), BEFORE_MS)
    for change in follows(authors, followers, users):
        for partition, copy in placed(change, PARTITIONS):
            folds.put(ROUTED, partition, encode(copy), BEFORE_MS)

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
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Settings(data=Path(name)))
        with closing(folder):
            runner = folder.runner(MemoryLog(1))
            now(runner.open())
            rules = encode(Rules(1, FOLD_VERSION, default_source(), BEFORE_MS))
            _take(runner, [rules, *map(encode, known(users))], BEFORE_MS)
            _take(runner, map(encode, follows(authors, followers, users)), BEFORE_MS)
            _take(runner, map(encode, warm), AFTER_MS)
            values = [encode(activity) for activity in measured]
            gc.collect()
            gc.freeze()
            with Stopwatch() as watch:
                told = _take(runner, values, AFTER_MS)
    return _figures(watch, told)


def _take(runner: Runner, values: Iterable[bytes], at_ms: int) -> list[Told]:
    """Let the runner take records, as if they had come out of `intake`; what was told of activities."""
    told: list[Told] = []
    records = [Record(runner.position + i, value, at_ms) for i, value in enumerate(values)]
    while records:
        batches = now(runner.run(records[:2_000], BATCH_WEIGHT, BATCH_S))
        told += [one for batch in batches.values() for _, one in batch if type(one) in (Notice, Outcome)]
        records = records[runner.position - records[0].offset :]
    return told


def _figures(watch: Stopwatch, told: list[Told]) -> dict[str, Any]:
    count = sum(map(heard, told))
    lines = sorted(f"{_id(one)} {heard(one)}\n".encode() for one in told)
    return {
        "cpu_us": watch.cpu / count * 1e6,
        "wall_us": watch.seconds / count * 1e6,
        "notifications": count,
        "answer": hash_of(lines),
    }


def _id(one: Told) -> str:
    if isinstance(one, Outcome):
        return one.id
    assert isinstance(one, Notice)
    return f"{content_of(one.content).id} {hash_of(name.encode() for name in one.recipients)}"


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
    answers = []
    for what in ("fold", "stored"):
        costs = []
        for users in scales:
            args = (users, authors, followers, made[:cut], made[cut:])
            found = (folded if what == "fold" else stored)(*args) if tiny else in_process(what, *args)
            costs.append(found["cpu_us"])
            figures[f"{what}_cpu_us_per_notification_{users}_users"] = round(found["cpu_us"], 3)
            figures[f"{what}_wall_us_per_notification_{users}_users"] = round(found["wall_us"], 3)
            figures[f"notifications_{users}_users"] = found["notifications"]
            answers.append(found["answer"].encode())
        figures[f"{what}_ratio"] = round(costs[-1] / costs[0], 2)
    report(
        "cost of a notification by number of users",
        figures,
        hash_of(answers),
        synthetic=True,
        followers=followers,
    )


if __name__ == "__main__":
    main(**vars(asked()))
