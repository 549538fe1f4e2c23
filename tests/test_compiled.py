"""The core compiled: where there is a C compiler it is used, and only while it is of the sources as they are."""

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

import pytest

from fanbell import compiled

ROOT: Final = Path(__file__).parent.parent
WHICH: Final = (
    "from fanbell.compiled import core; from fanbell.streams.core import route; print(core(), route.__file__)"
)
"""A program that says which core it has, and where that lies."""
needs_compiler = pytest.mark.skipif(not compiled.possible(), reason="there is no C compiler, or no Python.h")


def core_of_a_process(**environ: str) -> str:
    """Which core a new process has."""
    done = subprocess.run(
        [sys.executable, "-c", WHICH],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said, file = done.stdout.split()
    assert (said == "compiled") is file.endswith(EXTENSION_SUFFIXES[0])
    return said


@needs_compiler
def test_it_is_used_where_it_can_be_made() -> None:
    """
    After `make install` a process runs it compiled, unless it is told not to.
    """
    assert core_of_a_process() == "compiled"
    assert core_of_a_process(FANBELL_INTERPRETED="1") == "interpreted"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With compiled modules of the sources as they are: so it says."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    module = tmp_path / "fanbell" / "streams" / "core" / f"route{compiled.SUFFIX}"
    module.parent.mkdir(parents=True)
    module.touch()
    (tmp_path / compiled.DIGEST).write_text(compiled.digest())
    return tmp_path


def test_modules_are_found_by_name(folder: Path) -> None:
    """
    What was compiled is found before the source, and nothing else is.
    """
    assert compiled.use(folder)

    finder = sys.meta_path[0]
    spec = finder.find_spec("fanbell.streams.core.route", None)
    assert spec is not None
    assert spec.origin == str(folder / "fanbell" / "streams" / "core" / f"route{compiled.SUFFIX}")
    assert finder.find_spec("fanbell.streams.core.fan_out", None) is None


@pytest.mark.parametrize("what", ["stale", "absent", "told not to"])
def test_it_is_left_alone(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was made of other sources is not used, nor what is not there, nor anything if that is asked for.
    """
    if what == "stale":
        (folder / compiled.DIGEST).write_text("0" * 32)
    elif what == "absent":
        (folder / compiled.DIGEST).unlink()
    else:
        monkeypatch.setenv(compiled.INTERPRETED, "1")
    before = list(sys.meta_path)

    assert not compiled.use(folder)

    assert sys.meta_path == before


def test_any_edit_makes_it_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The digest changes with what is compiled, and with modules whose constants are compiled into it.
    """
    for name in (
        "fanbell/compiled.py",
        "streams/core/route.py",
        "streams/log.py",
        "schemas/codec.py",
        "schemas/limits.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    assert [path.name for path in compiled.sources()] == ["codec.py", "route.py"]
    digests = {compiled.digest()}

    for name in ("streams/core/route.py", "schemas/limits.py"):
        with (tmp_path / name).open("a") as file:
            file.write("# edited\n")
        digests.add(compiled.digest())

    assert len(digests) == 3
