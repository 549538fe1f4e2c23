"""The tables in Cassandra: numbered files in `cql/`, each applied once, and noted down once it is.

Nothing is made behind an operator's back: `fanbell store plan` shows what `fanbell store apply` would do, and a store
whose tables are missing or of a newer version is refused.
"""

import re
from importlib.resources import files
from typing import Final, NamedTuple

from fanbell.projections.store import StoreFailed
from fanbell.streams.cassandra import Cassandra, CassandraConfig, CassandraFailed, SchemaMissing

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.cql")
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
REPLICAS: Final = "replication_factor"
_DATA_CENTRE: Final = re.compile(r"[\w.-]+")


class SchemaFile(NamedTuple):
    """One file: its number, its name, and the statements in it."""

    number: int
    name: str
    statements: list[str]


def schema_files(config: CassandraConfig) -> list[SchemaFile]:
    """All there are, in order, with the settings put in. Raises ValueError if those cannot be used."""
    if not _KEYSPACE.fullmatch(config.keyspace):
        raise ValueError(
            f"cassandra_keyspace must be small letters, digits and _, beginning with a letter, not {config.keyspace!r}"
        )
    found = []
    for path in files("fanbell.projections").joinpath("cql").iterdir():
        name = _NAME.fullmatch(path.name)
        if name:
            text = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
            text = text.replace("{keyspace}", config.keyspace)
            text = text.replace("{replication}", replication(config.replication))
            statements = [" ".join(part.split()) for part in text.split(";") if part.strip()]
            found.append(SchemaFile(int(name[1]), path.name, statements))
    return sorted(found)


def replication(said: str) -> str:
    """`said`, the setting cassandra_replication, as CQL. Raises ValueError."""
    return (
        "{'class': 'NetworkTopologyStrategy', " + ", ".join(f"'{dc}': {n}" for dc, n in _copies(said)) + "}"
    )


def _copies(said: str) -> list[tuple[str, int]]:
    """By data centre, or for every one (REPLICAS), how many copies `said` asks for. Raises ValueError."""
    pairs = [(REPLICAS, said.strip())]
    if not said.strip().isdigit():
        pairs = [
            (dc.strip(), copies.strip()) for dc, _, copies in (p.partition(":") for p in said.split(","))
        ]
    if not all(_DATA_CENTRE.fullmatch(dc) and copies.isdigit() and int(copies) for dc, copies in pairs):
        raise ValueError(
            f"cassandra_replication must be a number, or one for each data centre (dc1:3,dc2:3), not {said!r}"
        )
    return [(dc, int(copies)) for dc, copies in pairs]


async def left(cassandra: Cassandra) -> list[str]:
    """What is not as the settings say, and `apply_schema` does not change. Raises CassandraFailed, ValueError.

    Copies: more of them would be read before they are there, so somebody has to choose the moment.
    """
    config = cassandra.config
    rows = await cassandra.execute_plain(
        f"SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{config.keyspace}'"  # noqa: S608
    )
    if not rows:
        return []
    found = dict(rows[0][0])
    strategy = found.pop("class").rpartition(".")[2]
    copies = {dc: int(number) for dc, number in found.items()}
    wanted = dict(_copies(config.replication))
    if REPLICAS in wanted:  # of every data centre that there was when the keyspace was made
        wanted = dict.fromkeys(copies, wanted[REPLICAS])
    if (strategy, copies) == ("NetworkTopologyStrategy", wanted):
        return []
    return [
        f"keyspace {config.keyspace} has copies by {strategy}, {copies}, but cassandra_replication is "
        f"{config.replication}. `apply` does not change it: set it to what is there, or run ALTER KEYSPACE "
        f"{config.keyspace} WITH replication = {replication(config.replication)} and then, on every node, "
        f"`nodetool repair --full {config.keyspace}`"
    ]


async def applied(cassandra: Cassandra) -> list[int]:
    """The numbers of the files that were applied; none if there is no keyspace yet. Raises CassandraFailed."""
    keyspace = cassandra.config.keyspace
    try:
        rows = await cassandra.execute_plain(
            f"SELECT number FROM {keyspace}.schema_files WHERE name = 'fanbell'"  # noqa: S608 - checked above
        )
    except SchemaMissing:
        return []
    return sorted(number for (number,) in rows)


async def plan(cassandra: Cassandra) -> list[SchemaFile]:
    """The files that are to be applied. Raises CassandraFailed, ValueError, StoreFailed (tables of a newer version)."""
    known = schema_files(cassandra.config)
    done = await applied(cassandra)
    _refuse_newer(cassandra.config, done, known)
    return [file for file in known if file.number not in done]


async def apply_schema(cassandra: Cassandra) -> list[SchemaFile]:
    """Apply what `plan` says, and say what that was. Once more changes nothing."""
    todo = await plan(cassandra)
    for file in todo:
        for statement in file.statements:
            await cassandra.execute_plain(statement)
        await cassandra.execute_plain(
            f"INSERT INTO {cassandra.config.keyspace}.schema_files (name, number, file) "  # noqa: S608
            f"VALUES ('fanbell', {file.number}, '{file.name}')"
        )
    return todo


async def check_schema(cassandra: Cassandra) -> None:
    """Raise StoreFailed unless the tables are there and of this version."""
    try:
        todo = await plan(cassandra)
    except CassandraFailed as error:
        raise StoreFailed(str(error)) from error
    if todo:
        raise StoreFailed(
            f"Cassandra's keyspace {cassandra.config.keyspace} lacks {', '.join(file.name for file in todo)}: "
            "`fanbell store plan` shows what is missing, `fanbell store apply` makes it"
        )


def _refuse_newer(config: CassandraConfig, done: list[int], known: list[SchemaFile]) -> None:
    newest = max(file.number for file in known)
    if done and max(done) > newest:
        raise StoreFailed(
            f"Cassandra's keyspace {config.keyspace} has tables of version {max(done)}; this version of Fanbell "
            f"knows {newest} and older. Nothing was changed; use the newer version"
        )
