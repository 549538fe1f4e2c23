"""`fanbell up`, `demo`, `load`, `settings`, `version`: what runs here rather than asks a server."""

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fanbell import __version__
from fanbell.compiled import core
from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.settings import TABLE, Settings, load

MORE: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Every setting is a flag, also those that no command spells out: `--inbox-keep 500`, `--inbox-keep=500`."""
CLIENTS: Final = ("aiokafka", "cassandra", "faust")
EPILOG: Final = "Every setting is a flag here, such as --inbox-keep 500; `fanbell settings` lists them."


def flags_of(args: Sequence[str]) -> dict[str, object]:
    """Settings out of flags that a command does not spell out. Raises Failed."""
    flags: dict[str, object] = {}
    rest = list(args)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in TABLE:
            raise Failed(
                Exit.USAGE,
                f"there is no option {flag}",
                "`fanbell settings` lists the settings; each is a flag",
            )
        if TABLE[name][1].secret:
            raise Failed(
                Exit.USAGE,
                f"{flag} would show the secret to everybody on this machine",
                f"set FANBELL_{name.upper()}",
            )
        if not equals:
            if not rest:
                raise Failed(Exit.USAGE, f"{flag} needs a value")
            value = rest.pop(0)
        flags[name] = value
    return flags


def settings_of(context: typer.Context, config: str | None, **spelt: object) -> Settings:
    """The settings in force for a command. Raises BadSetting, Failed."""
    return load(flags_of(context.args) | spelt, os.environ, Path(config) if config else None)


def up(
    context: typer.Context,
    data: options.Data = None,
    port: options.Port = None,
    host: options.Host = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run Fanbell in one process.

    HTTP API and WebSocket edge. Ctrl-C or SIGTERM stops it; nothing is lost, and the next start goes on from there.
    """
    settings = settings_of(context, config, data=data, port=port, host=host)
    from fanbell.infra.up import run

    _end(run(settings, json=json))


def api(
    context: typer.Context,
    port: options.Port = None,
    host: options.Host = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Answer the HTTP API of a cluster.

    Any number of processes may; each reads what it needs from Kafka and Cassandra.
    """
    _answer(settings_of(context, config, port=port, host=host), json, api=True, edge=False)


def edge(
    context: typer.Context,
    port: options.Port = None,
    host: options.Host = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Hold people's WebSockets in a cluster.

    Any number of processes may. Health and metrics are answered at the HTTP port.
    """
    _answer(settings_of(context, config, port=port, host=host), json, api=False, edge=True)


def worker(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Fold and project the partitions of a cluster.

    Any number of processes share them. Ctrl-C or SIGTERM stops one; others take over where it stood.
    """
    settings = settings_of(context, config)
    _need_cluster()
    from fanbell.infra.worker import run

    _end(run(settings, json=json))


def _answer(settings: Settings, json: bool, *, api: bool, edge: bool) -> None:
    _need_cluster()
    from fanbell.infra.clustered import serve
    from fanbell.infra.up import Parts

    _end(serve(settings, json, Parts(api, edge)))


def missing_clients() -> list[str]:
    """The clients of the cluster that are not installed."""
    # One that is imported need not tell how it was found: Faust puts something else in its place.
    return [name for name in CLIENTS if name not in sys.modules and find_spec(name) is None]


def _need_cluster() -> None:
    """Raise Failed where the clients of the cluster are not installed."""
    missing = missing_clients()
    if missing:
        raise Failed(
            Exit.USAGE, f"the cluster mode needs {', '.join(missing)}", "pip install 'fanbell[cluster]'"
        )


def demo(
    context: typer.Context,
    port: options.Port = None,
    data: options.Data = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the synthetic town.")] = 1,
    rate: Annotated[
        float, typer.Option("--rate", min=0, max=1_000, help="Moments a second; 0 is a quiet town.")
    ] = 1.2,  # lively, and slow enough to read
    config: options.Config = None,
) -> None:
    """Run it with a synthetic town, and a page to look at.

    The town's people, posts and likes come from a seed; the page's address is printed.
    """
    settings = settings_of(context, config, port=port, data=data or os.environ.get("FANBELL_DATA", ".demo"))
    from fanbell.infra.demo_up import run

    _end(run(settings, seed=seed, rate=rate))


def load_file(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="File of JSON lines, one activity each.", show_default=False)],
    data: options.Data = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Load history into a stopped server's folder.

    Faster than publish, because no server stands between. The folder must be nobody else's meanwhile.
    """
    path = Path(file)
    if not path.is_file():
        raise Failed(Exit.USAGE, f"there is no file {file!r}")
    settings = settings_of(context, config, data=data)
    from fanbell.infra.load import run

    with show.Meter(path.stat().st_size, "loading") as meter:
        found = run(path, settings, progress=meter.advance)
    if json:
        show.as_json(found)
    else:
        show.out().print(show.pairs(found))


def _end(code: object) -> None:
    """Leave with what a long-running command returned; None is well."""
    if isinstance(code, int) and code:
        raise typer.Exit(code)


def settings(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """List every setting, its value and its meaning."""
    described = settings_of(context, config).describe()
    if json:
        show.as_json([line._asdict() for line in described])
        return
    table = show.table("setting", "value", "meaning")
    for line in described:
        changed = line.value != line.default
        value = show.text(line.value or "–", "bold green" if changed else "")
        unit = (
            show.text(f" {line.unit}", "dim")
            if line.unit not in ("", "port") and line.value
            else show.text("")
        )
        default = show.text(f" (default {line.default or '–'})", "dim") if changed else show.text("")
        table.add_row(show.text(line.name, "cyan"), value + unit, show.text(line.meaning) + default)
    console = show.out()
    console.print(table)
    console.print(
        show.text(
            "\nA flag (--inbox-keep) outranks a variable (FANBELL_INBOX_KEEP), which outranks the file of --config.",
            "dim",
        )
    )


def version(json: options.Json = False) -> None:
    """Print versions: of Fanbell, Python and SQLite; and whether its core is compiled or interpreted."""
    found: dict[str, Any] = {
        "fanbell": __version__, "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version, "platform": f"{sys.platform} {platform.machine()}",
        "core": core(),
    }  # fmt: skip
    if json:
        show.as_json(found)
    else:
        show.as_line(
            f"fanbell {__version__} (Python {found['python']}, SQLite {found['sqlite']}, {found['platform']}, "
            f"core {found['core']})"
        )
