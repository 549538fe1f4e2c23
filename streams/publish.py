"""Where what is published stands in the log of a cluster: the one place that API and SDK have it from.

Changes of the graph take the short way: into `routed`, in the partitions of those whose wish it is, before the
activities of the same call. So what was acknowledged before is in force for whatever is published after.
"""

from collections import defaultdict
from collections.abc import Iterable

from fanbell.schemas.codec import encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core.changes import change_of, placed
from fanbell.streams.core.kinds import GRAPH
from fanbell.streams.log import Entry

Batches = list[tuple[str, int, list[Entry]]]
"""(topic, partition, entries), as `Log.append_all` takes them."""


def batches_of_activities(activities: Iterable[Activity], partitions: int, now_ms: int) -> Batches:
    """What to append for `activities`, in their order within each partition; `now_ms` is the time of appending."""
    changes: list[Change] = []
    others: defaultdict[int, list[Entry]] = defaultdict(list)
    for activity in activities:
        if activity.kind in GRAPH:
            changes.append(change_of(activity))
        else:
            key = activity.target or activity.object
            others[partition_of(key, partitions)].append(Entry(encode(activity), now_ms, key.encode()))
    found = batches_of_changes(changes, partitions, now_ms)
    return found + [(ACTIVITIES, partition, entries) for partition, entries in others.items()]


def batches_of_changes(changes: Iterable[Change], partitions: int, now_ms: int) -> Batches:
    """What to append for `changes`: a copy for each partition that must hear of one."""
    batches: defaultdict[int, list[Entry]] = defaultdict(list)
    for change in changes:
        for partition, copy in placed(change, partitions):
            batches[partition].append(Entry(encode(copy), now_ms))
    return [(ROUTED, partition, entries) for partition, entries in batches.items()]
