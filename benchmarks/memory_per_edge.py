"""How much memory does an edge of a real graph take, names included, and how long does it take to open that state?

slashdot-zoo's follows and mutes go through stage 2 of 8 partitions, as changes, by rules by which a follow tells
nobody, so that the state is the graph alone; resident size after, less before. Then it is opened from its snapshots.
With `--told` once more by the rules that ship, by which each follow is also a notification, kept for as long as it may
have to be taken back (bounded by `told` in the rules, not by edges); that takes several times as long. Each step is a
process of its own.

Figures asked, of the graph: at most 60 bytes an edge; open within 1 s.
"""

import ctypes
import gc
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks import data
from benchmarks.harness import Stopwatch, asked, hash_of, report, rss_bytes, say, skip
from benchmarks.workload import quiet_source
from fanbell.infra.intake import run as now
from fanbell.schemas.codec import encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Change, Rules
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.log import Record
from fanbell.streams.snapshots import Snapshot
from fanbell.streams.snapshots_folder import FolderSnapshots

QUESTION: Final = "memory of slashdot-zoo's edges, and opening them"
PARTITIONS: Final = 8
AT_MS: Final = 1_235_174_400_000


def settled() -> int:
    """Resident size once everything that can be given back was."""
    gc.collect()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes()


def fold(changes: Iterator[Change], source: str) -> tuple[list[FanOut], list[int], int]:
    """The shards after `changes`, the offsets they stand at, and how many edges there were."""
    shards = [FanOut(partition) for partition in range(PARTITIONS)]
    offsets = [-1] * PARTITIONS

    def put(partition: int, value: bytes) -> None:
        offsets[partition] += 1
        shards[partition].step(Record(offsets[partition], value, AT_MS))

    rules = encode(Rules(1, FOLD_VERSION, source, AT_MS))
    for partition in range(PARTITIONS):
        put(partition, rules)
    edges = 0
    for edges, change in enumerate(changes, 1):  # noqa: B007
        for partition, copy in placed(change, PARTITIONS):
            put(partition, encode(copy))
    return shards, offsets, edges


def build(folder: str, source: str, at_most: int | None, saying: Connection) -> None:
    """Fold, measure, save."""
    data_folder = data.folder()
    assert data_folder is not None
    fold(islice(data.slashdot(data_folder), 1_000), source)  # what is made once: modules, caches, tables
    before = settled()
    with Stopwatch() as watch:
        shards, offsets, edges = fold(islice(data.slashdot(data_folder), at_most), source)
    size = settled() - before
    partition_of.cache_clear()  # bounded, whatever the number of edges; full by now
    lasting = settled() - before
    figures = {
        "edges": edges,
        "bytes_per_edge": round(size / edges, 1),
        "bytes_per_edge_without_cache": round(lasting / edges, 1),
        "edges_per_s": round(edges / watch.seconds),
        "users": len({name for shard in shards for name in shard.graph.names.packed}),
    }
    snapshots = FolderSnapshots(folder)
    states = []
    for shard, offset in zip(shards, offsets, strict=True):
        state = shard.dump()
        states.append(state)
        now(snapshots.save(Snapshot(shard.stage, shard.partition, offset, FOLD_VERSION, "benchmark", state)))
    saying.send((figures, hash_of(states)))


def open_saved(folder: str, saying: Connection) -> None:
    """Open all shards from their snapshots."""
    before = settled()
    with Stopwatch() as watch:
        shards = []
        snapshots = FolderSnapshots(folder)
        for partition in range(PARTITIONS):
            newest = now(snapshots.candidates(FanOut.stage, partition))[0]
            shards.append(FanOut.load(partition, newest.state))
            del newest
    opened = settled() - before
    answer = hash_of(shard.dump() for shard in shards)
    saved = sum(path.stat().st_size for path in Path(folder).iterdir())
    saying.send(
        ({"open_s": round(watch.seconds, 3), "opened_bytes": opened, "snapshot_bytes": saved}, answer)
    )


def apart(work: Any, *args: object) -> Any:
    """What `work` says in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(*args, theirs))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def main(tiny: bool = False, told: bool = False) -> None:
    if data.folder() is None:
        skip(QUESTION, "the real data is not there")
        return
    figures: dict[str, Any] = {}
    answers = []
    for what, source in {"graph": quiet_source(), **({"told": default_source()} if told else {})}.items():
        with tempfile.TemporaryDirectory() as folder:
            built, answer = apart(build, folder, source, 2_000 if tiny else None)
            say(f"{what}: {built['edges']:,} edges folded, {built['edges_per_s']:,} a second")
            opened, again = apart(open_saved, folder)
        assert answer == again, "what was opened is what was saved"
        opened["opened_bytes_per_edge"] = round(opened.pop("opened_bytes") / built["edges"], 1)
        figures |= {f"{name}_{what}": value for name, value in (built | opened).items()}
        answers.append(answer)
    report(QUESTION, figures, "+".join(answers), synthetic=False, partitions=PARTITIONS)


if __name__ == "__main__":
    main(**vars(asked("told")))
