"""Log lines: one per lifecycle fact, on stderr, as JSON when nobody watches a terminal; libraries' among them."""

import logging
import sys
import time
from contextlib import suppress
from typing import Any, Final, TextIO, cast

import structlog

REPEAT_S: Final = 30.0  # a library that cannot reach its server says so with every try
KINDS_MAX: Final = 1_000  # of messages that are remembered: libraries have few


class Lossy:
    """A stream whose lines may be lost: a log on a full disk, or that nobody reads, must not stop what it tells of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # full, gone, closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class Libraries(logging.Handler):
    """What libraries log, as lines of ours. The same message within `REPEAT_S` of the last is counted, not written."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        """By library and message before its values are put in: when it was written, and how often not since."""

    def emit(self, record: logging.LogRecord) -> None:
        kind, now_s = (record.name, str(record.msg)), time.monotonic()
        written_s, left_out = self._said.get(kind, (-REPEAT_S, 0))
        if now_s - written_s < REPEAT_S:
            self._said[kind] = (written_s, left_out + 1)
            return
        if len(self._said) >= KINDS_MAX:
            self._said.clear()
        self._said[kind] = (now_s, 0)
        more: dict[str, Any] = {"left_out": left_out} if left_out else {}
        if record.exc_info and record.exc_info[1] is not None:
            more["exc_info"] = record.exc_info[1]
        logger = structlog.get_logger()
        logger.log(record.levelno, "library", library=record.name, said=record.getMessage(), **more)


def configure(json: bool | None = None) -> None:
    """Set up structlog, and what libraries log. `json` None is: JSON unless stderr is a terminal.

    Calling again replaces.
    """
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Libraries)]:
        root.removeHandler(handler)
    root.addHandler(Libraries())
    as_json = not sys.stderr.isatty() if json is None else json
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Locals stay out of tracebacks in both forms: a token or what somebody wrote may be among them.
    if as_json:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        processors += [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        plain = structlog.dev.plain_traceback
        processors += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
