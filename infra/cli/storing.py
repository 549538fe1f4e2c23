"""`fanbell store plan|apply`: the tables in Cassandra, shown and made."""

import asyncio
from typing import TYPE_CHECKING

import typer

from fanbell.infra.cli import options, serving, show

if TYPE_CHECKING:
    from fanbell.projections.cassandra_schema import SchemaFile
    from fanbell.streams.cassandra import CassandraConfig

store = typer.Typer(help="Make the tables of inboxes in Cassandra.", no_args_is_help=True)


@store.command(context_settings=serving.MORE, epilog=serving.EPILOG)
def plan(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Show what is missing in Cassandra, and the statements that `apply` would run. Changes nothing."""
    where = _config(context, config)
    files, left = asyncio.run(_files(where, apply=False))
    if json:
        show.as_json({"keyspace": where.keyspace, "missing": _described(files), "left": left})
        return
    for file in files:
        show.said(f"-- {file.name}", "dim")
        for statement in file.statements:
            show.said(f"{statement};", "")
    if not files:
        show.said(f"nothing is missing in keyspace {where.keyspace}")
    _say_left(left)


@store.command("apply", context_settings=serving.MORE, epilog=serving.EPILOG)
def apply_(context: typer.Context, config: options.Config = None, json: options.Json = False) -> None:
    """Make what is missing in Cassandra. Once more changes nothing."""
    where = _config(context, config)
    files, left = asyncio.run(_files(where, apply=True))
    if json:
        show.as_json({"keyspace": where.keyspace, "applied": _described(files), "left": left})
        return
    names = ", ".join(file.name for file in files)
    show.said(f"applied to keyspace {where.keyspace}: {names}" if files else "nothing was missing")
    _say_left(left)


def _config(context: typer.Context, config: str | None) -> "CassandraConfig":
    settings = serving.settings_of(context, config)
    from fanbell.infra.cassandra import (
        cassandra_config,  # the driver takes longer to import than --help to print
    )

    return cassandra_config(settings)


def _say_left(left: list[str]) -> None:
    for why in left:
        show.said(f"left as it is: {why}", "yellow")


async def _files(config: "CassandraConfig", *, apply: bool) -> "tuple[list[SchemaFile], list[str]]":
    """What is missing, or was made; and what is not as it should be and stays so."""
    from fanbell.projections import cassandra_schema
    from fanbell.streams.cassandra import connect

    cassandra = await connect(config, keyspace=False)
    try:
        work = cassandra_schema.apply_schema if apply else cassandra_schema.plan
        return await work(cassandra), await cassandra_schema.left(cassandra)
    finally:
        await cassandra.close()


def _described(files: "list[SchemaFile]") -> list[dict[str, object]]:
    return [{"number": file.number, "file": file.name, "statements": file.statements} for file in files]
