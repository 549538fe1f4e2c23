"""How people are shown, at hand for rendering: a bounded cache of profiles, kept right by the changes that come by."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from fanbell.projections.store import Profile, Store, StoreFailed

NAMES_MAX: Final = 65_536  # people; about 20 MB
MEET_S: Final = 2.0  # what is told waits no longer for a name: with an id it is better than late
AGAIN_S: Final = 10.0  # after names could not be read, nobody waits for any: all that is told would be late


class Names:
    """Profiles of people we have met; None for those without one. `clock`: seconds."""

    def __init__(
        self, store: Store, names_max: int = NAMES_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._names_max = names_max
        self._clock = clock
        self._again_at = clock()
        """Until then nobody is met; who acts is shown by id."""
        self._meeting: set[str] = set()
        """Whose profiles are being read: what is heard of them meanwhile is newer."""
        self.known: OrderedDict[str, Profile | None] = OrderedDict()

    def unmet(self, people: Iterable[str]) -> set[str]:
        """Those of `people` whose profiles must be read first."""
        unmet = self._unknown(people)
        return unmet if not unmet or self._clock() >= self._again_at else set()

    def _unknown(self, people: Iterable[str]) -> set[str]:
        return {person for person in people if person not in self.known}

    def hear(self, person: str, profile: Profile) -> None:
        """A profile was changed."""
        if person in self.known or person in self._meeting:
            self.known[person] = profile

    def forget(self) -> None:
        """Meet everybody anew: not all changes are heard."""
        self.known = OrderedDict()

    async def meet(self, people: Iterable[str]) -> None:
        """Have the profiles of `people` at hand. Raises StoreFailed, if it takes too long as well."""
        unmet = sorted(self._unknown(people))
        if not unmet:
            return
        self._meeting.update(unmet)
        try:
            async with asyncio.timeout(MEET_S):
                profiles = await self._store.profiles(unmet)
        except (StoreFailed, TimeoutError) as error:
            self._again_at = self._clock() + AGAIN_S
            raise StoreFailed(str(error) or f"names were not read within {MEET_S:g} s") from error
        finally:
            self._meeting.difference_update(unmet)
        while len(self.known) + len(unmet) > self._names_max and self.known:
            self.known.popitem(last=False)
        for person in unmet:
            self.known.setdefault(person, profiles.get(person))
