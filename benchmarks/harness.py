"""What benchmarks share: one JSON line at the end, with the machine, the versions and a hash of the answer."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fanbell.compiled import core

PACKAGES: Final = ("fastavro", "pyroaring", "msgspec", "jiter", "uvicorn", "uvloop", "websockets")


def asked(*flags: str) -> argparse.Namespace:
    """What the command line asks for: `--tiny`, which all benchmarks have, and `flags`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true", help="small and quick, for the hash alone")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    return parser.parse_args()


def hash_of(parts: Iterable[bytes]) -> str:
    """A short hash of the answer, so that a faster wrong one is seen."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def machine() -> dict[str, Any]:
    model = ""
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(
                (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), ""
            )
    except OSError:
        model = platform.processor()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def report(question: str, figures: dict[str, Any], answer: str, synthetic: bool, **more: Any) -> None:
    """Print the line."""
    packages = {name: version(name) for name in PACKAGES} | {"core": core()}
    line = {"question": question, **figures, "answer": answer, "synthetic": synthetic, **more}
    print(json.dumps({**line, "machine": machine(), "versions": packages}))
    sys.stdout.flush()


def say(progress: str) -> None:
    """Tell whoever waits how far it is; not part of the answer."""
    print(progress, file=sys.stderr, flush=True)


def skip(question: str, why: str) -> None:
    """Print the line of a benchmark that cannot be run here."""
    print(json.dumps({"question": question, "skipped": why, "machine": machine()}))
    sys.stdout.flush()


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank; NaN of nothing."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def rss_bytes() -> int:
    """Resident size of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """CPU time that the process `pid` has used, all threads, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stopwatch:
    """Wall and CPU seconds (of this process, all threads) of a `with` block."""

    seconds = cpu = 0.0

    def __enter__(self) -> "Stopwatch":
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
