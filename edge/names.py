"""How people are shown, at hand for rendering: a bounded cache of profiles, kept right by the changes that come by."""

from collections.abc import Iterable
from typing import Final

from fanbell.projections.store import Profile, Store

NAMES_MAX: Final = 65_536  # people; about 20 MB


class Names:
    """Profiles of people we have met; None for those without one."""

    def __init__(self, store: Store, names_max: int = NAMES_MAX) -> None:
        self._store = store
        self._names_max = names_max
        self._meeting: set[str] = set()
        """Whose profiles are being read: what is heard of them meanwhile is newer."""
        self.known: dict[str, Profile | None] = {}

    def unmet(self, people: Iterable[str]) -> set[str]:
        """Those of `people` whose profiles must be read first."""
        return {person for person in people if person not in self.known}

    def hear(self, person: str, profile: Profile) -> None:
        """A profile was changed."""
        if person in self.known or person in self._meeting:
            self.known[person] = profile

    def give_up(self, people: Iterable[str]) -> None:
        """Show ids instead of names that cannot be read."""
        for person in people:
            self.known.setdefault(person, None)

    async def meet(self, people: Iterable[str]) -> None:
        """Have the profiles of `people` at hand. Raises StoreFailed."""
        unmet = sorted(self.unmet(people))
        if not unmet:
            return
        self._meeting.update(unmet)
        try:
            profiles = await self._store.profiles(unmet)
        finally:
            self._meeting.difference_update(unmet)
        while len(self.known) + len(unmet) > self._names_max and self.known:
            del self.known[next(iter(self.known))]
        for person in unmet:
            self.known.setdefault(person, profiles.get(person))
