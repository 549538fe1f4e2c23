"""`streams/rules.py`: every partition has every version, in order, and `routed` before `activities`."""

import asyncio
from collections.abc import Sequence

import pytest

from fanbell.schemas.codec import decode
from fanbell.schemas.topics import ACTIVITIES, ROUTED, RULES
from fanbell.streams import rules as rules_module
from fanbell.streams.core.kinds import FOLD_VERSION, BadRules, default_source
from fanbell.streams.log import LogFailed
from fanbell.streams.log_memory import MemoryLog, Moment
from fanbell.streams.rules import GROUP, RulesKeeper

pytestmark = pytest.mark.anyio
OTHER = '[kinds.post]\naudience = [{ to = "followers_of_actor", reason = "post" }]\n'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Watched(MemoryLog):
    """A log of two partitions that lets others run at each step, and fails when told to."""

    def __init__(self) -> None:
        super().__init__(2)
        self.appends: list[tuple[str, int]] = []
        self.fails_at = -1

    def forget(self, group: str, topic: str, partition: int) -> None:
        """What `group` committed, as Kafka does seven days after, where the group has no members."""
        del self._committed[group, topic, partition]

    async def pause(self, moment: Moment, topic: str, partition: int) -> None:
        await asyncio.sleep(0)
        if moment == "append":
            if len(self.appends) == self.fails_at:
                self.fails_at = -1
                raise LogFailed("as told")
            self.appends.append((topic, partition))


async def versions(log: MemoryLog, topic: str, partition: int) -> list[int]:
    """In the order in which a partition takes them into use: what is not newer is ignored."""
    taken: list[int] = []
    for record in await log.read(topic, partition, 0, 1_000):
        version = decode(record.value).version
        if not taken or version > taken[-1]:
            taken.append(version)
    return taken


async def everywhere(log: MemoryLog) -> Sequence[list[int]]:
    return [await versions(log, topic, p) for topic in (ROUTED, ACTIVITIES) for p in range(2)]


async def test_an_empty_log_gets_the_rules_that_ship() -> None:
    """The first to open puts the default rules in force; the next finds them."""
    log = Watched()
    rules = await RulesKeeper(log).open()
    assert (rules.version, rules.source) == (1, default_source())

    again = await RulesKeeper(log).open()

    assert again.version == 1
    assert await everywhere(log) == [[1]] * 4
    assert log.appends == [(RULES, 0), (ROUTED, 0), (ROUTED, 1), (ACTIVITIES, 0), (ACTIVITIES, 1)]


async def test_another_one_learns_of_a_decision() -> None:
    """What one decides another knows once it looks."""
    log = Watched()
    one, two = RulesKeeper(log), RulesKeeper(log)
    await one.open()
    await two.open()
    decided = await one.decide(OTHER)

    await two.learn()

    assert decided.version == 2
    assert two.newest is not None
    assert (two.newest.version, two.newest.source) == (2, OTHER)


async def test_bad_rules_change_nothing() -> None:
    """A file that cannot be read is refused before it enters the log."""
    log = Watched()
    keeper = RulesKeeper(log)
    await keeper.open()
    before = list(log.appends)

    with pytest.raises(BadRules):
        await keeper.decide("[kinds.post")

    assert log.appends == before


async def test_two_that_decide_at_once_get_different_versions_in_one_order() -> None:
    """Whatever the interleaving, each partition takes both versions, the lower one first."""
    log = Watched()
    keepers = [RulesKeeper(log) for _ in range(2)]
    await asyncio.gather(*(keeper.open() for keeper in keepers))
    before = (await everywhere(log))[0]

    made = await asyncio.gather(*(keeper.decide(OTHER) for keeper in keepers))

    assert sorted(rules.version for rules in made) == [before[-1] + 1, before[-1] + 2]
    assert await everywhere(log) == [[*before, before[-1] + 1, before[-1] + 2]] * 4


@pytest.mark.parametrize("step", range(6, 11))
async def test_what_stopped_half_way_is_finished_by_the_next(step: int) -> None:
    """Wherever a decision fails, the next who opens has every partition know all versions up to the newest."""
    log = Watched()
    keeper = RulesKeeper(log)
    await keeper.open()
    log.fails_at = step - 1
    with pytest.raises(LogFailed):
        await keeper.decide(OTHER)

    rules = await RulesKeeper(log).open()

    assert await everywhere(log) == [list(range(1, rules.version + 1))] * 4
    assert rules.version == (1 if step == 6 else 2)


