"""What is common in a world: one that has everything shows little of what takes a run of luck."""

from collections.abc import Sequence
from typing import Final, NamedTuple


class Ways(NamedTuple):
    """What a world chooses from, each time anew; what stands there twice comes twice as often."""

    keep: Sequence[int] = (4, 8, 100)
    unread_max: int = 4
    """Frames on the wire before the transport is full."""
    mailbox_frames: Sequence[int] = (3, 1_000)
    people: Sequence[str] = ("ana", "bob")
    """Who has news; the devices of the others hear of nothing."""
    present: bool = False
    """Whether devices are there from the beginning."""
    steps: Sequence[str] = (
        "news", "news", "news", "on_the_way", "on_the_way", "device", "device", "rest",
    )  # fmt: skip
    records: Sequence[str] = (
        "notice", "notice", "all", "group", "grow", "grow", "correct", "retract", "restore", "mark", "upto", "wish",
    )  # fmt: skip
    about: int = 1_000
    """Records are about one of so many groups, the latest."""
    verbs: Sequence[str] = ("read", "unread", "archive", "unarchive", "seen")
    lasting: float = 0.75
    """How many rows never expire."""
    devices: Sequence[str] = ("read", "read", "ping", "back", "back", "cut")
    rests: Sequence[str | float] = ("replace", "restart", "restart", *[0.0] * 27, *[0.01, 0.5, 3.0] * 3)
    """Another log, another edge, or seconds that pass."""
    quiet: float = 0.06
    """How often, after a step, nothing happens for a while, so that all who are there must show what is."""


MIXED: Final = Ways()
SMALL: Final = Ways(
    keep=(2, 3, 4),
    present=True,
    steps=("news", "news", "on_the_way", "device"),
    records=("notice", "notice", "grow"),
    about=3,
    lasting=0.5,
    devices=("read", "read", "read", "back"),
    quiet=0.2,
)
"""Small inboxes of rows that expire, and devices that are mostly there."""
SLOW: Final = Ways(
    keep=(2,),
    unread_max=0,
    mailbox_frames=(30,),
    people=("ana",),
    present=True,
    steps=("news",),
    records=("group", "group", "grow", "retract"),
    about=2,
    lasting=1.0,
    quiet=0.1,
)
"""Devices that read only when all is quiet, of two groups that come, grow and go."""
COMING_BACK: Final = Ways(
    keep=(2, 3),
    present=True,
    steps=("news", "news", "news", "on_the_way", "on_the_way", "device"),
    records=("notice", "group", "grow", "retract", "restore", "mark"),
    about=2,
    devices=("read", "anew", "back", "cut"),
    quiet=0.1,
)
"""Devices that are cut off and come back to small inboxes, in which old rows are put back."""
RESTORING: Final = Ways(
    keep=(2, 3),
    unread_max=0,
    mailbox_frames=(30,),
    people=("ana",),
    present=True,
    steps=("news", "news", "on_the_way", "device"),
    records=("group", "grow", "retract", "restore"),
    about=2,
    lasting=1.0,
    devices=("back", "anew", "read"),
    quiet=0.12,
)
"""Devices that are slow and come and go, of two groups of which each may be taken back and put back."""
LEAVING: Final = Ways(
    keep=(100,),
    people=("ana",),
    present=True,
    steps=("news", "news", "on_the_way", "device"),
    records=("notice",),
    lasting=0.2,
    devices=("cut", "back"),
    quiet=0.2,
)
"""Rows that expire while devices are away."""
REPLACED: Final = Ways(rests=("replace", 0.0, 0.0, 0.5))
"""One log after the other."""
LOADED_ANEW: Final = Ways(
    keep=(2, 3),
    present=True,
    steps=("news", "news", "news", "on_the_way", "on_the_way", "device"),
    records=("notice", "notice", "mark"),
    verbs=("archive",),
    lasting=1.0,
    devices=("read", "anew"),
    quiet=0.12,
)
"""Devices that begin anew, with pages that leave out what was archived."""
WAYS: Final = (MIXED, MIXED, SMALL, SLOW, COMING_BACK, RESTORING, LOADED_ANEW, LEAVING, REPLACED)
