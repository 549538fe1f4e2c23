"""Writes what the tables in the code say into docs/reference.md, docs/asyncapi.yaml and the JavaScript client's close
codes: `make docs`. Tests hold the files to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from docs.asyncapi import ASYNCAPI, asyncapi
from fanbell.edge.close_codes import CLOSE_CODES, WAIT_MS_MAX
from fanbell.edge.http.app import CALLS
from fanbell.infra.cli import app
from fanbell.infra.cli.exits import MEANINGS
from fanbell.infra.settings import TABLE, Settings, variable_of
from fanbell.schemas import limits
from fanbell.schemas.topics import TOPICS
from fanbell.streams.core import kinds

REFERENCE: Final = Path(__file__).parent / "reference.md"
CLIENT_CODES: Final = Path(__file__).parent.parent / "clients" / "js" / "close_codes.js"
INTRODUCTION: Final = """\
# Reference

Written by `make docs` from the tables in the code; a test fails when the two differ.
"""


def reference() -> str:
    """The whole document."""
    sections = (
        ("The command line", command_line()),
        ("Exit codes", exit_codes()),
        ("Settings", settings()),
        ("HTTP calls", http_calls()),
        ("Close codes of the WebSocket", close_codes()),
        ("Topics", topics()),
        ("Kinds", kinds_that_ship()),
        ("Sizes", sizes()),
    )
    return INTRODUCTION + "".join(f"\n## {title}\n\n{text}" for title, text in sections)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def commands() -> Iterator[tuple[str, Any]]:
    """(verb, command) for each verb of the command line, those within another included."""

    def walk(name: str, found: Any) -> Iterator[tuple[str, Any]]:
        inner: Mapping[str, Any] | None = getattr(found, "commands", None)
        if inner is None:
            yield name, found
            return
        for word, command in inner.items():
            yield from walk(f"{name} {word}".strip(), command)

    return walk("", typer.main.get_command(app))


def command_line() -> str:
    """Every verb with its arguments and options."""
    text = (
        "The server is named by `--url` or FANBELL_URL, a token by `--token` or FANBELL_TOKEN. With `--json` a\n"
        "command prints JSON for programs. Errors go to stderr.\n\n"
    )
    return text + table(("command", "what it does", "options"), (_command(*pair) for pair in commands()))


def _command(name: str, command: Any) -> tuple[str, str, str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([f"fanbell {name}", *(_argument(p) for p in arguments)])
    said = " ".join(command.help.split())
    return f"`{usage}`", said, " ".join(f"`{max(p.opts, key=len)}`" for p in options)


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper().removesuffix("...")
    many = "…" if parameter.nargs == -1 else ""
    return f"{name}{many}" if parameter.required else f"[{name}{many}]"


def exit_codes() -> str:
    """The table of exit codes."""
    return table(("code", "meaning"), ((code.value, meaning) for code, meaning in MEANINGS.items()))


def settings() -> str:
    """Every setting."""
    text = (
        "A flag outranks a variable, which outranks the TOML file that `--config` or FANBELL_CONFIG names.\n"
        "`fanbell settings` shows the values in force.\n\n"
    )
    defaults = {line.name: line.default for line in Settings().describe()}
    rows = (
        (
            _flag(name, rule.secret),
            f"`{variable_of(name)}`",
            defaults[name] or "–",
            rule.unit or "–",
            rule.meaning,
        )
        for name, (_, rule) in TABLE.items()
    )
    return text + table(("flag", "variable", "default", "unit", "meaning"), rows)


def _flag(name: str, secret: bool) -> str:
    """A secret is no flag: everybody on the machine sees command lines."""
    return "–" if secret else f"`--{name.replace('_', '-')}`"


def http_calls() -> str:
    """Every call of the HTTP API."""
    text = (
        "`GET /openapi.json` describes them whole. Ids in paths are percent-encoded, `/` as `%2F`. Errors are\n"
        "`application/problem+json`: `{type, title, status, detail, errors: [{item, field, message}]}`.\n\n"
    )
    return text + table(
        ("call", "meaning"), ((f"`{call.method} {call.path}`", call.summary) for call in CALLS)
    )


def close_codes() -> str:
    """Why the edge ends a connection."""
    rows = (
        (row.code, row.name, row.reason, f"yes, after {row.after_ms} ms" if row.comes_back else "no")
        for row in CLOSE_CODES
    )
    return table(("code", "name", "why", "should the client come back by itself?"), rows)


def client_codes() -> str:
    """The same table as a module of the JavaScript client."""
    rows = "".join(
        f"  {row.code}: [{int(row.comes_back)}, {row.after_ms}], // {row.name}\n" for row in CLOSE_CODES
    )
    return (
        "// Written by `make docs`. Code: whether to come back by oneself, first after so many ms.\n"
        f"export const CLOSE_CODES = {{\n{rows}}};\nexport const WAIT_MS_MAX = {WAIT_MS_MAX};\n"
    )


def topics() -> str:
    """The log at a glance."""
    rows = ((f"`{t.name}`", t.key, ", ".join(t.carries), t.written_by) for t in TOPICS)
    return table(("topic", "key", "carries", "written by"), rows)


def kinds_that_ship() -> str:
    """The kinds of the rules file that ships, and those that are built in."""
    rules = kinds.parse_rules(kinds.default_source())
    rows = (
        (
            f"`{kind.name}`",
            ", ".join(f"{to} ({reason})".replace("_", " ") for to, reason in kind.audience) or "–",
            kind.groups_by or "–",
            f"`{kind.undoes}`" if kind.undoes else "–",
            kind.importance,
        )
        for kind in rules.kinds.values()
    )
    built_in = ", ".join(f"`{name}`" for name in (*kinds.GRAPH, kinds.DELETE) if name not in rules.kinds)
    text = (
        "These ship, in `streams/core/default.toml`; `fanbell kinds apply FILE` puts a site's own in force. Built in\n"
        f"beside them: {built_in}. Any kind may carry `mentions`.\n\n"
    )
    return text + table(("kind", "who hears (reason)", "groups by", "undoes", "importance"), rows)


def sizes() -> str:
    """The limits that hold everywhere."""
    names = [name for name in vars(limits) if name.isupper()]
    return table(("limit", "value"), ((f"`{name}`", f"{getattr(limits, name):,}") for name in names))


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    CLIENT_CODES.write_text(client_codes(), encoding="utf-8")
    ASYNCAPI.write_text(asyncapi(), encoding="utf-8")
