"""What both stages are: a pure fold over one partition of the log.

`state, outputs = step(state, record)`: no clock, no randomness, no I/O. Outputs depend on the state, the record and the
fold version alone, so whoever steps the same records puts out the same bytes.
"""

from typing import Any, ClassVar, Final, Protocol

from msgspec import Struct

from fanbell.schemas import records
from fanbell.schemas.codec import Undecodable, long_at, zigzag
from fanbell.schemas.limits import FUTURE_MS
from fanbell.schemas.parse import Invalid
from fanbell.schemas.records import Notice, Outcome, Update
from fanbell.streams.core.kinds import FOLD_OLDEST, FOLD_VERSION, Rules, parse_rules
from fanbell.streams.core.slices import Steps
from fanbell.streams.log import Record

DETAIL_MAX: Final = 2_000  # characters of a dead letter's explanation; the record itself is kept whole
NONE_YET = (-1, -1)
"""The pair (n, index) before the first."""


class Output(Struct, frozen=True, gc=False):
    """A record to append to `topic`, put out as the `index`-th by the step at `n`."""

    topic: str
    partition: int
    value: bytes
    n: int
    index: int
    told: Notice | Update | Outcome | None = None
    """What `value` encodes, where it is at hand and somebody in this process will want it"""


class Jump(Exception):
    """Records before this one never came: the log was cut, or somebody wrote out of order. Nothing can go on."""


class UnknownRules(Exception):
    """A command names a version of the rules that never came; the shard stops rather than guess."""


class UnknownFold(Exception):
    """The log demands a version of the fold that this code cannot run; it stops rather than fold on otherwise."""


class Fold(Protocol):
    """One partition's state and how a record changes it."""

    stage: ClassVar[str]
    clock_ms: int
    """Fold time, Unix ms: it never goes back."""

    @property
    def fold_version(self) -> int:
        """That in force, by which it decides and dumps, whatever newer one this code could run."""
        ...

    def step(self, record: Record) -> list[Output]:
        """Apply the next record. Raises Jump, UnknownRules, UnknownFold; a bad record is an output to `dead`."""
        ...

    def due_ms(self) -> int | None:
        """The earliest fold time at which time alone would change something; None if nothing waits."""
        ...

    def numbers(self) -> dict[str, int]:
        """What to show of it beside its time, by name."""
        ...

    def dump(self) -> bytes:
        """The whole state."""
        ...

    def dumping(self) -> Steps[bytes]:
        """The same in steps of some milliseconds; between them it must not be given a record."""
        ...


def effective_ms(occurred_at: int | None, appended_ms: int) -> int:
    """A record's own time, Unix ms: when it occurred, but at most 5 min after it was appended."""
    if occurred_at is None:
        return appended_ms
    return min(occurred_at, appended_ms + FUTURE_MS)


def why_unreadable(error: Undecodable | Invalid) -> str:
    """Why a record goes to dead letters that could not be read."""
    return "undecodable" if isinstance(error, Undecodable) else "invalid"


