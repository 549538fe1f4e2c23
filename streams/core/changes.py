"""Activities that change the graph, as changes; what is wrong with a change, and where each must go."""

from msgspec.structs import replace

from fanbell.schemas.parse import ASPECTS, VERBS
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.kinds import GRAPH


def fault_of(change: Change) -> str | None:
    """What keeps the change from taking effect, field first; None if nothing does."""
    kind, what = change.kind, change.object
    if kind in ("preferences", "profile"):
        return None
    if kind == "mark":
        if change.verb not in VERBS:
            return f"verb: must be one of {', '.join(VERBS)}"
        return None if len(change.ids) == len(change.seqs) else "seqs: must be as many as ids"
    if kind not in GRAPH:
        return f"kind: {kind!r} is no change"
    if what is None:
        return f"object: is required for a change of kind {kind}"
    if kind in ("mute", "unmute"):
        return None if change.aspect in ASPECTS else f"aspect: must be one of {', '.join(ASPECTS)}"
    return f"object: {what!r} cannot {kind} themselves" if what == change.user else None


def change_of(activity: Activity) -> Change:
    """The change that an activity of a kind in `kinds.GRAPH` makes. It passed `Rules.faults`."""
    aspect, what = None, activity.object
    if activity.kind in ("mute", "unmute"):
        aspect, _, what = activity.object.partition(":")
    return Change(
        activity.id,
        activity.kind,
        activity.actor,
        object=what,
        aspect=aspect,
        occurred_at=activity.occurred_at,
    )


def placed(change: Change, partitions: int) -> list[tuple[int, Change]]:
    """The partitions of `routed` that must hear of the change: the user's; for follow and block the other's too."""
    home = partition_of(change.user, partitions)
    if change.object is None or change.kind not in ("follow", "unfollow", "block", "unblock"):
        return [(home, replace(change, side="user"))]
    other = partition_of(change.object, partitions)
    if other == home:
        return [(home, replace(change, side="both"))]
    return [(home, replace(change, side="user")), (other, replace(change, side="other"))]
