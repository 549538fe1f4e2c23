"""The command line: `fanbell VERB`. One file for each sort of verb; `exits.py` says how commands end."""

import sys
from typing import Final

import typer

from fanbell.infra.cli import (
    asking,
    clustering,
    doctor,
    folding,
    operating,
    publishing,
    serving,
    show,
    storing,
    tailing,
    topics,
)
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.settings import BadSetting

RUN: Final = "Run"
CLUSTER: Final = "Run a cluster"
USE: Final = "Use"
OPERATE: Final = "Operate"

app: Final = typer.Typer(
    help="Fanbell: from what people do to what other people hear about it.",
    epilog="Exit codes: " + ", ".join(f"{code.value} {code.label}" for code in Exit) + ".",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up", rich_help_panel=RUN, context_settings=serving.MORE, epilog=serving.EPILOG)(serving.up)
app.command("api", rich_help_panel=CLUSTER, context_settings=serving.MORE, epilog=serving.EPILOG)(serving.api)
app.command("edge", rich_help_panel=CLUSTER, context_settings=serving.MORE, epilog=serving.EPILOG)(
    serving.edge
)
app.command("worker", rich_help_panel=CLUSTER, context_settings=serving.MORE, epilog=serving.EPILOG)(
    serving.worker
)
app.command("demo", rich_help_panel=RUN, context_settings=serving.MORE, epilog=serving.EPILOG)(serving.demo)
app.command("load", rich_help_panel=RUN, context_settings=serving.MORE, epilog=serving.EPILOG)(
    serving.load_file
)
app.command("publish", rich_help_panel=USE)(publishing.publish)
app.command("inbox", rich_help_panel=USE)(asking.inbox)
app.command("tail", rich_help_panel=USE)(tailing.tail)
app.command("trace", rich_help_panel=USE)(asking.trace)
app.command("stats", rich_help_panel=OPERATE)(asking.stats)
app.add_typer(clustering.cluster, name="cluster", rich_help_panel=CLUSTER)
app.add_typer(topics.topics, name="topics", rich_help_panel=CLUSTER)
app.add_typer(folding.fold, name="fold", rich_help_panel=CLUSTER)
app.add_typer(operating.kinds, name="kinds", rich_help_panel=OPERATE)
app.add_typer(operating.dead, name="dead", rich_help_panel=OPERATE)
app.add_typer(storing.store, name="store", rich_help_panel=CLUSTER)
app.command("token", rich_help_panel=OPERATE)(operating.token)
app.command("settings", rich_help_panel=OPERATE, context_settings=serving.MORE)(serving.settings)
app.command("doctor", rich_help_panel=OPERATE, context_settings=serving.MORE)(doctor.doctor)
app.command("version", rich_help_panel=OPERATE)(serving.version)


def run(args: list[str] | None = None) -> int:
    """Run one command and return its exit code; `args` None are those of the process.

    Typer itself turns usage errors, Ctrl-C and a reader that has left (`fanbell inbox ana | head`) into codes.
    """
    try:
        app(args, prog_name="fanbell")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise  # a fault of ours: the traceback is what we want to see
        if failure.message:
            show.failed(failure)
        return failure.code
    return Exit.OK


def failure_of(error: Exception) -> Failed | None:
    """How to tell a person of `error`; None if nobody expected it."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, BadSetting):
        return Failed(Exit.USAGE, str(error), "`fanbell settings` lists the settings")
    for name, code, hint in _EXPECTED:
        if any(cls.__name__ == name for cls in type(error).__mro__):
            return Failed(code, str(error), hint)
    return None


_LOOK: Final = "`fanbell doctor` looks for the cause"
_EXPECTED: Final = (
    # By name: importing these modules costs more than `--help` takes.
    ("UnsafeBind", Exit.USAGE, ""),
    ("BadSecret", Exit.USAGE, ""),
    ("BadRules", Exit.REFUSED, ""),
    ("BadLine", Exit.REFUSED, "what stands before it is loaded; correct the line and load the file again"),
    ("FolderInUse", Exit.FAILED, ""),
    ("FoldFailed", Exit.FAILED, _LOOK),
    ("FolderUnusable", Exit.FAILED, ""),
    ("Missing", Exit.FAILED, ""),
    ("NotStarted", Exit.FAILED, ""),
    ("AlreadyUp", Exit.FAILED, ""),
    ("OtherNumber", Exit.USAGE, ""),
    ("DatabaseFailed", Exit.FAILED, _LOOK),
    ("Discontinued", Exit.FAILED, ""),
    ("CassandraFailed", Exit.FAILED, ""),
    ("StoreFailed", Exit.FAILED, _LOOK),
    ("LogFailed", Exit.FAILED, _LOOK),
    ("TopicsUnusable", Exit.FAILED, ""),
    ("SourcesChanged", Exit.FAILED, ""),
    ("LogShort", Exit.FAILED, _LOOK),
    ("UnknownFold", Exit.FAILED, ""),
    ("SnapshotFailed", Exit.FAILED, _LOOK),
    ("Unavailable", Exit.FAILED, _LOOK),
    ("TlsUnusable", Exit.USAGE, "`fanbell settings` lists the settings"),
    ("OSError", Exit.FAILED, _LOOK),
)


def main() -> None:
    """The `fanbell` command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that cannot show a character is no reason to fail
    sys.exit(run())
