"""Planted bugs of what changes as time goes by: new rules, what expires, and a log that is trimmed."""

from typing import Any

from fanbell.projections import inbox
from fanbell.projections.rows import Counts, counts
from fanbell.schemas.topics import ACTIVITIES, INTAKE, NOTICES, ROUTED
from fanbell.streams.core import hears
from fanbell.streams.core.fold import Versions
from fanbell.streams.core.route import Route
from fanbell.streams.folds import Folds
from fanbell.streams.trim import first_after, trim
from tests.simulation import workload
from tests.simulation.cluster import Cluster
from tests.simulation.planting import Patch, embedded_mutant, mutant
from tests.simulation.world import SimSnapshots

# Rules


@mutant
def rules_enter_activities_before_routed() -> list[Patch]:
    return [(workload, "RULES_GO_TO", (ACTIVITIES, ROUTED))]


@mutant
def forward_does_not_wait_for_its_rules() -> list[Patch]:
    return [(Versions, "awaits", lambda self, version: False)]


@mutant
def old_rules_lost_with_a_snapshot() -> list[Patch]:
    load = Versions.load.__func__  # type: ignore[attr-defined]

    def loaded(cls: Any, data: list[Any]) -> Any:
        return load(cls, [data[0], data[1][-1:]])

    return [(Versions, "load", classmethod(loaded))]


# Expiry


@mutant
def expired_activity_announced() -> list[Patch]:
    return [(hears, "_ACTIVE", tuple(rule for rule in hears._ACTIVE if rule[0] != "expired"))]


@mutant
def expiry_of_the_kind_forgotten() -> list[Patch]:
    content = Route._content

    def own(self: Any, activity: Any, kind: str, thread: Any, own_ms: int, rules: Any = None) -> bytes:
        return content(self, activity, kind, thread, own_ms, None)

    return [(Route, "_content", own)]


@mutant
def expired_row_counted() -> list[Patch]:
    def all_of_them(rows: Any, now_ms: int) -> Counts:
        return counts(rows, 0)

    return [(inbox, "counts", all_of_them)]


@mutant
def counters_kept_while_rows_expire() -> list[Patch]:
    return [(inbox, "expires_next", lambda rows, now_ms: None)]


# Trimming: what the replicas and the projectors are to notice


@mutant
def cluster_trims_past_the_older_snapshot() -> list[Patch]:
    def newer(self: Any, stage: str, partition: int) -> int:
        kept = self._kept.get((stage, partition), [])
        return max((snapshot.offset for snapshot in kept), default=-1)

    return [(SimSnapshots, "older", newer)]


@mutant
def notices_trimmed_past_the_inbox() -> list[Patch]:
    needed = Cluster._needed

    def all_of_them(self: Any, stage: str, partition: int) -> int:
        return (
            self.log.end_now(NOTICES, partition) if stage == "projector" else needed(self, stage, partition)
        )

    return [(Cluster, "_needed", all_of_them)]


@embedded_mutant
def log_trimmed_past_the_older_snapshot() -> list[Patch]:
    real = Folds.trim

    async def hasty(self: Any, before_ms: int) -> int:
        for replica in self.replicas:
            await trim(self.log, replica.topic, replica.partition, before_ms, replica.saved + 1)
        return await real(self, before_ms)

    return [(Folds, "trim", hasty)]


@embedded_mutant
def intake_trimmed_past_what_was_taken() -> list[Patch]:
    real = Folds.trim

    async def hasty(self: Any, before_ms: int) -> int:
        await real(self, before_ms)
        return await first_after(self.intake, INTAKE, 0, before_ms, await self.intake.end(INTAKE, 0))

    return [(Folds, "trim", hasty)]
