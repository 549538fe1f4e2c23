"""After a restart of the edge, how long until all who were there have what they missed, and have it once?

5,000 sockets were open, the edge ended, and each of their users has been told of 20 things since. Then the edge starts
anew, and all connect at once with the cursors they had. Time runs from the moment it listens to the last frame. What
each socket got is compared with what its user missed: all, once, in order.

Asked twice: `to_all`, 20 activities for everybody, which the edge's ring holds; and `to_few`, activities for 40 each,
2,500 records in each of 8 partitions, which is more than the ring does.

Figure asked: at most 10 s, each item once.
"""

import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.edge.notices import EPOCH, activities
from benchmarks.edge.serve import Load, served
from benchmarks.harness import asked, hash_of, report, say, skip
from benchmarks.load import NoCompiler, numbers_in, sockets, users_file
from fanbell.edge.cursor import encode_cursor

QUESTION: Final = "edge: all resume after a restart"
SOCKETS: Final = 5_000
MISSED: Final = 20
FEW: Final = 40


def missed_of(load: Load) -> dict[str, list[int]]:
    """By user, the numbers of the activities that they missed: all that the log has, drawn as `serve` draws them."""
    count, size = load.before, load.data_bytes
    drawn = activities(load.names, load.partitions, recipients=load.recipients, count=count, data_bytes=size)
    found: dict[str, list[int]] = {user: [] for user in load.names}
    for number, shapes in enumerate(drawn):
        for shape in shapes:
            for user in shape.users:
                found[user].append(number)
    return found


def resumed(folder: Path, load: Load) -> dict[str, Any]:
    """Resume everybody from the beginning of the log; what that took."""
    start = encode_cursor(EPOCH, 0)
    users = users_file(folder / "users", [(*load.line(user), start) for user in load.names])
    missed = missed_of(load)
    assert {len(numbers) for numbers in missed.values()} == {MISSED}
    with served(load) as edge, sockets(edge.at, users, ids=True, at_once=load.users) as client:
        client.say(f"until {load.users * MISSED}")
        seconds = client.answer()["seconds"]
        client.ask("opened")
        client.ask(f"ids {folder / 'ids'}")
        seen = client.ask("report")
        stats = edge.ask("stats")
    heard = numbers_in(folder / "ids")
    wrong = [user for user in missed if heard[user] != missed[user]]
    assert not wrong, f"{len(wrong)} users did not get what they missed, once and in order, as {wrong[0]}"
    return {
        "seconds": round(seconds, 2),
        "items": seen["types"]["notification"],
        "tries_again": seen["retries"],
        "fresh_pages": seen["types"]["page"],
        "edge_cpu_s": round(stats["cpu_s"], 2),
    }


def main(tiny: bool = False) -> None:
    count, few = (40, 8) if tiny else (SOCKETS, FEW)
    loads = {
        "to_all": Load(users=count, recipients=count, before=MISSED, pool=1),
        "to_few": Load(users=count, recipients=few, before=count // few * MISSED, pool=1),
    }
    figures: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as name:
            for what, load in loads.items():
                found = resumed(Path(name), load)
                say(f"{what}: {found['seconds']} s")
                figures |= {f"{what}_{figure}": value for figure, value in found.items()}
    except NoCompiler as error:
        skip(QUESTION, str(error))
        return
    report(QUESTION, figures, hash_of([b"all once, in order"]), synthetic=True, sockets=count, missed=MISSED)


if __name__ == "__main__":
    main(**vars(asked()))
