"""Where replicas save their state: a port. Adapters: `snapshots_folder.py`, `snapshots_memory.py`."""

from typing import Protocol

from msgspec import Struct


class SnapshotFailed(Exception):
    """A snapshot could not be saved, asked for or dropped. A replica that is open may go on: what was kept still is."""


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

    async def candidates(self, stage: str, partition: int, at_most: int | None = None) -> list[Snapshot]:
        """What is kept and whole, the one saved last first; with `at_most`, no more than so many are fetched.

        Torn, damaged or newer ones are left out, with a warning.
        """
        ...

    async def offsets(self, stage: str, partition: int, identity: str) -> list[int]:
        """Where those of the log `identity` stand that whoever opens the partition finds, the highest first.

        Not opened for this: one may turn out to be damaged. Raises SnapshotFailed if it cannot be known now.
        """
        ...

    async def drop(self, stage: str, partition: int) -> None:
        """Forget all of one partition's."""
        ...
