"""docs/producing.md: its examples are taken as they stand. tests/cluster/test_other_producers.py runs the programs."""

import ast
import re
from pathlib import Path
from typing import Final

from fanbell.schemas.parse import parse_activity, parse_json
from fanbell.schemas.parse_change import parse_change
from fanbell.schemas.topics import ACTIVITIES, CHANGES, TOPICS
from fanbell.streams.core.changes import fault_of
from fanbell.streams.core.kinds import default_source, parse_rules
from fanbell.streams.kafka import KafkaConfig

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "producing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """What stands between ```language and ```."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_activities_as_json_are_good() -> None:
    """
    Each activity that the page shows would be told by the rules that ship.
    """
    rules = parse_rules(default_source())
    shown = [parse_activity(parse_json(block.encode())) for block in blocks("json activity")]

    assert {activity.kind for activity in shown} == {"post", "comment", "like"}
    assert [rules.faults(activity) for activity in shown] == [[]] * len(shown)


def test_changes_as_json_are_good() -> None:
    """
    Each change that the page shows would take effect.
    """
    shown = [parse_change(parse_json(block.encode())) for block in blocks("json change")]

    assert {change.kind for change in shown} == {"follow", "mute", "preferences", "profile"}
    assert [fault_of(change) for change in shown] == [None] * len(shown)


def test_topics_and_keys_are_those_of_the_table() -> None:
    """
    The page's topics, with the prefix that holds unless set, and their keys are those of the log.
    """
    prefix = KafkaConfig(bootstrap_servers=("k",)).topic_prefix
    rows = dict(re.findall(r"^\| `(\S+)` \| (.*?) \|", PAGE, re.MULTILINE))

    assert set(rows) == {prefix + ACTIVITIES, prefix + CHANGES}
    for topic in TOPICS:
        if prefix + topic.name in rows:
            assert (
                rows[prefix + topic.name].replace("`", "").replace("the activity has one", "there is one")
                == topic.key
            )


def test_programs_are_whole() -> None:
    """
    The Python on the page compiles, and the Java is the program that the tests run.
    """
    for block in blocks("python"):
        compile(block, "docs/producing.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    assert blocks("java") == [(ROOT / "tests" / "cluster" / "Produce.java").read_text(encoding="utf-8")]
