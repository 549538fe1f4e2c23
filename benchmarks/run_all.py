"""Runs every benchmark beside it and collects what each prints last: one JSON line with its figures.

    python -m benchmarks.run_all [word ...]             those whose name contains a word; all if none is given
    python -m benchmarks.run_all cluster [word ...]     the same of those that start a Kafka and a Cassandra
    python -m benchmarks.run_all edge [word ...]        the same of those that ask the edge alone, over real sockets

The lines go to benchmarks/results/<UTC date and time>.jsonl. A benchmark is a file with a `main()`; each runs
in a process of its own, so that none warms the next one's caches.
"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
GROUPS: Final = ("cluster", "edge")  # folders with more of them
TIMEOUT_S: Final = 900  # one benchmark; all are meant to take a few minutes together


def benchmarks(words: list[str]) -> list[str]:
    """Names of the benchmarks that `words` ask for, in order."""
    folder, prefix = HERE, ""
    if words and words[0] in GROUPS:
        folder, prefix, words = HERE / words[0], f"{words[0]}.", words[1:]
    names = [
        path.stem for path in sorted(folder.glob("*.py")) if "\ndef main(" in path.read_text(encoding="utf-8")
    ]
    return [
        prefix + name
        for name in names
        if name != Path(__file__).stem and (not words or any(word in name for word in words))
    ]


def last_json_line(text: str) -> dict[str, object] | None:
    """What the last line of `text` says, if it is a JSON object."""
    lines = text.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return None
    found = json.loads(lines[-1])
    return found if isinstance(found, dict) else None


def run(name: str) -> dict[str, object]:
    """The figures of the benchmark `name`, or under "error" why there are none."""
    start = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    try:
        done = subprocess.run(
            command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"benchmark": name, "error": f"took more than {TIMEOUT_S} s"}
    figures = last_json_line(done.stdout) if done.returncode == 0 else None
    if figures is None:
        return {"benchmark": name, "error": f"exit code {done.returncode}, no JSON line last"}
    return {"benchmark": name, "took_s": round(time.monotonic() - start, 1), **figures}


def main(words: list[str]) -> int:
    names = benchmarks(words)
    if not names:
        print(
            f"no benchmark {'called ' + ' or '.join(words) if words else 'in ' + str(HERE.name)}",
            file=sys.stderr,
        )
        return 1
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    failed = 0
    with path.open("w", encoding="utf-8") as out:
        for name in names:
            line = json.dumps(figures := run(name))
            failed += "error" in figures
            print(line, flush=True)
            out.write(line + "\n")
            out.flush()
    print(f"written to {path.relative_to(HERE.parent)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
