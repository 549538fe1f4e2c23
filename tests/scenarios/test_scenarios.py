"""Runs the stories in the text files beside it: what people do, and what others hear of it.

A story begins with `== its title`. Each line is something that happens, time that passes (`5 s pass`), or what is so:

    ana hears: bob and cy liked p1 (like)      the newest of ana's inbox, new or moved by the line before
    ana hears nothing                          the line before brought ana nothing new
    ana's inbox: empty                         or, on lines of their own, the whole inbox, newest first,
        bob posted p1 (post) - seen, read      with what was marked

What can happen is the table `HAPPENINGS`. Every story is told with one partition and with eight.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fanbell.schemas.records import Activity, Change, Preference
from fanbell.streams.core.kinds import default_source
from tests.streams.pipeline import Pipeline

HERE = Path(__file__).parent
NOW_MS = 1_760_000_000_000
UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
TOLD = {
    "follow": "followed", "post": "posted", "comment": "commented on", "reply": "replied to", "like": "liked",
    "repost": "reposted", "mention": "mentioned them in", "message": "wrote in",
}  # fmt: skip
MARKS = {
    "reads": "read",
    "unreads": "unread",
    "sees": "seen",
    "archives": "archive",
    "unarchives": "unarchive",
    "clicks": "click",
}
MORE = r"(?: in (?P<scope>\w+))?(?: mentioning (?P<mentions>[\w, ]+))?(?:, owned by (?P<owner>\w+))?"


def names(text: str) -> list[str]:
    return re.split(r"\s*,\s*|\s+and\s+", text.strip()) if text else []


class Story:
    """Lines of one story, told to a pipeline."""

    def __init__(self, partitions: int) -> None:
        self.pipeline = Pipeline(default_source(), partitions)
        self.now, self.number = NOW_MS, 0
        self.before: dict[str, list[int]] = {}

    def tell(self, line: str) -> None:
        for pattern, happens in HAPPENINGS:
            if found := re.fullmatch(pattern, line):
                people = set(re.findall(r"\w+", line)) | set(self.before)
                self.before = {person: self.places(person) for person in people}
                happens(
                    self, **{name: value for name, value in found.groupdict().items() if value is not None}
                )
                return
        raise AssertionError("this can neither happen nor be so; see the table HAPPENINGS")

    def places(self, user: str) -> list[int]:
        return [row.seq for row in self.pipeline.rows(user)]

    def publish(self, kind: str, actor: str, object_: str, **fields: Any) -> None:
        self.number += 1
        for name in ("mentions", "recipients"):
            if name in fields:
                fields[name] = names(fields[name])
        self.pipeline.take(Activity(f"a{self.number}", kind, actor, object_, **fields), self.now)

    def change(self, kind: str, user: str, **fields: Any) -> None:
        self.number += 1
        self.pipeline.take(Change(f"a{self.number}", kind, user, **fields), self.now)

    def prefer(self, actor: str, wishes: str) -> None:
        items = []
        for wish in names(wishes):
            kind, value, _, scope = re.fullmatch(r"(\S+) (on|off|digest)( in (\w+))?", wish).groups()  # type: ignore[union-attr]
            items.append(Preference(kind, "inbox", scope or "*", value))
        self.change("preferences", actor, preferences=items)

    def mark(self, actor: str, how: str, which: str) -> None:
        shown = self.pipeline.inbox(actor)
        if which == "all":
            self.change("mark", actor, verb=MARKS[how], up_to=shown[0]["place"])
        else:
            item = shown[int(which) - 1]
            self.change("mark", actor, verb=MARKS[how], ids=[item["id"]], seqs=[item["place"]])

    def passes(self, number: str, unit: str) -> None:
        self.now += int(number) * UNITS_MS[unit]
        self.pipeline.tick(self.now)

    def inbox(self, user: str) -> list[str]:
        return [self.line(item) for item in self.pipeline.inbox(user)]

    @staticmethod
    def line(item: dict[str, Any]) -> str:
        """A row as the stories write it."""
        people, others = item["actors"], item["count"] - len(item["actors"])
        told = f"{others} others" if others > 1 else "1 other" if others else people[-1]
        who = people if others else people[:-1]
        what = "" if item["kind"] == "follow" else f" {item['target'] or item['object']}"
        marks = [flag for flag in ("seen", "read", "archived", "clicked") if flag in item["flags"]]
        begins = f"{', '.join(who)} and {told}" if who else told
        return f"{begins} {TOLD[item['kind']]}{what} ({item['reason']})" + (
            f" - {', '.join(marks)}" if marks else ""
        )


class Expectation:
    """What a line says is so."""

    def __init__(self, user: str, said: str, rows: list[str]) -> None:
        self.user, self.said, self.rows = user, said, rows

    def check(self, story: Story) -> None:
        inbox = story.inbox(self.user)
        if self.said == "inbox":
            assert inbox == self.rows
        else:
            new = [place for place in story.places(self.user) if place not in story.before.get(self.user, [])]
            assert inbox[: len(new)] == self.rows


def graph(kind: str) -> Callable[..., None]:
    return lambda story, actor, what: story.change(kind, actor, object=what)


def muting(kind: str) -> Callable[..., None]:
    return lambda story, actor, aspect, what: story.change(kind, actor, object=what, aspect=aspect)


def doing(kind: str) -> Callable[..., None]:
    return lambda story, actor, what, **fields: story.publish(kind, actor, what, **fields)


WHO = r"(?P<actor>\w+)"
HAPPENINGS: list[tuple[str, Callable[..., None]]] = [
    *((rf"{WHO} {kind}s (?P<what>\w+)", graph(kind)) for kind in ("follow", "unfollow", "block", "unblock")),
    *(
        (rf"{WHO} {kind}s (?P<aspect>author|entity|thread|scope) (?P<what>\w+)", muting(kind))
        for kind in ("mute", "unmute")
    ),
    *(
        (rf"{WHO} {kind}s (?P<what>\w+){MORE}", doing(kind))
        for kind in ("post", "like", "unlike", "repost", "unrepost")
    ),
    (rf"{WHO} comments (?P<what>\w+) on (?P<target>\w+){MORE}", doing("comment")),
    (rf"{WHO} replies (?P<what>\w+) to (?P<target>\w+){MORE}", doing("reply")),
    (rf"{WHO} mentions (?P<mentions>[\w, ]+) at (?P<what>\w+)", doing("mention")),
    (rf"{WHO} writes (?P<what>\w+) in (?P<target>\w+) to (?P<recipients>[\w, ]+)", doing("message")),
    (rf"{WHO} deletes (?P<what>\w+)", doing("delete")),
    (
        r"an operator deletes (?P<what>\w+)",
        lambda story, what: story.publish("delete", "root", what, by_operator=True),
    ),
    (rf"{WHO} prefers (?P<wishes>.+)", Story.prefer),
    (rf"{WHO} (?P<how>{'|'.join(MARKS)}) (?P<which>all|\d+)", Story.mark),
    (r"(?P<number>\d+) (?P<unit>ms|s|min|h|d) pass(?:es)?", Story.passes),
]


def lines_of(text: str) -> Iterator[tuple[int, str | Expectation]]:
    """(number, what happens or is so) of a story's lines."""
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    while lines:
        number, line = lines.pop(0)
        if found := re.fullmatch(r"(\w+) hears(?: nothing|: (.+))", line):
            yield number, Expectation(found[1], "hears", [found[2]] if found[2] else [])
        elif found := re.fullmatch(r"(\w+)'s inbox:( empty)?", line):
            rows = []
            while lines and lines[0][1].startswith(" "):
                rows.append(lines.pop(0)[1].strip())
            assert bool(rows) is not bool(found[2]), f"line {number}: say `empty`, or what is in it"
            yield number, Expectation(found[1], "inbox", rows)
        else:
            yield number, line


def stories() -> Iterator[Any]:
    for path in sorted(HERE.glob("*.txt")):
        first = 1
        for part in re.split(r"(?m)^(?=== )", path.read_text(encoding="utf-8")):
            title, _, text = part.partition("\n")
            if title.startswith("== "):
                yield pytest.param(path.name, first, text, id=f"{path.stem}: {title[3:]}")
            first += part.count("\n")


@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize(("file", "first", "text"), list(stories()))
def test_story(file: str, first: int, text: str, partitions: int) -> None:
    """
    What the stories in the text files say is what happens.
    """
    story = Story(partitions)
    for number, line in lines_of(text):
        try:
            line.check(story) if isinstance(line, Expectation) else story.tell(line)
        except AssertionError as error:
            raise AssertionError(f"{file}, line {first + number}: {error}") from None
