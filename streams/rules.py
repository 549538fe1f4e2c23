"""How rules come into force in a cluster, whoever else puts others in force at the same time, and dies half way.

What is decided enters the topic `rules` first: its offset is its version, so two that decide at once get different
ones. Then it enters every partition of `routed`, all acknowledged, and only then those of `activities`: so no command
can name a version that its shard does not have. Whoever spreads, spreads all that is not known to be everywhere, in
order and in one append a partition; twice does no harm, since a partition ignores what is not newer than what it has.
"""

import time
from typing import Final

from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Rules
from fanbell.schemas.topics import ACTIVITIES, ROUTED, RULES
from fanbell.streams.core.kinds import FOLD_VERSION, default_source, parse_rules
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.log import Entry, Log

GROUP: Final = "fanbell.rules"
"""Its commit in `rules` says up to where all versions are in every partition."""
READ_MAX: Final = 1_000  # versions read at once; they are made by hand


class RulesKeeper:
    """Knows which rules are in force, and puts others in force."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = 0
        self._newest: KindRules | None = None

    @property
    def newest(self) -> KindRules | None:
        """The latest that `learn` found decided; None if there are none."""
        return self._newest

    async def open(self) -> KindRules:
        """The rules in force; those that ship with us enter a log that has none. Raises LogFailed."""
        await self.learn()
        if self._newest is None:
            await self.decide(default_source())
        await self.spread()
        assert self._newest is not None
        return self._newest

    async def learn(self) -> None:
        """Take note of what was decided since. Raises LogFailed."""
        while records := await self._log.read(RULES, 0, self._next, READ_MAX):
            self._next = records[-1].offset + 1
            self._newest = parse_rules(decode(records[-1].value).source, records[-1].offset + 1)

    async def decide(self, source: str) -> KindRules:
        """Put `source` in force; everywhere when this returns. Raises BadRules (nothing happens then), LogFailed."""
        parse_rules(source, 1)
        now_ms = time.time_ns() // 1_000_000
        offset = await self._log.append(
            RULES, 0, [Entry(encode(Rules(0, FOLD_VERSION, source, now_ms)), now_ms)]
        )
        await self.spread()
        await self.learn()
        return parse_rules(source, offset + 1)

    async def spread(self) -> None:
        """Have what was decided enter all partitions, where it may not have. Raises LogFailed."""
        while records := await self._log.read(RULES, 0, await self._spread_to(), READ_MAX):
            entries = []
            for record in records:
                rules = decode(record.value)
                rules.version = record.offset + 1
                entries.append(Entry(encode(rules), record.timestamp_ms))
            for topic in (ROUTED, ACTIVITIES):
                await self._log.append_all([(topic, p, entries) for p in range(self._log.partitions)])
            await self._log.commit(GROUP, RULES, 0, records[-1].offset + 1)

    async def _spread_to(self) -> int:
        return await self._log.committed(GROUP, RULES, 0) or 0
