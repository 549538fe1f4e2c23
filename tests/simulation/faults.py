"""Which faults a run has, how often each, and where each hit: the coverage."""

from collections import Counter
from random import Random
from typing import Final

FAULTS: Final[dict[str, float]] = {
    # what → chance each time it could happen
    "crash": 0.002,  # per turn: a worker and all its tasks end at an await
    "task crash": 0.0015,  # per turn: one task ends and is started anew, as after an exception
    "restart": 0.5,  # between epochs: all workers at once
    "rebalance": 0.0015,  # per turn: a partition goes to another worker, which opens it
    "zombie": 0.003,  # per turn: the same, and the old worker does not know yet
    "append failed, not done": 0.03,
    "append failed, done": 0.03,
    "append late": 0.15,  # it takes many turns; after a crash or time-out it may still land
    "delivered twice": 0.05,
    "delivery skipped": 0.05,
    "cut anew": 0.5,  # the batch is cut by chance
    "hole": 0.02,  # offsets used up by an aborted transaction
    "read failed": 0.01,
    "commit failed": 0.05,
    "snapshot failed": 0.1,
    "snapshot torn": 0.2,
    "snapshot missing": 0.2,
    "snapshot foreign": 0.1,
    "snapshot newer": 0.1,
    "rows without position": 0.03,
    "store failed": 0.03,
    "store behind": 0.2,  # when a projector opens: the store's position is an older one
    "log trimmed": 0.01,  # per turn of a stage: its log forgets what nobody needs
    "tick twice": 0.2,
    "published twice": 0.05,
    "put astray": 0.2,  # of entities: a producer that computes partitions in its own way puts all on them elsewhere
}


class Faults:
    """A seed's choice of them. Each run has about half of the faults, so that rare ones are not always in a crowd."""

    def __init__(self, random: Random, calm: bool = False, rates: dict[str, float] = FAULTS) -> None:
        self.random = random
        self.on = {
            fault: 0.0 if calm or random.random() < 0.35 else rate * random.choice((0.5, 1, 2))
            for fault, rate in rates.items()
        }
        self.calm = False
        """While everything settles, only what is delivered when is left to chance."""
        self.hits: Counter[tuple[str, str]] = Counter()

    def strikes(self, fault: str, where: str, times: int = 1) -> bool:
        """Whether `fault` happens now, which is `times` as likely as usual; counts it at the stage `where`."""
        strikes = self.may_strike(fault, times)
        if strikes:
            self.hits[fault, where] += 1
        return strikes

    def may_strike(self, fault: str, times: int = 1) -> bool:
        """The same for a fault that may have nothing to hit: who asks counts it."""
        rate = self.on[fault] * times
        return rate != 0.0 and not self.calm and self.random.random() < rate