@pytest.mark.parametrize("step", range(7, 11))
async def test_what_stopped_half_way_is_finished_by_one_that_runs(step: int) -> None:
    """Whoever looks now and then has what another one decided be everywhere, and uses it no sooner."""
    log = Watched()
    keeper, other = RulesKeeper(log), RulesKeeper(log)
    await keeper.open()
    await other.open()
    log.fails_at = step - 1
    with pytest.raises(LogFailed):
        await keeper.decide(OTHER)
    log.fails_at = len(log.appends)
    with pytest.raises(LogFailed):
        await other.keep_up()
    assert await everywhere(log) != [[1, 2]] * 4

    assert (await other.keep_up()).version == 2

    assert await everywhere(log) == [[1, 2]] * 4
    done = len(log.appends)
    await other.keep_up()
    assert len(log.appends) == done


async def test_what_was_spread_is_said_again_before_kafka_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs commits again at times, so that the next that starts has nothing to repeat."""
    log = Watched()
    keeper = RulesKeeper(log)
    await keeper.open()
    log.forget(GROUP, RULES, 0)
    await keeper.keep_up()
    assert await log.committed(GROUP, RULES, 0) is None
    monkeypatch.setattr(rules_module, "COMMIT_AGAIN_S", 0)
    await keeper.keep_up()

    assert await log.committed(GROUP, RULES, 0) == 1
    assert await everywhere(log) == [[1]] * 4
    done = len(log.appends)
    await RulesKeeper(log).open()
    assert len(log.appends) == done


async def test_no_partition_of_activities_knows_more_than_routed() -> None:
    """At every moment what a command may name has entered all of `routed`."""

    class Checked(Watched):
        async def pause(self, moment: Moment, topic: str, partition: int) -> None:
            await super().pause(moment, topic, partition)
            if moment == "appended" and topic == ACTIVITIES:
                known = [await MemoryLog.end(self, ROUTED, p) for p in range(2)]
                assert min(known) >= await MemoryLog.end(self, ACTIVITIES, partition)

    log = Checked()
    keeper = RulesKeeper(log)
    await keeper.open()
    await keeper.decide(OTHER)

    assert await everywhere(log) == [[1, 2]] * 4


async def folds(log: MemoryLog) -> list[tuple[int, str]]:
    """(fold version, rules) of all that was decided, in order."""
    decided = [decode(record.value) for record in await log.read(RULES, 0, 0, 1_000)]
    return [(one.fold_version, one.source) for one in decided]


async def test_a_newer_fold_comes_into_force_only_when_it_is_raised() -> None:
    """Opening and deciding keep the fold version in force, whatever the code could run; raising it keeps the rules."""
    log = Watched()
    await RulesKeeper(log).open()
    assert await folds(log) == [(FOLD_VERSION, default_source())]
    keeper = RulesKeeper(log)
    await keeper.open()
    await keeper.raise_fold(FOLD_VERSION)
    await keeper.raise_fold(FOLD_VERSION + 2)
    await keeper.raise_fold(FOLD_VERSION + 1)
    other = RulesKeeper(log)
    await other.decide(OTHER)
    await RulesKeeper(log).open()

    assert await folds(log) == [
        (FOLD_VERSION, default_source()),
        (FOLD_VERSION + 2, default_source()),
        (FOLD_VERSION + 2, OTHER),
    ]
    assert other.fold_version == FOLD_VERSION + 2
    assert await everywhere(log) == [[1, 2, 3]] * 4


async def test_an_older_fold_stays_in_force_under_new_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that was begun by older code keeps its fold when newer code opens it and decides rules."""
    log = Watched()
    await RulesKeeper(log).open()
    monkeypatch.setattr(rules_module, "FOLD_VERSION", FOLD_VERSION + 1)
    keeper = RulesKeeper(log)
    await keeper.open()
    await keeper.decide(OTHER)

    assert await folds(log) == [(FOLD_VERSION, default_source()), (FOLD_VERSION, OTHER)]


async def test_raising_the_fold_undoes_no_rules_that_are_decided_meanwhile() -> None:
    """Rules that somebody decides just before the newer fold enters are in force with it."""

    class Late(Watched):
        """Another one decides just before the second append to `rules`."""

        async def pause(self, moment: Moment, topic: str, partition: int) -> None:
            await super().pause(moment, topic, partition)
            if moment == "append" and topic == RULES and self.appends.count((RULES, 0)) == 2:
                await RulesKeeper(self).decide(OTHER)

    log = Late()
    keeper = RulesKeeper(log)
    await keeper.open()
    rules = await keeper.raise_fold(FOLD_VERSION + 1)

    assert (await folds(log))[1:3] == [(FOLD_VERSION, OTHER), (FOLD_VERSION + 1, default_source())]
    assert (keeper.fold_version, rules.source) == (FOLD_VERSION + 1, OTHER)
    assert await everywhere(log) == [[1, 2, 3, 4]] * 4
