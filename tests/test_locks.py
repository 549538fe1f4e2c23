"""The lock files: two machines install the same, from wherever they get their packages."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
FULL: Final = ROOT / "requirements.lock"
EMBEDDED: Final = ROOT / "requirements-embedded.lock"
PIN: Final = re.compile(r"^([a-z0-9][a-z0-9-]*)==(\S+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    """Versions by name; where the platform decides, all of them, as they stand."""
    found: dict[str, str] = {}
    for name, version in PIN.findall(lock.read_text()):
        found[name] = f"{found[name]}, {version}" if name in found else version
    return found


def declared() -> dict[str, list[str]]:
    """Names of the packages that pyproject.toml asks for: under "" without an extra, else by extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: [re.split(r"[\[<>=!~ ;]", line, maxsplit=1)[0] for line in lines]
        for extra, lines in asked.items()
    }


@pytest.mark.parametrize("lock", [FULL, EMBEDDED], ids=lambda lock: lock.name)
def test_a_lock_names_packages_and_hashes_only(lock: Path) -> None:
    """
    Every line is a package, a hash or a reason; no registry, no folder of somebody's machine.
    """
    known = re.compile(
        r"[a-z0-9-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    # via( .+)?|    #   .+"
    )
    strange = [line for line in lock.read_text().splitlines() if not known.fullmatch(line)]

    assert strange == []
    assert re.findall(r"://|--index|--find-links|# via.* /", lock.read_text()) == []


def test_everything_asked_for_is_locked() -> None:
    """
    What pyproject.toml asks for stands in the lock that serves it.
    """
    asked = declared()

    assert set(asked[""]) <= set(pins(EMBEDDED))
    assert {name for names in asked.values() for name in names} <= set(pins(FULL))


def test_the_small_lock_is_a_part_of_the_large_one() -> None:
    """
    The demo runs the very versions that the tests ran.
    """
    assert pins(EMBEDDED).items() <= pins(FULL).items()


def test_the_small_lock_holds_no_client_of_the_cluster() -> None:
    """
    The embedded mode installs no client of Kafka, Faust or Cassandra.
    """
    assert [name for name in pins(EMBEDDED) if re.search("kafka|faust|cassandra|scylla", name)] == []
