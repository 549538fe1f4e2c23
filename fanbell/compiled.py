"""The core as compiled code, where there is some: made of the same files by mypyc, and about 1.6 times as fast.

In a checkout `make install` compiles it into `.compiled`, if there is a C compiler; a wheel may have it in it
(`FANBELL_COMPILED=1` when it is built), beside the files that it was made of, where Python itself finds it. What lies
in `.compiled` is used only while the sources are those that it was made of, so an edit is in force at once, slower
until it is compiled again; and not if FANBELL_INTERPRETED is set, as it is in tests that change the core.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from hashlib import blake2b
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".compiled"
DIGEST: Final = "digest"
SUFFIX: Final = EXTENSION_SUFFIXES[0]  # it names Python, its version and the machine
GROUP: Final = "fanbell"
"""mypyc names after it the library that all its modules share"""
INTERPRETED: Final = "FANBELL_INTERPRETED"
"""A variable that is no setting: it is read before there are any"""
ONE_OF_IT: Final = "fanbell.streams.core.fan_out"
PATTERNS: Final = (
    "streams/core/*.py",
    "schemas/by_hand.py", "schemas/codec.py", "schemas/parse.py", "schemas/partitions.py", "schemas/wellformed.py",
    "edge/feed.py", "edge/link.py", "edge/mailbox.py", "edge/pacer.py", "edge/ring.py", "edge/session.py",
    "edge/tally.py", "edge/teller.py", "edge/wording.py",
)  # fmt: skip
"""What is compiled: the folds, how their records are read, checked and written, and the edge from record to socket.

Nothing that msgspec decodes into may be in them: of `list[Entry]` mypyc keeps only that it is a list.
"""
READ_WITH_IT: Final = (
    "fanbell/compiled.py", "edge/*.py", "projections/*.py", "schemas/*.py", "streams/log.py",
)  # fmt: skip
"""What it is made of beside that: constants of other modules are taken in, too"""


def sources() -> list[Path]:
    """The files to compile, under `ROOT`."""
    found = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return sorted(path for path in found if path.name != "__init__.py")


def possible() -> bool:
    """Whether there is a C compiler here, and Python's header for it."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def digest() -> str:
    """Of all that the compiled code was made of, and for which Python."""
    made_of = blake2b(SUFFIX.encode(), digest_size=16)
    others = {path for pattern in READ_WITH_IT for path in ROOT.glob(pattern)}
    for path in sorted({*sources(), *others}):
        data = path.read_bytes()
        made_of.update(f"\n{path.relative_to(ROOT)} {len(data)}\n".encode() + data)
    return made_of.hexdigest()


class Compiled(MetaPathFinder):
    """Finds our compiled modules in a folder; `files`: by name."""

    def __init__(self, folder: Path) -> None:
        self.files = {
            ".".join(path.relative_to(folder).parts).removesuffix(SUFFIX): path
            for path in folder.rglob(f"*{SUFFIX}")
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self.files.get(name)
        return None if found is None else spec_from_file_location(name, found)


def use(folder: Path = FOLDER) -> bool:
    """From now on import what was compiled, if it may be used; whether it may."""
    if os.environ.get(INTERPRETED):
        return False
    try:
        made_of = (folder / DIGEST).read_text()
    except FileNotFoundError:
        return False
    if made_of != digest():
        return False
    sys.meta_path.insert(0, Compiled(folder))
    return True


def core() -> str:
    """Whether the core of this process is "compiled" or "interpreted"."""
    found = find_spec(ONE_OF_IT)
    return "compiled" if found and (found.origin or "").endswith(SUFFIX) else "interpreted"
