"""Where replicas save their state: a port. Adapter: `snapshots_folder.py`."""

from typing import Protocol

from msgspec import Struct


class Snapshot(Struct, frozen=True, gc=False):
    """A saved state. `offset`: of the last record applied to it; `identity`: of the log it was folded from."""

    stage: str
    partition: int
    offset: int
    fold_version: int
    identity: str
    state: bytes


class Snapshots(Protocol):
    async def save(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` durably, whole or not at all, and the one before it; older ones may be forgotten."""
        ...

    async def candidates(self, stage: str, partition: int) -> list[Snapshot]:
        """What is kept and whole, newest first. Torn or foreign ones are left out, with a warning in the log."""
        ...

    async def drop(self, stage: str, partition: int) -> None:
        """Forget all of one partition's."""
        ...
