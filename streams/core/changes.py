"""Activities that change the graph, as changes, and where each must go."""

from msgspec.structs import replace

from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change


def change_of(activity: Activity) -> Change:
    """The change that an activity of a kind in `kinds.GRAPH` makes. It passed `Rules.faults`."""
    aspect, what = None, activity.object
    if activity.kind in ("mute", "unmute"):
        aspect, _, what = activity.object.partition(":")
    return Change(activity.id, activity.kind, activity.actor, object=what, aspect=aspect, occurred_at=activity.occurred_at)


def placed(change: Change, partitions: int) -> list[tuple[int, Change]]:
    """The partitions of `routed` that must hear of the change: the user's, and the other person's for follow and block."""
    home = partition_of(change.user, partitions)
    if change.object is None or change.kind not in ("follow", "unfollow", "block", "unblock"):
        return [(home, replace(change, side="user"))]
    other = partition_of(change.object, partitions)
    if other == home:
        return [(home, replace(change, side="both"))]
    return [(home, replace(change, side="user")), (other, replace(change, side="other"))]
