"""Processes of a cluster that answer people, `fanbell api` and `fanbell edge`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from fanbell.infra import connected, up
from fanbell.infra.cluster import Clustered, Discontinued
from fanbell.infra.connected import clients, is_away
from fanbell.infra.patience import Patience
from fanbell.infra.settings import Settings
from fanbell.projections.cassandra_tickets import CassandraTickets

REFUSALS: Final = (*up.REFUSALS, *connected.REFUSALS, Discontinued)
"""What keeps a process that answers from starting, or going on, said in one line rather than by a traceback."""


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, patience: Patience | None = None, parts: up.Parts = up.BOTH
) -> AsyncIterator[up.Opened]:
    """The backend of an API or an edge. Raises what `clients` and `Clustered.start` do."""
    patience = patience or Patience()
    async with clients(settings, patience) as (log, cassandra, store):

        async def started() -> Clustered:
            # An API answers for everybody, and about everybody; an edge for those who are connected to it.
            made = Clustered(
                settings,
                log,
                store,
                CassandraTickets(cassandra),
                hears_presence=parts.api,
                on_demand=not parts.api,
            )
            await made.start()
            return made

        backend = await patience.until_there("Kafka and Cassandra", started, is_away)
        try:
            yield up.Opened(backend, backend.failed)
        finally:
            await backend.stop()


def serve(settings: Settings, json: bool, parts: up.Parts) -> int:
    """Answer people until a signal; the exit code."""
    where = f"Kafka at {','.join(settings.kafka_bootstrap_servers)}"
    more = {"kafka": ",".join(settings.kafka_bootstrap_servers)}

    def started(live: up.Running) -> None:
        up.say(live, json, more, where)

    stop = asyncio.Event()
    patience = Patience(settings.start_wait_s, stop)
    patient = partial(opened, patience=patience, parts=parts)
    return up.serve(
        settings,
        json,
        started,
        opened=patient,
        parts=parts,
        refused=REFUSALS,
        stop=stop,
        drain_s=settings.drain_s,
    )
