"""What commands print: people's output on stdout, errors on stderr, JSON for programs."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanbell.infra.cli.exits import LINES_MAX, Failed

_CONTROL: Final = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\n"
}
_C1: Final = {
    code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)
}  # JSON may hold them bare; some terminals obey them


def clean(value: object) -> str:
    """`value` as text that cannot steer a terminal: what people wrote is shown, never obeyed."""
    return str(value).translate(_CONTROL)


def text(value: object, style: str = "") -> Text:
    """`value` for Rich, its brackets and control characters taken as plain text."""
    return Text(clean(value), style=style)


def out() -> Console:
    """Standard output. Made when needed: tests and pipes replace the stream."""
    return Console(highlight=False, soft_wrap=False)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def as_json(value: object) -> None:
    """Print `value` as JSON: indented on a terminal, one line elsewhere."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent).translate(_C1) + "\n")
    sys.stdout.flush()


def as_line(value: str) -> None:
    """Print `value` as it is, on a line of its own: for `$(...)`."""
    sys.stdout.write(clean(value) + "\n")
    sys.stdout.flush()


def said(line: str, style: str = "green") -> None:
    """One line that says what was done."""
    out().print(text(line, style), soft_wrap=True)


def failed(failure: Failed) -> None:
    """Print why a command failed, and what to do, on stderr."""
    console = err()
    console.print(text("error: ", "bold red") + text(failure.message), soft_wrap=True)
    for line in failure.lines[:LINES_MAX]:
        console.print(text("  " + line), soft_wrap=True)
    if len(failure.lines) > LINES_MAX:
        console.print(text(f"  … and {len(failure.lines) - LINES_MAX} more", "dim"))
    if failure.hint:
        console.print(text("hint: ", "bold yellow") + text(failure.hint), soft_wrap=True)


def waiting(seconds: float, why: str) -> None:
    """Tell on stderr that the server is waited for."""
    err().print(text(f"{why}; trying again in {seconds:.0f} s", "dim"), soft_wrap=True)


def table(*columns: str, title: str | Text | None = None) -> Table:
    """An airy table; a column named `>x` is x, aligned to the right."""
    made = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            header_style="dim",
            overflow="fold",
        )
    return made


def pairs(values: Mapping[str, Any], title: str | None = None) -> Table:
    """Nested values as names and values, a deeper one indented."""
    made = table("", "", title=title)
    made.show_header = False
    for name, value, depth in _flat(values, 0):
        made.add_row(text("  " * depth + name.replace("_", " "), "cyan"), text(value))
    return made


def _flat(values: Mapping[str, Any], depth: int) -> list[tuple[str, str, int]]:
    rows: list[tuple[str, str, int]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            rows.append((name, "", depth))
            rows += _flat(value, depth + 1)
        else:
            rows.append((name, _value(value), depth))
    return rows


def _value(value: object) -> str:
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(item) for item in value)
    return str(value)


def number(value: float) -> str:
    """1234567 → 1,234,567; fractions keep two digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def ago(then_ms: int, now_ms: int | None = None) -> str:
    """How long ago `then_ms` (Unix ms) was, in the largest unit that fits."""
    seconds = ((time.time_ns() // 1_000_000 if now_ms is None else now_ms) - then_ms) // 1000
    if seconds < 5:
        return "now"
    for unit, size in (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


class Meter:
    """A progress bar with rate and time left on stderr; nothing at all where stderr is no terminal.

    `size` is what there is to do, in bytes; None if nobody knows.
    """

    def __init__(self, size: int | None, what: str = "publishing") -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = err()
        bar = (
            (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
            if size
            else (TimeElapsedColumn(),)
        )
        columns = (SpinnerColumn(), TextColumn("{task.description}"), *bar, TextColumn("{task.fields[done]}"))
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=size, done="")
        self._what = what
        self._count = 0
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, count: int, size: int) -> None:
        """`count` more are done, which took `size` of the bytes."""
        self._count += count
        rate = self._count / max(time.monotonic() - self._start, 1e-3)
        done = f"{number(self._count)} · {number(round(rate))}/s"
        self._progress.update(self._task, advance=size, description=self._what, done=done)

    def waiting(self, seconds: float, why: str) -> None:
        """Say that the server is waited for; on a terminal in the bar's place, elsewhere in a line."""
        if self._progress.disable:
            waiting(seconds, why)
        else:
            self._progress.update(self._task, description=f"waiting {seconds:.0f} s: {clean(why)}")
