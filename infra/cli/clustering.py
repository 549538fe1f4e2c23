"""`fanbell cluster up|status|down`: a Kafka and a Cassandra of one's own on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.local import cluster as local
from fanbell.infra.settings import variable_of

cluster = typer.Typer(
    help="Run a Kafka and a Cassandra on this machine, for development.", no_args_is_help=True
)

DATA = ".cluster"
Data = Annotated[str, typer.Option("--data", help="Folder of the servers' data.")]


@cluster.command()
def up(
    data: Data = DATA,
    brokers: Annotated[
        int | None,
        typer.Option(
            "--brokers",
            help="Kafka brokers, 1 or 3; as many as there were, or 1, if not given.",
            show_default=False,
        ),
    ] = None,
    ports: Annotated[
        str | None,
        typer.Option(
            "--ports",
            help="Two for each broker, then Cassandra's two; free ones if not given.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Start them, and wait until they answer. They go on running until `fanbell cluster down`."""
    if brokers is not None and brokers not in local.BROKERS:
        raise Failed(Exit.USAGE, f"--brokers must be one of {local.BROKERS}, not {brokers}")
    try:
        given = [int(port) for port in ports.split(",")] if ports else None
    except ValueError:
        given = []
    count = 2 * local.number_of_brokers(Path(data), brokers) + 2
    if given is not None and (len(given) != count or not all(0 < port < 1 << 16 for port in given)):
        raise Failed(Exit.USAGE, f"--ports must be {count} port numbers, separated by commas, not {ports!r}")
    made = local.up(Path(data), brokers, given)
    if json:
        show.as_json(_described(made))
        return
    show.said(f"Kafka listens on {made.bootstrap}, Cassandra on {made.contact_points}; data in {data}")
    variables = (f"{variable_of(name)}={value}" for name, value in _settings(made).items())
    show.said("export " + " ".join(variables), style="")


@cluster.command()
def status(data: Data = DATA, json: options.Json = False) -> None:
    """Show what runs, and whether it answers. Exit code 1 if something does not."""
    made = _read(data)
    found = _described(made)
    if json:
        show.as_json(found)
    else:
        for node in found["nodes"]:
            state = (
                "answers" if node["answers"] else "runs, but does not answer" if node["alive"] else "is down"
            )
            show.said(
                f"{node['name']:<16} 127.0.0.1:{node['port']:<6} {state}",
                "green" if node["answers"] else "red",
            )
    if not all(node["answers"] for node in found["nodes"]):
        raise Failed(
            Exit.FAILED, "not all of them answer", "their logs are below the data folder, in output.log"
        )


@cluster.command()
def down(
    data: Data = DATA,
    forget: Annotated[bool, typer.Option("--forget", help="Remove their data too.")] = False,
) -> None:
    """End them. Their data stays, unless it is to be forgotten."""
    made = _read(data)
    local.down(Path(data), forget=forget)
    show.said(f"{len(made.nodes)} servers are down" + (", and their data is gone" if forget else ""))


def _read(data: str) -> local.Cluster:
    made = local.read(Path(data))
    if made is None:
        raise Failed(Exit.NOT_FOUND, f"no cluster was started in {data}", "`fanbell cluster up` starts one")
    return made


def _settings(made: local.Cluster) -> dict[str, str | int]:
    """What whoever uses it has to be told, by the names of settings; all others may be left as they are."""
    return {
        "kafka_bootstrap_servers": made.bootstrap,
        "kafka_replication_factor": len(made.brokers),
        "cassandra_contact_points": made.contact_points,
    }


def _described(made: local.Cluster) -> dict[str, Any]:
    answers = local.answers(made)
    return {
        **_settings(made),
        "nodes": [
            {
                "name": node.name, "port": node.port, "pid": node.pid, "alive": node.alive,
                "answers": answers[node.name], "log": node.log,
            }
            for node in made.nodes
        ],
    }  # fmt: skip
