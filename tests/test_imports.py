"""Who may import whom: the map, as a table. What is not in it is forbidden."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("schemas", "streams", "projections", "edge", "clients", "infra")

MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    # The longest name that fits a module decides. Every package may import itself.
    "schemas": (),
    "streams.core": ("schemas", "streams.log"),  # of the log only its records: what a step is given
    "streams": ("schemas",),
    "projections": (
        "schemas",
        "streams.core.kinds",
        "streams.log",
        "streams.sqlite",
        "streams.trim",
        "streams.cassandra",
        "streams.cassandra_packed",
    ),
    "edge": ("schemas", "projections", "streams.core.kinds", "streams.log"),
    "clients": ("schemas", "edge.close_codes"),  # what codes of closing mean is one table for both ends
    "infra": ("schemas", "streams", "projections", "edge", "clients", "compiled"),
}

PURE: Final = (
    "streams.core",
    "projections.rows",
    "projections.apply",
    "edge.session",
    "edge.mailbox",
    "edge.ring",
    "edge.presence",
    "edge.attendance",
    "clients.cursors",
    "clients.marks",
    "clients.state",
)
"""No clock, no randomness, no input or output: what they do follows from what they are given."""

PURE_MAY_IMPORT: Final = {
    "array", "base64", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq", "itertools",
    "math", "re", "tomllib", "typing",
    "importlib",  # resources: the rules file that ships with us
    "jinja2", "msgspec", "pyroaring",
}  # fmt: skip

CLIENTS: Final = {"faust", "mode", "aiokafka", "kafka", "confluent_kafka", "cassandra"}
"""The embedded mode installs none of these."""

OF_THE_CLUSTER: Final = (
    "streams.agents", "streams.cassandra", "streams.kafka", "streams.log_kafka", "streams.producer",
    "streams.snapshots_cassandra", "streams.snapshots_shared", "streams.topics_kafka",
    "projections.agents", "projections.cassandra", "projections.store_cassandra",
    "infra.cassandra", "infra.clustered", "infra.connected", "infra.kafka", "infra.worker",
)  # fmt: skip
"""How modules begin that may import them, and that only each other import; the command line, where a command must."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours without `fanbell.`, and its file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> set[str]:
    """What a file imports, wherever in it, `from a import b` as both `a` and `a.b`; a leading dot stays."""
    return named(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def at_the_top(path: Path) -> set[str]:
    """What a file imports as it is itself imported: not what its functions do when they are called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {node for one in ast.walk(tree) if is_left_out(one) for node in ast.walk(one)}
    return named(node for node in ast.walk(tree) if node not in inside)


def is_left_out(node: ast.AST) -> bool:
    """Whether a statement is not run when its module is imported: a function's body, what only types need."""
    only_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return only_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def named(nodes: Iterable[ast.AST]) -> set[str]:
    """What the import statements among `nodes` name."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"{base}.{alias.name}" if is_package(base) else base for alias in node.names}
    return names


def is_package(name: str) -> bool:
    """Whether `name` is a package of ours: then what is imported from it may be a module."""
    return (
        name == "fanbell" or (ROOT / name.removeprefix("fanbell.").replace(".", "/") / "__init__.py").exists()
    )


def within(name: str, package: str) -> bool:
    """Whether `name` is `package` or lies in it."""
    return name == package or name.startswith(package + ".")


def home_of(module: str) -> str:
    """The row of the map that decides for `module`."""
    return max((package for package in MAY_IMPORT if within(module, package)), key=len)


def ours(names: set[str]) -> set[str]:
    """Those that are modules of ours, without `fanbell.`."""
    return {name.removeprefix("fanbell.") for name in names if name.startswith("fanbell.")} - {"__version__"}


MODULES: Final = dict(modules())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_the_map_allows(module: str) -> None:
    """
    The parts meet only where the map says so.
    """
    home = home_of(module)
    allowed = (home, *MAY_IMPORT[home])

    strays = [
        name
        for name in ours(imported(MODULES[module]))
        if not any(within(name, package) for package in allowed)
    ]

    assert strays == []


@pytest.mark.parametrize("module", [name for name in MODULES if any(within(name, pure) for pure in PURE)])
def test_the_pure_parts_can_reach_nothing_impure(module: str) -> None:
    """
    Neither clock nor chance nor disk is within reach of the pure parts.
    """
    strays = {name.partition(".")[0] for name in imported(MODULES[module])} - PURE_MAY_IMPORT - {"fanbell"}

    assert strays == set()


@pytest.mark.parametrize("module", MODULES)
def test_ours_is_imported_by_its_one_name(module: str) -> None:
    """
    Nothing is imported as top-level `streams`, `edge`, …, nor relatively: a second name would be a second module.
    """
    strays = [
        name
        for name in imported(MODULES[module])
        if name.startswith(".") or name.partition(".")[0] in PACKAGES
    ]

    assert strays == []


def test_the_embedded_mode_needs_no_client_of_the_cluster() -> None:
    """
    Nothing that the embedded mode is made of imports Kafka, Faust or Cassandra, nor what does.
    """
    ours = tuple(f"fanbell.{name}" for name in OF_THE_CLUSTER)
    strays = {
        module
        for module, path in MODULES.items()
        if not module.startswith(OF_THE_CLUSTER)
        and (
            {name.partition(".")[0] for name in imported(path)} & CLIENTS
            or any(name.startswith(ours) for name in at_the_top(path))
        )
    }

    assert strays == set()


def test_what_servers_are_made_of_imports_no_http_client() -> None:
    """
    A server starts without what it asks others with by HTTP: few have an identity provider or a registry of schemas.
    """
    servers = ("schemas", "streams", "projections", "edge")
    strays = {
        module
        for module, path in MODULES.items()
        if any(within(module, package) for package in servers) and "httpx" in at_the_top(path)
    }

    assert strays == set()


def test_a_worker_imports_nothing_of_the_api() -> None:
    """
    A worker starts without what only the API and the edge are made of, a third of what they all import.
    """
    program = "import sys, fanbell.infra.worker; print(*{'fastapi', 'jwt', 'websockets', 'httpx'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_the_links_lead_to_the_folders() -> None:
    """
    `fanbell.streams` is the folder streams, and so on.
    """
    assert {link.name: link.resolve() for link in (ROOT / "fanbell").iterdir() if link.is_symlink()} == {
        package: ROOT / package for package in PACKAGES
    }


def test_the_map_notices(tmp_path: Path) -> None:
    """
    The reader of imports sees them wherever they stand.
    """
    (tmp_path / "m.py").write_text(
        "import os.path\ndef f():\n    from fanbell.streams import log\n    from . import x\n"
    )

    assert imported(tmp_path / "m.py") == {"os.path", "fanbell.streams.log", "."}
    assert at_the_top(tmp_path / "m.py") == {"os.path"}
    assert within("streams.core.kinds", "streams.core")
    assert not within("streams.corer", "streams.core")
    assert home_of("streams.core.kinds") == "streams.core"
    assert home_of("streams.log") == "streams"
