"""Forgetting what is old in a log and needed by nobody: by our rule, never by a broker's clock."""

from typing import Final

from fanbell.streams.log import Log

TRIM_EVERY_S: Final = 60.0  # each trim is a few look-ups, and mostly finds nothing


async def trim(log: Log, topic: str, partition: int, before_ms: int, at_most: int) -> int:
    """Forget the records below `at_most` that were appended before `before_ms` (Unix ms); where it begins then.

    Raises LogFailed.
    """
    first = await first_after(log, topic, partition, before_ms, at_most)
    start = await log.start(topic, partition)
    if first > start:
        await log.trim(topic, partition, first)
    return max(first, start)


async def first_after(log: Log, topic: str, partition: int, before_ms: int, at_most: int) -> int:
    """The first offset, at most `at_most`, whose record was appended at `before_ms` or later.

    Records are taken to rise in time. Where the clocks of several writers disagree, it is as far off as they are.
    """
    low, high = await log.start(topic, partition), at_most
    while low < high:
        middle = (low + high) // 2
        records = await log.read(topic, partition, middle, 1)
        if records and records[0].timestamp_ms < before_ms:
            low = records[0].offset + 1
        else:
            high = middle
    return min(low, at_most)
