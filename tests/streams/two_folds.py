"""A second version of the fold, for tests of how it comes into force: it tells of mentions as of replies.

There is only one real version. `two_known` makes this process one of new code, that can run both; without it, it is one
of old code, that can run the first.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from fanbell.schemas.codec import decode, encode
from fanbell.schemas.records import Notice
from fanbell.streams import replica
from fanbell.streams.core import fold, kinds
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import Output
from fanbell.streams.log import Record

FIRST, SECOND = "mention", "reply"
"""Why somebody hears who is mentioned, by the first version and by the second"""


def two_known(patch: Callable[[Any, str, Any], object] = setattr) -> None:
    """Make this process one that can run versions 1 and 2."""
    for module in (kinds, fold, replica):
        patch(module, "FOLD_VERSION", 2)
    first = FanOut.step

    def step(self: FanOut, record: Record) -> list[Output]:
        outputs = first(self, record)
        return outputs if self.fold_version < 2 else [_by_second(output) for output in outputs]

    patch(FanOut, "step", step)


def _by_second(output: Output) -> Output:
    told = decode(output.value)
    if not isinstance(told, Notice) or told.reason != FIRST:
        return output
    told.reason = SECOND
    return msgspec.structs.replace(output, value=encode(told), told=None)
