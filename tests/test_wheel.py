"""The wheel, as somebody else installs it: into an empty environment, away from this folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.infra.up_process import fanbell_up
from tests.test_compiled import WHICH, needs_compiler

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("schemas", "streams", "projections", "edge", "clients", "infra")
TIMEOUT_S: Final = 60
COMPILING_S: Final = 600  # a minute of a core that has other things to do; some machines have slower ones
UV: Final = str(Path(sys.executable).parent / "uv")
CLUSTER: Final = re.compile(r"faust|kafka|cassandra|scylla", re.IGNORECASE)
COMPOSE: Final = ROOT / "infra" / "compose"  # builds an image from a checkout; nothing installed needs it


def ran(*command: str | Path, cwd: Path | None = None, within_s: float = TIMEOUT_S, **environ: str) -> str:
    """What a command printed; a failure shows all of it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FANBELL_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=cwd, env=clean | environ, capture_output=True, text=True, timeout=within_s
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(folder: Path, within_s: float = TIMEOUT_S, **environ: str) -> Path:
    """Built from a copy: setuptools would leave its folders behind, and take what lies in them for ours."""
    source = folder / "fanbell"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("fanbell", *PACKAGES):
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    ran(*build, "--outdir", source / "dist", source, within_s=within_s, **environ)
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it asks for, in the versions of the lock."""
    folder = tmp_path_factory.mktemp("elsewhere")
    ran(UV, "venv", "--quiet", "--no-project", "--python", sys.executable, folder / "venv", cwd=folder)
    python, lock = folder / "venv" / "bin" / "python", ROOT / "requirements-embedded.lock"
    install = (UV, "pip", "install", "--quiet", "--python", python, "--constraint", lock, wheel)
    try:
        ran(*install, "--offline", cwd=folder)  # `make install` has left everything in uv's cache
    except AssertionError:
        ran(*install, cwd=folder)
    return folder


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    """
    Modules and the files beside them (schemas, rules, page) are all in the wheel.
    """
    ours = {
        f"fanbell/{path.relative_to(ROOT)}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and COMPOSE not in path.parents
    }

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    of_the_package = ("__init__.py", "__main__.py", "compiled.py", "py.typed")
    assert packed == ours | {f"fanbell/{name}" for name in of_the_package}


def test_it_runs_far_from_its_source(environment: Path) -> None:
    """
    The installed command knows its version and imports nothing from this folder.
    """
    command = environment / "venv" / "bin" / "fanbell"
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert version is not None
    assert json.loads(ran(command, "version", "--json", cwd=environment))["fanbell"] == version[1]
    where = ran(
        command.with_name("python"),
        "-c",
        "import fanbell.streams.log as m; print(m.__file__)",
        cwd=environment,
    )
    assert Path(where.strip()).is_relative_to(environment)


def test_it_brings_no_client_of_the_cluster(environment: Path) -> None:
    """
    The embedded mode installs no client of Kafka, Faust or Cassandra.
    """
    listed = ran(UV, "pip", "list", "--format", "json", "--python", environment / "venv" / "bin" / "python")

    assert [package["name"] for package in json.loads(listed) if CLUSTER.search(package["name"])] == []


def test_it_serves(environment: Path, tmp_path: Path) -> None:
    """
    `fanbell up` says where it listens, takes an activity, shows it, and ends well when asked to.
    """
    command = environment / "venv" / "bin" / "fanbell"
    (tmp_path / "a.jsonl").write_text('{"id": "f1", "kind": "follow", "actor": "ben", "object": "ana"}\n')

    with fanbell_up(tmp_path, command=command) as up:
        published = json.loads(ran(command, "publish", tmp_path / "a.jsonl", "--json", "--url", up.url))
        items = up.heard("ana")
        with urllib.request.urlopen(up.url + "/openapi.json", timeout=TIMEOUT_S) as answer:
            openapi = json.load(answer)["openapi"]
        code = up.end()

    assert published["accepted"] == 1
    assert [item["kind"] for item in items] == ["follow"]
    assert openapi.startswith("3.1")
    assert code == 0


@needs_compiler
def test_its_core_can_be_compiled(tmp_path: Path) -> None:
    """
    Built with FANBELL_COMPILED=1 it is for this Python and machine, and its core is compiled.
    """
    wheel = built(tmp_path, COMPILING_S, FANBELL_COMPILED="1")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")

    assert not wheel.name.endswith("-any.whl")
    core, file = ran(sys.executable, "-c", WHICH, cwd=tmp_path / "installed").split()
    assert core == "compiled"
    assert Path(file).is_relative_to(tmp_path / "installed")
