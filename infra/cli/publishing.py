"""`fanbell publish`: JSON lines to the server, in order, in batches; safe to run again after any failure.

Ids make that safe: an activity that is there already counts as a duplicate and changes nothing.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.schemas import limits

if TYPE_CHECKING:
    from fanbell.infra.cli.client import Client

BATCH_BYTES_MAX: Final = 1024 * 1024  # half of what a request may have: room for one long line on top
LINE_BYTES_MAX: Final = limits.REQUEST_BYTES_MAX - 2  # with its brackets it must fit a request
PATIENCE_S: Final = 300.0  # nobody sits there waiting: a busy server may take its time
BAD_MAX: Final = 1_000  # bad lines that --skip-bad remembers for the summary; more are counted

OnBatch = Callable[[int, int], None]
"""Called after each batch with (activities, bytes)."""


@dataclass(slots=True)
class Summary:
    """What became of the lines so far."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    bad: list[str] = field(default_factory=list)
    """The first refused lines, with their number and faults."""

    @property
    def published(self) -> int:
        """How many are durable in the server's log, those from before included."""
        return self.accepted + self.duplicate

    def refuse(self, lines: list[str]) -> None:
        """Count a line that was left out, for these faults."""
        self.refused += 1
        self.bad += lines[: max(0, BAD_MAX - len(self.bad))]


class BadLine(Failed):
    """A line that is no JSON; `number` from 1."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(Exit.REFUSED, f"line {number}: {message}")
        self.number = number


@dataclass(slots=True)
class Batch:
    """Lines that go out in one request, each with its number in the file."""

    lines: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0

    def takes(self, line: bytes) -> bool:
        """Whether there is room for one more."""
        return not self.lines or (
            len(self.lines) < limits.BATCH_MAX and self.size + len(line) < BATCH_BYTES_MAX
        )

    def add(self, number: int, line: bytes) -> None:
        self.lines.append(line)
        self.numbers.append(number)
        self.size += len(line) + 1

    def body(self) -> bytes:
        """The request's body."""
        return b"[" + b",".join(self.lines) + b"]"

    def without(self, items: set[int]) -> "Batch":
        """The same without the items at these places."""
        kept = Batch()
        for i, (number, line) in enumerate(zip(self.numbers, self.lines, strict=True)):
            if i not in items:
                kept.add(number, line)
        return kept


def numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) for each line that is not blank. Raises BadLine for one too long to be an activity."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise BadLine(number, f"is longer than {LINE_BYTES_MAX} bytes; one activity a line is expected")
        if stripped := line.strip():
            yield number, stripped


def syntax_fault(line: bytes) -> str | None:
    """What is wrong with `line` as one JSON object; None if nothing is. Its fields are the server's to judge."""
    from fanbell.schemas.parse import Invalid, parse_json

    try:
        value = parse_json(line)
    except Invalid as invalid:
        return str(invalid)
    return None if isinstance(value, dict) else "must be a JSON object, one activity"


