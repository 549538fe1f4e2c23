"""The seeded workload of the benchmarks that have no real data to read. Everything it makes is synthetic."""

import random
from collections.abc import Iterator

from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.kinds import default_source


def quiet_source() -> str:
    """The rules that ship, but a follow tells nobody."""
    source = default_source().replace('audience = [{ to = "object", reason = "follow" }]', "audience = []", 1)
    assert source != default_source()
    return source


def follows(authors: int, followers: int, users: int, seed: int = 1) -> Iterator[Change]:
    """Each of `authors` is followed by `followers` of `users`."""
    random_ = random.Random(seed)
    for author in range(authors):
        for number, user in enumerate(random_.sample(range(users), followers)):
            yield Change(f"f{author}.{number}", "follow", f"user{user}", object=f"author{author}")


def wishes(users: int, authors: int, seed: int = 2) -> Iterator[Change]:
    """A few mutes, blocks and preferences, so that every rule has something to look at."""
    random_ = random.Random(seed)
    for number in range(users // 50):
        user, author = f"user{random_.randrange(users)}", f"author{random_.randrange(authors)}"
        yield Change(f"m{number}", "mute", user, object=author, aspect="author")
        yield Change(f"t{number}", "mute", user, object=f"p{number}", aspect="thread")
        yield Change(f"e{number}", "mute", user, object=f"p{number * 7}", aspect="entity")
        if number % 10 == 0:
            yield Change(f"b{number}", "block", user, object=author)


def activities(
    count: int, authors: int, users: int, seed: int = 3, start_ms: int = 1_700_000_000_000
) -> Iterator[Activity]:
    """Posts by turns, with 1 % comments and 5 % likes of recent posts; 20 ms apart."""
    random_ = random.Random(seed)
    posts: list[str] = []
    for number in range(count):
        at_ms = start_ms + number * 20
        dice = random_.random()
        if posts and dice < 0.01:
            yield Activity(
                f"a{number}",
                "comment",
                f"user{random_.randrange(users)}",
                f"c{number}",
                target=random_.choice(posts[-500:]),
                occurred_at=at_ms,
            )
        elif posts and dice < 0.06:
            yield Activity(
                f"a{number}",
                "like",
                f"user{random_.randrange(users)}",
                random_.choice(posts[-500:]),
                occurred_at=at_ms,
            )
        else:
            posts.append(f"p{number}")
            yield Activity(
                f"a{number}",
                "post",
                f"author{number % authors}",
                f"p{number}",
                data=b'{"title":"Hello"}',
                occurred_at=at_ms,
            )
