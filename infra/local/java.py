"""What a Java server runs from: its jars, resolved by Maven once and kept in the user's cache."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

JAVA_LEAST: Final = 17
RESOLVE_S: Final = 900  # 100 MB over a slow line
ASK_S: Final = 30


class Missing(Exception):
    """Something that this machine lacks; the message says what, and how to get it."""


def check_tools() -> None:
    """Raise Missing unless there is a JDK and Maven."""
    hint = "on Debian or Ubuntu: apt-get install openjdk-17-jdk-headless maven; on macOS: brew install openjdk maven"
    for name, what in (("java", f"a JDK of version {JAVA_LEAST} or newer"), ("mvn", "Maven")):
        if shutil.which(name) is None:
            raise Missing(f"{what} is needed ({name} is not on the PATH); {hint}")
    found = java_version()
    if found < JAVA_LEAST:
        raise Missing(f"java is of version {found}, {JAVA_LEAST} or newer is needed; {hint}")


def java_version() -> int:
    """The major version of `java`; 0 if it does not say."""
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=ASK_S, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(found[1]) if found else 0


def cache() -> Path:
    """Where jars are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanbell"


def jars(name: str) -> Path:
    """The folder with the jars that `name`.pom.xml, beside this file, asks for. Raises Missing."""
    return resolved(name, files("fanbell.infra.local").joinpath(f"{name}.pom.xml").read_bytes())


def resolved(name: str, pom: bytes) -> Path:
    """The folder with the jars that `pom` asks for; resolved by Maven if they are not there yet. Raises Missing."""
    kept = cache() / f"{name}-{hashlib.sha256(pom).hexdigest()[:16]}"
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f".{name}-") as folder:
        (Path(folder) / "pom.xml").write_bytes(pom)
        line = [
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=lib",
            "-DincludeScope=runtime",
        ]
        done = subprocess.run(
            line, cwd=folder, capture_output=True, text=True, timeout=RESOLVE_S, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            raise Missing(
                f"Maven could not resolve what {name} needs: {said[0] if said else 'it does not say why'}"
            )
        try:
            (Path(folder) / "lib").rename(kept)
        except OSError:
            if not kept.is_dir():  # another process was faster
                raise
    return kept
