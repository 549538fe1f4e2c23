"""What benchmarks share: one JSON line at the end, with the machine, the versions and a hash of the answer."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from hashlib import blake2b
from importlib.metadata import version
from typing import Any


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
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def report(question: str, figures: dict[str, Any], answer: str, synthetic: bool, **more: Any) -> None:
    """Print the line."""
    packages = {name: version(name) for name in ("fastavro", "pyroaring", "msgspec")}
    line = {"question": question, **figures, "answer": answer, "synthetic": synthetic, **more, "machine": machine(), "versions": packages}
    print(json.dumps(line))
    sys.stdout.flush()


def rss_bytes() -> int:
    """Resident size of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
