"""Where replicas save their state: a port. Adapters: `snapshots_folder.py`, `snapshots_memory.py`."""

from typing import Protocol

from msgspec import Struct


class SnapshotFailed(Exception):
    """A snapshot could not be saved or dropped. A replica may go on: those kept before are still kept."""


class Snapshot(Struct, frozen=True, gc=False):
    """A saved state. `offset`: of the last record applied to it; `identity`: of the log it is folded from."""

    stage: str
    partition: int
    offset: int
    fold_version: int
    identity: str
    state: bytes


class Snapshots(Protocol):
    async def save(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` durably, whole or not at all, and the one before it; older ones may be forgotten.

        Raises SnapshotFailed.
        """
        ...

    async def candidates(self, stage: str, partition: int) -> list[Snapshot]:
        """What is kept and whole, the one saved last first.

        Torn, damaged or newer ones are left out, with a warning.
        """
        ...

    async def drop(self, stage: str, partition: int) -> None:
        """Forget all of one partition's."""
        ...
