"""How rules come into force in a cluster, whoever else puts others in force at the same time, and dies half way.

What is decided enters the topic `rules` first: its offset is its version, so two that decide at once get different
ones. Then it enters every partition of `routed`, all acknowledged, and only then those of `activities`: so no command
can name a version that its shard does not have. Whoever spreads, spreads all that is not known to be everywhere, in
order and in one append a partition; twice does no harm, since a partition ignores what is not newer than what it has.

The version of the fold stands beside the rules and comes with them: new rules keep the one in force, whatever the code
of who decides could run, and a newer one enters by `raise_fold` alone, once all workers can run it. It never goes back.
"""

import time
from typing import Final

from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Rules
from fanbell.schemas.topics import ACTIVITIES, ROUTED, RULES
from fanbell.streams.core.kinds import FOLD_VERSION, default_source, parse_rules
from fanbell.streams.core.kinds import Rules as KindRules
from fanbell.streams.log import COMMIT_AGAIN_S, Entry, Log

GROUP: Final = "fanbell.rules"
"""Its commit in `rules` says up to where all versions are in every partition."""
READ_MAX: Final = 1_000  # versions read at once; they are made by hand


class RulesKeeper:
    """Knows which rules are in force, and puts others in force."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = 0
        self._newest: KindRules | None = None
        self._everywhere = 0
        """Versions before that offset of `rules` are in every partition, as far as this one knows"""
        self._committed_s = 0.0
        """When this one said so last; by the monotonic clock"""
        self.fold_version = 0
        """That in force, as far as `learn` knows; 0 if none is"""

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
            decided = [decode(record.value) for record in records]
            self._newest = parse_rules(decided[-1].source, self._next)
            self.fold_version = max(self.fold_version, *(rules.fold_version for rules in decided))

    async def keep_up(self) -> KindRules:
        """`learn`, and finish what another one has not, or never will; the rules that are everywhere then.

        To be called now and then, once opened: whoever decided may be dead. Raises LogFailed.
        """
        await self.learn()
        if self._everywhere < self._next or time.monotonic() - self._committed_s >= COMMIT_AGAIN_S:
            await self.spread()
        assert self._newest is not None
        return self._newest

    async def decide(self, source: str) -> KindRules:
        """Put `source` in force; everywhere when this returns. Raises BadRules (nothing happens then), LogFailed."""
        parse_rules(source, 1)
        await self.learn()
        offset = await self._put(source, self.fold_version or FOLD_VERSION)
        await self.spread()
        await self.learn()
        return parse_rules(source, offset + 1)

    async def raise_fold(self, version: int) -> KindRules:
        """Put a version of the fold in force, with the rules as they are; everywhere when this returns.

        Nothing happens if it is in force, or a newer one. Rules that somebody else decides meanwhile stay in force.
        Raises LogFailed.
        """
        rules = await self.open()
        while self.fold_version < version:
            known = self._next
            offset = await self._put(rules.source, version)
            overtaken = [
                one for one in await self._log.read(RULES, 0, known, READ_MAX) if one.offset < offset
            ]
            if overtaken:  # ours came after rules that we did not know
                await self._put(decode(overtaken[-1].value).source, version)
            await self.learn()
        return await self.open()

    async def spread(self) -> None:
        """Have what was decided enter all partitions, where it may not have. Raises LogFailed."""
        at = max(self._everywhere, await self._log.committed(GROUP, RULES, 0) or 0)
        while records := await self._log.read(RULES, 0, at, READ_MAX):
            entries = []
            for record in records:
                rules = decode(record.value)
                rules.version = record.offset + 1
                entries.append(Entry(encode(rules), record.timestamp_ms))
            for topic in (ROUTED, ACTIVITIES):
                await self._log.append_all([(topic, p, entries) for p in range(self._log.partitions)])
            at = records[-1].offset + 1
        self._everywhere = max(self._everywhere, at)  # another task may have come further
        await self._log.commit(GROUP, RULES, 0, self._everywhere)
        self._committed_s = time.monotonic()

    async def _put(self, source: str, fold_version: int) -> int:
        now_ms = time.time_ns() // 1_000_000
        entry = Entry(encode(Rules(0, fold_version, source, now_ms)), now_ms)
        return await self._log.append(RULES, 0, [entry])
