"""`python -m tests.simulation.run --seeds 1000`: many seeds, what went wrong in which, and which fault hit where."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from tests.simulation import mutants, mutants_of_time, one_process
from tests.simulation.checker import Wrong, check
from tests.simulation.faults import FAULTS
from tests.simulation.planting import EMBEDDED, MUTANTS, planted
from tests.simulation.simulate import Report, simulate

PLANTED = (mutants, mutants_of_time)  # importing them is what plants
SHOWN_MAX = 5  # faults of one seed that are printed, unless all are asked for


class Summary:
    """What many runs came to."""

    def __init__(self, faults: Iterable[str] = FAULTS) -> None:
        self.faults = tuple(faults)
        self.seeds = self.turns = self.ops = self.rows = 0
        self.hits: Counter[tuple[str, str]] = Counter()
        self.failed: dict[int, list[Wrong]] = {}

    def add(self, report: Report, wrong: list[Wrong]) -> None:
        self.seeds += 1
        self.turns += report.turns
        self.ops += len(report.history.ops)
        self.rows += sum(len(rows) for rows in report.history.inboxes.values())
        self.hits += report.faults.hits
        if wrong:
            self.failed[report.seed] = wrong

    def coverage(self) -> dict[str, Counter[str]]:
        """fault → stage → how often it hit there; awaits of one stage together."""
        found: dict[str, Counter[str]] = {fault: Counter() for fault in self.faults}
        for (fault, where), count in self.hits.items():
            found[fault][where.partition(":")[0]] += count
        return found

    def crash_points(self) -> Counter[str]:
        """The awaits at which something was killed or moved away."""
        points: Counter[str] = Counter()
        for (_, where), count in self.hits.items():
            if ":" in where:
                points[where] += count
        return points


def run(seeds: range, embedded: bool = False) -> Summary:
    summary = Summary(one_process.FAULTS if embedded else FAULTS)
    for seed in seeds:
        report = one_process.live(seed) if embedded else simulate(seed)
        summary.add(report, check(report.history))
    return summary


def seeds_to_find(name: str, at_most: int) -> int | None:
    """How many seeds it takes until the planted bug `name` is found; None if that many are not enough."""
    for seed in range(at_most):
        with planted(name):
            history = one_process.live(seed).history if name in EMBEDDED else simulate(seed).history
        if check(history):
            return seed + 1
    return None


def digest(seeds: range) -> str:
    """Names everything that the folds put out in these runs, and when."""
    outputs = [sorted(simulate(seed).history.outputs.items()) for seed in seeds]
    return blake2b(repr(outputs).encode(), digest_size=16).hexdigest()


def told(summary: Summary, verbose: bool) -> str:
    lines = [f"{summary.seeds} seeds, {summary.ops} operations, {summary.turns} turns, {summary.rows} rows"]
    lines.append(f"{'fault':<24} times it hit, by stage")
    for fault, stages in summary.coverage().items():
        where = ", ".join(f"{stage} {count}" for stage, count in sorted(stages.items()))
        lines.append(f"{fault:<24} {where or '-'}")
    points = summary.crash_points()
    if points:
        lines.append(f"killed or moved away at {len(points)} awaits" + (":" if verbose else ""))
    if verbose:
        lines += [f"  {where:<40} {count}" for where, count in sorted(points.items())]
    for seed, wrong in summary.failed.items():
        lines.append(f"seed {seed} failed (again with --seed {seed}):")
        lines += [f"  {one.what}: {one.detail}" for one in (wrong if verbose else wrong[:SHOWN_MAX])]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many, from 0 on")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument(
        "--mutants", action="store_true", help="plant each bug, and say after how many seeds it is found"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="all that went wrong; all awaits that were hit"
    )
    parser.add_argument("--embedded", action="store_true", help="the embedded mode instead of a cluster")
    asked = parser.parse_args()
    began = time.perf_counter()
    if asked.mutants:
        found = {name: seeds_to_find(name, asked.seeds) for name in MUTANTS}
        for name, seeds in found.items():
            print(f"{name:<50} {'NOT FOUND' if seeds is None else f'found after {seeds} seeds'}")
        return int(None in found.values())
    seeds = range(asked.seeds) if asked.seed is None else range(asked.seed, asked.seed + 1)
    summary = run(seeds, asked.embedded)
    print(told(summary, asked.verbose))
    print(f"{summary.seeds / (time.perf_counter() - began):.1f} seeds/s; {len(summary.failed)} failed")
    return int(bool(summary.failed))


if __name__ == "__main__":
    sys.exit(main())
