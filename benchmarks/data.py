"""The published data sets beside the repository, as activities and changes. Read where they are; never copied.

Nothing here is generated but what is said so: the time of a like (the published one is that of the liked post).
Names are the sets' own internal numbers. People of melcup17 who are only acted upon have none; they are counted as they
come (`o1`, `o2`, …). See the README beside the data for what each file is, and whom to cite.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from fanbell.schemas.records import Activity, Change

LIKE_WITHIN_S: Final = 3_600  # a like comes so long after its post; the real delay is not known
STATUSES: Final = ("lrn_status_12977", "eva_status_10567")
LIKES: Final = ("lrn_likes_11024", "eva_likes_9266")
TWITTER_EPOCH_MS: Final = 1_288_834_974_657
FOLLOWED_BEFORE_MS: Final = 86_400_000  # the graph has no times: a day before the first event


def folder() -> Path | None:
    """Where the data sets are; None where they are absent."""
    path = Path(__file__).parents[2] / "shared" / "data"
    return path if path.is_dir() else None


def _table(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


class Melcup:
    """melcup17: members `u1` … `u1484`, whom they follow, and what they did, in order of time."""

    def __init__(self, data: Path) -> None:
        self._files = data / "melcup17"
        self._names = {row["uid"]: f"u{row['nuid']}" for row in self._table("user_ids_1484")}
        self.members = list(self._names.values())

    def _table(self, name: str) -> Iterator[dict[str, str]]:
        return _table(self._files / f"MelCup17_{name}.csv.gz")

    def _name(self, uid: str) -> str:
        found = self._names.get(uid)
        if found is None:
            found = self._names[uid] = f"o{len(self._names) - len(self.members) + 1}"
        return found

    def follows(self, at_ms: int | None = None) -> Iterator[Activity]:
        """The graph, in the file's order; all at `at_ms`."""
        for number, row in enumerate(self._table("following_network")):
            follower, followed = f"u{row['nuid_follower_v']}", f"u{row['nuid_followee_u']}"
            yield Activity(f"f{number}", "follow", follower, followed, occurred_at=at_ms)

    def events(self) -> list[Activity]:
        """Posts, reposts, comments and likes by time (at one time, in the files' order)."""
        found = [self._status(row) for name in STATUSES for row in self._table(name)]
        found += [self._like(row) for name in LIKES for row in self._table(name)]
        found.sort(key=lambda activity: activity.occurred_at or 0)
        return found

    def _status(self, row: dict[str, str]) -> Activity:
        made = Activity(
            f"s{row['t_id']}",
            "post",
            self._name(row["uid"]),
            f"t{row['t_id']}",
            occurred_at=int(row["timestamp_ms"]),
        )
        if row["is_retweet"] == "1":
            made.kind, made.object = "repost", f"t{row['retweeted_t_id']}"
            made.owner = self._name(row["retweeted_uid"])
        elif row["is_reply"] == "1":
            made.kind, made.target = "comment", f"t{row['replied_t_id']}"
            made.owner = self._name(row["replied_uid"])
        elif row["is_quote"] == "1":
            made.mentions = [self._name(row["quoted_uid"])]
        return made

    def _like(self, row: dict[str, str]) -> Activity:
        """The same (post, liker) gives the same activity: rows that repeat one are repeats."""
        post, liker = int(row["t_id_u"]), self._name(row["liked_by_uid_v"])
        delay_s = 1 + (post // 7 + int(row["liked_by_uid_v"])) % LIKE_WITHIN_S
        at_ms = (post >> 22) + TWITTER_EPOCH_MS + delay_s * 1_000
        owner = self._name(row["author_uid_u"])
        return Activity(f"l{post}.{liker}", "like", liker, f"t{post}", owner=owner, occurred_at=at_ms)


def slashdot(data: Path) -> Iterator[Change]:
    """slashdot-zoo: friends are follows, foes are mutes of the author; in the file's order."""
    with gzip.open(data / "slashdot-zoo" / "soc-sign-Slashdot090221.txt.gz", "rt", encoding="ascii") as lines:
        for number, line in enumerate(lines):
            if not line.startswith("#"):
                user, other, sign = line.split()
                if sign == "1":
                    yield Change(f"f{number}", "follow", f"u{user}", object=f"u{other}")
                else:
                    yield Change(f"m{number}", "mute", f"u{user}", object=f"u{other}", aspect="author")


def json_object(activity: Activity) -> dict[str, Any]:
    """The activity as a producer would write it: fields that say nothing left out."""
    found = {
        name: value
        for name in activity.__struct_fields__
        if name not in ("data", "by_operator") and (value := getattr(activity, name)) not in (None, [])
    }
    if activity.data is not None:
        found["data"] = msgspec.json.decode(activity.data)
    return found


def write_lines(path: Path, activities: Iterable[Activity]) -> int:
    """Write JSON lines; how many."""
    count = 0
    with path.open("wb") as file:
        for activity in activities:
            file.write(msgspec.json.encode(json_object(activity)) + b"\n")
            count += 1
    return count
