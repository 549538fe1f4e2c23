"""`fanbell topics plan|apply`: show, then make, the topics of a cluster."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import typer

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.cli.serving import EPILOG, MORE, settings_of
from fanbell.infra.settings import Settings
from fanbell.streams.log import LogFailed

if TYPE_CHECKING:
    from fanbell.streams.kafka import KafkaConfig
    from fanbell.streams.topics_kafka import Planned

topics = typer.Typer(help="Compare, and make, the topics of a cluster's Kafka.", no_args_is_help=True)


@topics.command(context_settings=MORE, epilog=EPILOG)
def plan(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Show what `apply` would do. Exit code 1 if anything is not as it must be."""
    found = _run(settings_of(context, config), apply=False)
    _print(found, json)
    if any(one.left for one in found):
        raise Failed(Exit.FAILED, "not all topics are as they must be, and `apply` cannot change it")
    if any(one.state != "ok" for one in found):
        raise Failed(
            Exit.FAILED, "not all topics are as they must be", "`fanbell topics apply` makes them so"
        )


@topics.command(context_settings=MORE, epilog=EPILOG)
def apply(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Make the topics that are missing, and alter settings that differ; put the first rules into them.

    Deletes nothing, and moves no partition.
    """
    found = _run(settings_of(context, config), apply=True)
    if json:
        _print(found, json)
        return
    for one in found:
        if one.state == "create":
            show.said(f"{one.topic}: made, {one.partitions} partitions, {one.replication_factor} replicas")
        elif one.differs:
            show.said(f"{one.topic}: " + ", ".join(f"{name} = {to}" for name, (_, to) in one.differs.items()))
        for left in one.left:
            show.said(f"{one.topic}: left as it is: {left}", "yellow")
    if all(one.state == "ok" for one in found):
        show.said("all topics are as they must be")


def _run(settings: Settings, *, apply: bool) -> list["Planned"]:
    try:
        from fanbell.infra.kafka import kafka_config, topics_wanted
        from fanbell.streams import topics_kafka
    except ModuleNotFoundError as error:
        raise Failed(
            Exit.FAILED, f"the cluster's clients are not installed: {error}", "pip install 'fanbell[cluster]'"
        ) from None
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says comes as our error too
    config, wanted = kafka_config(settings), topics_wanted(settings)

    async def work() -> list["Planned"]:
        if not apply:
            return await topics_kafka.plan(config, wanted)
        found = await topics_kafka.apply(config, wanted)
        if not any(one.left for one in found):
            await _put_rules(config)
        return found

    try:
        return asyncio.run(work())
    except LogFailed as error:
        raise Failed(Exit.UNREACHABLE, str(error), "`fanbell settings` shows the kafka_* in force") from None


async def _put_rules(config: "KafkaConfig") -> None:
    """They stand before whatever is published: a stage that meets an activity first could not go on."""
    from fanbell.streams.log_kafka import KafkaLog
    from fanbell.streams.rules import RulesKeeper

    log = await KafkaLog.open(config)
    try:
        await RulesKeeper(log).open()
    finally:
        await log.close()


def _print(found: list["Planned"], json: bool) -> None:
    if json:
        show.as_json([_described(one) for one in found])
        return
    table = show.table("topic", "", ">partitions", ">replicas", "")
    styles = {"ok": "green", "create": "cyan", "differs": "yellow"}
    for one in found:
        differs = [f"{name}: {is_} → {to}" for name, (is_, to) in one.differs.items()]
        table.add_row(
            show.text(one.topic),
            show.text(one.state, styles[one.state]),
            show.text(one.partitions),
            show.text(one.replication_factor),
            show.text("\n".join([*differs, *one.left])),
        )
    show.out().print(table)


def _described(one: "Planned") -> dict[str, Any]:
    return {
        "topic": one.topic,
        "state": one.state,
        "partitions": one.partitions,
        "replication_factor": one.replication_factor,
        "differs": {name: {"is": is_, "to": to} for name, (is_, to) in one.differs.items()},
        "left": list(one.left),
    }