class Publisher:
    """Sends lines in order, one request at a time, and keeps the summary."""

    def __init__(self, client: "Client", *, skip_bad: bool, on_batch: OnBatch) -> None:
        self.client = client
        self.skip_bad = skip_bad
        self.on_batch = on_batch
        self.summary = Summary()

    def publish(self, file: IO[bytes]) -> None:
        """Publish every line of `file`. Raises Failed at the first bad batch, unless bad lines are to be skipped."""
        batch = Batch()
        for number, line in numbered_lines(file):
            if fault := syntax_fault(line):
                if not self.skip_bad:
                    self.send(batch)  # what stands before it is good
                    raise BadLine(number, fault)
                self.summary.refuse([f"line {number}: {fault}"])
                continue
            if not batch.takes(line):
                self.send(batch)
                batch = Batch()
            batch.add(number, line)
        self.send(batch)

    def send(self, batch: Batch) -> None:
        """Send one batch, without its bad items if these are to be skipped. Raises Failed."""
        from fanbell.infra.cli.client import Refused

        size = batch.size
        while batch.lines:
            try:
                answer = self.client.post("/v1/activities", batch.body())
            except Refused as refused:
                batch = self._without_bad(batch, refused.errors, refused)
                continue
            self._count(answer)
            break
        self.on_batch(len(batch.lines), size)

    def _without_bad(self, batch: Batch, errors: Any, refused: Failed) -> Batch:
        faults: dict[int, list[str]] = {}
        for error in errors:
            item = error.get("item")
            if not isinstance(item, int) or not 0 <= item < len(batch.lines):
                raise refused
            named = f"{error['field']}: " if error.get("field") else ""
            faults.setdefault(item, []).append(
                f"line {batch.numbers[item]}: {named}{error.get('message', '')}"
            )
        if not faults:
            raise refused
        if not self.skip_bad:
            lines = [line for item in sorted(faults) for line in faults[item]]
            raise Failed(refused.code, refused.message, lines=lines)
        for item in sorted(faults):
            self.summary.refuse(faults[item])
        return batch.without(set(faults))

    def _count(self, answer: Any) -> None:
        for result in answer["results"]:
            if result["status"] == "duplicate":
                self.summary.duplicate += 1
            else:
                self.summary.accepted += 1


def publish(
    file: Annotated[
        str,
        typer.Argument(
            help="File of JSON lines, one activity each; - is standard input.", show_default=False
        ),
    ],
    url: options.Url = options.DEFAULT_URL,
    token: options.Token = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad lines out, and name them at the end.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Publish activities from a file of JSON lines.

    Safe to run again: what is there already counts as a duplicate and changes nothing.
    """
    if file != "-" and not Path(file).is_file():
        raise Failed(Exit.USAGE, f"there is no file {file!r}", "- reads standard input")
    start = time.monotonic()
    with (
        options.client(url, token, patience_s=PATIENCE_S) as client,
        _opened(file) as lines,
        show.Meter(_size(file)) as meter,
    ):
        client.on_wait = meter.waiting
        publisher = Publisher(client, skip_bad=skip_bad, on_batch=meter.advance)
        try:
            publisher.publish(lines)
        except Failed as failure:
            _say_where(failure, publisher.summary)
            raise
    _report(publisher.summary, time.monotonic() - start, json)


def _opened(file: str) -> IO[bytes]:
    try:
        return sys.stdin.buffer if file == "-" else Path(file).open("rb")
    except OSError as error:
        raise Failed(Exit.USAGE, f"cannot read {file}: {error.strerror}") from None


def _size(file: str) -> int | None:
    return None if file == "-" else Path(file).stat().st_size


def _say_where(failure: Failed, summary: Summary) -> None:
    """Tell what is safe already, and how to go on."""
    done = f"{show.number(summary.published)} before it are published; run it again, which repeats nothing"
    failure.hint = f"{failure.hint}; {done}" if failure.hint else f"correct the input, or --skip-bad; {done}"


def _report(summary: Summary, seconds: float, json: bool) -> None:
    rate = round(summary.published / seconds) if seconds else 0
    if json:
        show.as_json(
            {
                "published": summary.published, "accepted": summary.accepted, "duplicate": summary.duplicate,
                "refused": summary.refused, "bad": summary.bad, "seconds": round(seconds, 3), "per_second": rate,
            }
        )  # fmt: skip
    elif summary.published or not summary.refused:
        repeated = f" ({show.number(summary.duplicate)} were there already)" if summary.duplicate else ""
        noun = "activity" if summary.published == 1 else "activities"
        show.said(
            f"published {show.number(summary.published)} {noun}{repeated} in {seconds:.1f} s, {show.number(rate)}/s"
        )
    if summary.refused:
        raise Failed(
            Exit.REFUSED, f"{show.number(summary.refused)} lines were refused and left out", lines=summary.bad
        )
