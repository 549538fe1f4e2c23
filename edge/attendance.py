"""What one edge says of its users in one partition, and when. Pure: time arrives, nothing is awaited.

Changes are said together, at most one batch for each call of `due`; that the edge is still here is said every
`RENEW_MS`, with a fortieth of its users, those who were stated longest ago. Who leaves and is back before that was
said never left: a reloaded page is no absence.

When it is not known whether what was said arrived (`lost`), or the lease has ended meanwhile, or the clock was set
back, a new life begins, which states everybody anew.
"""

from itertools import islice
from typing import Final

from msgspec import Struct

from fanbell.edge.presence import LEASE_MS, RENEW_MS, RESTATED_MS
from fanbell.schemas.records import Presence, Present

ACTIVE_STEP_MS: Final = 60_000  # who is busy costs one entry of the log a minute, and no more
RECORD_USERS: Final = 900  # who are here, and as many who are gone: at 256 bytes an id, 480 KB of 512
RESTATE_LEAST: Final = 16  # so that a small edge is known whole within minutes
AGAIN_MS: Final = 5_000  # after what was said was lost: everybody is to be stated, and the log is in trouble


class _Stay(Struct, gc=False):
    devices: int
    since_ms: int
    active_ms: int


class Attendance:
    """Of one edge, `edge` by name, in one partition. `lease_ms` is renewed three times in its length."""

    def __init__(self, edge: str, lease_ms: int = LEASE_MS) -> None:
        self._edge, self._lease_ms = edge, lease_ms
        self._renew_ms = lease_ms * RENEW_MS // LEASE_MS
        self._stays: dict[str, _Stay] = {}
        """Who is here; who was stated longest ago comes first."""
        self._changed: dict[str, _Stay | None] = {}
        """Of whom something is to be said; of who left, how they were here."""
        self._life = self._number = self._said_ms = self._renewed_ms = self._again_ms = 0

    def __len__(self) -> int:
        return len(self._stays)

    def count(self, user: str, devices: int, now_ms: int) -> None:
        """The user has so many sessions here now, one of which may have just come."""
        stay = self._stays.get(user)
        if not devices:
            if stay is not None:
                stay.devices = 0
                self._changed[user] = self._stays.pop(user)
            return
        if stay is None:
            stay = self._stays[user] = self._changed.get(user) or _Stay(0, now_ms, 0)
        if devices > stay.devices:
            stay.active_ms = _step(now_ms)
        stay.devices = devices
        self._changed[user] = None

    def active(self, user: str, now_ms: int) -> None:
        """The user has done something here."""
        stay = self._stays.get(user)
        if stay is not None and stay.active_ms < (step := _step(now_ms)):
            stay.active_ms = step
            self._changed[user] = None

    def due(self, now_ms: int) -> list[Presence]:
        """What is to be said now, in order, for the log; then either it is in there, or call `lost`."""
        renews = bool(self._stays) and abs(now_ms - self._renewed_ms) >= self._renew_ms
        if 0 < self._again_ms - now_ms <= AGAIN_MS or not (self._changed or renews):
            return []
        if not -self._renew_ms < now_ms - self._said_ms < self._lease_ms:
            self._begin_anew(now_ms)
        gone = [user for user in self._changed if user not in self._stays]
        here = [user for user in self._changed if user in self._stays]
        if renews:
            self._renewed_ms = now_ms
            share = max(RESTATE_LEAST, len(self._stays) * self._renew_ms // RESTATED_MS + 1)
            here += [user for user in islice(self._stays, share) if user not in self._changed]
        self._changed = {}
        return [
            self._record(now_ms, here[at : at + RECORD_USERS], gone[at : at + RECORD_USERS])
            for at in range(0, max(len(here), len(gone), 1), RECORD_USERS)
        ]

    def lost(self, now_ms: int) -> None:
        """What was said last may not have arrived, or may arrive later."""
        self._again_ms = now_ms + AGAIN_MS
        self._said_ms = -self._lease_ms  # a new life
        self._changed = dict.fromkeys(self._stays)

    def farewell(self, now_ms: int) -> list[Presence]:
        """The edge ends: nobody is here any more. Empty if it has said nothing yet."""
        self._stays, self._changed = {}, {}
        if not self._number:
            return []
        record = self._record(now_ms, [], [])
        record.lease_ms = 0
        return [record]

    def _begin_anew(self, now_ms: int) -> None:
        self._life = max(now_ms, self._life + 1)
        self._number, self._said_ms = 0, now_ms
        self._changed = dict.fromkeys(self._stays)

    def _record(self, now_ms: int, here: list[str], gone: list[str]) -> Presence:
        self._number += 1
        self._said_ms = max(now_ms, self._said_ms)
        stated = []
        for user in here:
            stay = self._stays[user] = self._stays.pop(user)
            stated.append(Present(user, stay.devices, stay.since_ms, stay.active_ms))
        return Presence(self._edge, self._life, self._number, self._said_ms, self._lease_ms, stated, gone)


def _step(now_ms: int) -> int:
    return now_ms - now_ms % ACTIVE_STEP_MS
