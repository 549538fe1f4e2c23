"""`fanbell fold plan|apply`: which version of the fold is in force, and how a newer one that all can run comes in."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.cli.serving import EPILOG, MORE, settings_of
from fanbell.infra.settings import Settings
from fanbell.streams.log import LogFailed

if TYPE_CHECKING:
    from fanbell.streams.kafka_members import Member

fold = typer.Typer(
    help="Put a newer version of the fold in force, once all workers can run it.", no_args_is_help=True
)


class Found(NamedTuple):
    """What there is: `newest` by this code; `in_force` is 0 where nothing was ever decided."""

    newest: int
    in_force: int
    workers: "list[Member]"

    @property
    def due(self) -> bool:
        """Whether this code knows a newer version than that in force."""
        return self.in_force < self.newest

    @property
    def behind(self) -> "list[Member]":
        """Workers that would stop if this code's newest were in force."""
        return [one for one in self.workers if not one.can_run(self.newest)]


@fold.command(context_settings=MORE, epilog=EPILOG)
def plan(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Show the version in force and what the live workers can run. Exit code 4 if `apply` would refuse."""
    found = _run(settings_of(context, config), apply=False)
    if json:
        show.as_json(_described(found))
    else:
        _print(found)
    _refuse(found)


@fold.command(context_settings=MORE, epilog=EPILOG)
def apply(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Put this release's version of the fold in force. Refused while a live worker cannot run it; never goes back."""
    found = _run(settings_of(context, config), apply=True)
    _refuse(found)
    if json:
        show.as_json({"applied": found.due, "in_force": max(found.in_force, found.newest)})
    elif found.due:
        show.said(f"version {found.newest} of the fold is in force, in every partition")
    else:
        show.said(f"version {found.in_force} of the fold is in force already")


def _run(settings: Settings, *, apply: bool) -> Found:
    """What was found; with `apply`, changed since, unless there was a reason to refuse or nothing to do."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says comes as our error too
    try:
        return asyncio.run(_look(settings, apply=apply))
    except ModuleNotFoundError as error:
        raise Failed(
            Exit.FAILED, f"the cluster's clients are not installed: {error}", "pip install 'fanbell[cluster]'"
        ) from None
    except LogFailed as error:
        raise Failed(Exit.UNREACHABLE, str(error), "`fanbell settings` shows the kafka_* in force") from None


async def _look(settings: Settings, *, apply: bool) -> Found:
    from fanbell.infra.kafka import kafka_config
    from fanbell.streams.agents.worker import Membership
    from fanbell.streams.core.kinds import FOLD_VERSION
    from fanbell.streams.kafka_members import members
    from fanbell.streams.log_kafka import KafkaLog
    from fanbell.streams.rules import RulesKeeper

    kafka = kafka_config(settings)
    log = await KafkaLog.open(kafka, settings.partitions)
    try:
        keeper = RulesKeeper(log)
        await keeper.learn()
        found = Found(FOLD_VERSION, keeper.fold_version, await members(kafka, Membership().group))
        if apply and found.due and not found.behind:
            await keeper.raise_fold(found.newest)
        return found
    finally:
        await log.close()


def _refuse(found: Found) -> None:
    if found.due and found.behind:
        raise Failed(
            Exit.REFUSED,
            f"{len(found.behind)} of {len(found.workers)} workers cannot run version {found.newest} of the fold, "
            "and would stop",
            "upgrade them, then try again; one that has left is missed after kafka_session_timeout_s",
            [f"{one.id} at {one.host}: {_can(one)}" for one in found.behind],
        )


def _can(one: "Member") -> str:
    return f"{one.oldest} to {one.newest}" if one.newest else "does not say what it can run"


def _print(found: Found) -> None:
    in_force = found.in_force or "none yet"
    show.said(f"in force: {in_force}; this release can put in force: {found.newest}")
    table = show.table("worker", "at", "can run")
    for one in found.workers:
        style = "green" if one.can_run(found.newest) else "yellow"
        table.add_row(show.text(one.id), show.text(one.host), show.text(_can(one), style))
    show.out().print(table)
    if not found.workers:
        show.said("no worker is running", "yellow")


def _described(found: Found) -> dict[str, Any]:
    return {
        "in_force": found.in_force,
        "newest": found.newest,
        "workers": [
            {"worker": one.id, "host": one.host, "oldest": one.oldest, "newest": one.newest}
            for one in found.workers
        ],
        "refused": found.due and bool(found.behind),
    }
