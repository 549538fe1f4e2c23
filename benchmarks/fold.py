"""How many recipients a second do both stages tell, in one process, records encoded in and out?

Figure asked: at least 1,200,000 recipients/s with 100 followers an author, 8 partitions, all rules on.

The collector of cycles is set as in `fanbell load`; `live_…` are with its smaller steps in `fanbell up` and workers.
"""

import argparse
import gc
import time

from benchmarks.harness import hash_of, report
from benchmarks.workload import activities, follows, wishes
from fanbell.infra.fold_process import GC_THRESHOLD, GC_THRESHOLD_LIVE
from fanbell.schemas.codec import HEADER_BYTES, HEADERS, decode, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Notice, Rules, Update
from fanbell.schemas.topics import ACTIVITIES, NOTICES, ROUTED
from fanbell.streams.core.changes import placed
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Record


class Folds:
    """Both stages of every partition, in memory; outputs of one go into the other as bytes."""

    def __init__(self, partitions: int, source: str | None = None) -> None:
        self.partitions = partitions
        self.routes = [Route(p, partitions) for p in range(partitions)]
        self.shards = [FanOut(p) for p in range(partitions)]
        self.offsets = {(topic, p): 0 for topic in (ACTIVITIES, ROUTED) for p in range(partitions)}
        self.notices: list[bytes] = []
        self.put_rules(1, source or default_source())

    def put_rules(self, version: int, source: str) -> None:
        """From now on these rules are in force, everywhere."""
        rules = encode(Rules(version, FOLD_VERSION, source, 0))
        for topic in (ROUTED, ACTIVITIES):
            for p in range(self.partitions):
                self.put(topic, p, rules, 0)

    def put(self, topic: str, partition: int, value: bytes, timestamp_ms: int) -> None:
        if topic == NOTICES:
            self.notices.append(value)
            return
        offset = self.offsets[topic, partition]
        self.offsets[topic, partition] = offset + 1
        fold = self.routes[partition] if topic == ACTIVITIES else self.shards[partition]
        for output in fold.step(Record(offset, value, timestamp_ms)):
            self.put(output.topic, output.partition, output.value, timestamp_ms)


def folded(count: int, authors: int, users: int, partitions: int) -> tuple[float, float, list[bytes]]:
    """Seconds and CPU seconds that folding takes, and the notices."""
    folds = Folds(partitions)
    for change in (*follows(authors, min(100, users // 2), users), *wishes(users, authors)):
        for partition, copy in placed(change, partitions):
            folds.put(ROUTED, partition, encode(copy), 1_600_000_000_000)
    records = [
        (partition_of(a.target or a.object, partitions), encode(a), a.occurred_at or 0)
        for a in activities(count, authors, users)
    ]
    folds.notices = []
    gc.collect()
    gc.freeze()  # as the server does once it is open
    started, cpu = time.perf_counter(), time.process_time()
    for partition, value, at_ms in records:
        folds.put(ACTIVITIES, partition, value, at_ms)
    return time.perf_counter() - started, time.process_time() - cpu, folds.notices


def main(
    count: int = 30_000, authors: int = 1_000, users: int = 20_000, partitions: int = 8, rounds: int = 3
) -> None:
    figures: dict[str, float] = {}
    answers = set()
    for name, threshold in (("", GC_THRESHOLD), ("live_", GC_THRESHOLD_LIVE)):
        gc.set_threshold(*threshold)
        best = best_of_cpu = 0.0
        for _ in range(rounds):
            seconds, cpu, notices = folded(count, authors, users, partitions)
            wanted = (HEADERS[Notice], HEADERS[Update])
            told = [decode(value) for value in notices if value[:HEADER_BYTES] in wanted]
            recipients = sum(len(record.recipients) for record in told)
            best, best_of_cpu = max(best, recipients / seconds), max(best_of_cpu, recipients / cpu)
            answers.add(hash_of(notices))
        figures |= {f"{name}recipients_per_s": round(best), f"{name}recipients_per_cpu_s": round(best_of_cpu)}
    (answer,) = answers
    figures |= {"activities": count, "recipients": recipients, "partitions": partitions}
    report("route + fan_out in one process", figures, answer, synthetic=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true", help="for the hash alone")
    main(**({"count": 300, "authors": 10, "users": 300, "rounds": 1} if parser.parse_args().tiny else {}))
