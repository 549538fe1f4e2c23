"""The log at a glance: every topic, its key, what it carries and who writes it."""

from typing import Final, NamedTuple

ACTIVITIES: Final = "activities"
CHANGES: Final = "changes"
ROUTED: Final = "routed"
NOTICES: Final = "notices"
DEAD: Final = "dead"
INTAKE: Final = "intake"
RULES: Final = "rules"
PRESENCE: Final = "presence"


class Topic(NamedTuple):
    """One row of the table. `partitioned` topics have as many partitions as the installation, others one.

    A `volatile` one says how things are rather than what happened: it may be forgotten by the clock.
    """

    name: str
    key: str
    carries: tuple[str, ...]
    written_by: str
    partitioned: bool
    volatile: bool = False


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        ACTIVITIES,
        "target if there is one, else object",
        ("Activity", "Fact", "Forward", "Stray", "Rules", "Tick"),
        "producers, API, stage 1",
        True,
    ),
    Topic(
        CHANGES, "the user whose wish it is", ("Change",), "producers that do not use our API or SDK", True
    ),
    Topic(
        ROUTED,
        "none: the recipients' partition is named",
        ("Command", "Change", "Rules", "Tick"),
        "stage 1; API and SDK",
        True,
    ),
    Topic(
        NOTICES,
        "none: the recipients' partition is named",
        ("Notice", "Update", "Retraction", "Mark", "Wish", "Outcome"),
        "stage 2",
        True,
    ),
    # Cluster only: one process alone knows without a log who is connected to it.
    Topic(PRESENCE, "none: the user's partition is named", ("Presence",), "edges", True, volatile=True),
    Topic(DEAD, "none", ("Dead",), "stages 1 and 2", False),
    # Cluster only: what was decided, in its order, before it enters the others (`streams/rules.py`).
    Topic(RULES, "none", ("Rules",), "API", False),
    # Embedded only: what the API acknowledged, in the one order in which one process takes all its sources.
    Topic(INTAKE, "none", ("Activity", "Change", "Rules"), "API (embedded)", False),
)