class Taken:
    """The last pair (n, index) taken from each source; what is not above it is a repeat, what skips one is a jump."""

    def __init__(self, pairs: dict[int, tuple[int, int]] | None = None) -> None:
        self.pairs = pairs or {}
        self._ends: dict[int, bytes] = {}
        """By source, the last pair as the next record of it has to name it, where `take` took it."""

    def is_new(self, source: int, n: int, index: int, prev_n: int, prev_index: int) -> bool:
        """Take the pair if it is above the last one; whether it is. Raises Jump."""
        last = self.pairs.get(source, NONE_YET)
        if (n, index) <= last:
            return False
        if (prev_n, prev_index) != last:
            raise Jump(
                f"source {source} put out {(n, index)} after {(prev_n, prev_index)}, but the last taken is {last}"
            )
        self.pairs[source] = (n, index)
        return True

    def take(self, data: bytes, at: int) -> tuple[bool, int]:
        """`is_new` for five numbers in Avro binary from `at` on; and where they end.

        The pair before is compared as bytes: decoding it took a third of the time. Raises Jump, IndexError.
        """
        source, begin = long_at(data, at)
        n, at = long_at(data, begin)
        index, at = long_at(data, at)
        end = self._ends.get(source)
        if end is not None and data.startswith(end, at) and (n, index) > self.pairs[source]:
            self._ends[source] = data[begin:at]
            self.pairs[source] = (n, index)
            return True, at + len(end)
        prev_n, prev_end = long_at(data, at)
        prev_index, prev_end = long_at(data, prev_end)
        new = self.is_new(source, n, index, prev_n, prev_index)
        if new:
            self._ends[source] = data[begin:at]
        return new, prev_end

    def dump(self) -> list[list[int]]:
        return [[source, *pair] for source, pair in self.pairs.items()]

    @classmethod
    def load(cls, data: list[list[int]]) -> "Taken":
        return cls({source: (n, index) for source, n, index in data})


class Versions:
    """The rules by version, and the version of the fold that they brought into force.

    Commands name their rules; a few old ones stay for those still on their way. The fold version never goes back: of
    two who decide at once, one may not know yet what the other put in force.
    """

    KEPT: ClassVar = 16
    """Rules change by hand; a command that is 16 versions late is lost in a way that needs a person."""

    def __init__(self) -> None:
        self.of: dict[int, Rules] = {}
        self.fold_version = 1
        self._newest: Rules | None = None

    def take(self, item: records.Rules) -> bool:
        """Take what a record says into use; whether it is newer than the last. Raises UnknownFold."""
        if not self.awaits(item.version):
            return False
        _check_fold(item.fold_version)  # before the rules are read: another fold may know other ones
        return self.put(parse_rules(item.source, item.version), item.fold_version)

    def put(self, rules: Rules, fold_version: int) -> bool:
        """Take a version into use; whether it is newer than the last. Raises UnknownFold."""
        if not self.awaits(rules.version):
            return False
        self.fold_version = max(self.fold_version, fold_version)
        _check_fold(self.fold_version)
        self.of[rules.version] = self._newest = rules
        if len(self.of) > self.KEPT:
            del self.of[min(self.of)]
        return True

    @property
    def newest(self) -> Rules:
        if self._newest is None:
            raise UnknownRules("no rules have entered this partition; they must be its first record")
        return self._newest

    def awaits(self, version: int) -> bool:
        """Whether the version is newer than all that came so far."""
        return not self.of or version > max(self.of)

    def get(self, version: int) -> Rules:
        rules = self.of.get(version)
        if rules is None:
            raise UnknownRules(
                f"rules version {version} has not entered this partition; it has {sorted(self.of)}"
            )
        return rules

    def dump(self) -> list[Any]:
        return [self.fold_version, [[rules.version, rules.source] for rules in self.of.values()]]

    @classmethod
    def load(cls, data: list[Any]) -> "Versions":
        made = cls()
        for version, source in data[1]:
            made.put(parse_rules(source, version), data[0])
        return made


def _check_fold(version: int) -> None:
    if version > FOLD_VERSION:
        raise UnknownFold(
            f"version {version} of the fold is in force, and this worker can run {FOLD_VERSION} at most: upgrade it"
        )
    if version < FOLD_OLDEST:
        raise UnknownFold(
            f"version {version} of the fold was in force, and this worker can run none below {FOLD_OLDEST}: put "
            f"{FOLD_OLDEST} in force by an older release first (`fanbell fold apply`), or restore a later snapshot"
        )


_SMALL = [zigzag(value) for value in range(1 << 12)]


def number(value: int) -> bytes:
    """`value` as an Avro long; small ones from a table."""
    return _SMALL[value] if 0 <= value < 1 << 12 else zigzag(value)


def pair_bytes(n: int, index: int) -> bytes:
    return number(n) + number(index)
