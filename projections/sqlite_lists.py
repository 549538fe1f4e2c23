"""Follows, mutes, blocks, preferences and profiles in the SQLite store, as changes took effect."""

import sqlite3
from collections.abc import Mapping

from msgspec.structs import astuple

from fanbell.projections import apply as meaning
from fanbell.projections.sqlite_reader import json_text
from fanbell.projections.sqlite_tables import LISTS
from fanbell.projections.store import Profile
from fanbell.schemas.records import Change, Preference


class Lists:
    """Gathered within one call, the last word on each thing standing, and written at its end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._items: dict[tuple[int, int, str], bool] = {}
        self._profiles: dict[int, Profile] = {}
        self._preferences: dict[int, list[Preference]] = {}

    def owners(self, change: Change) -> set[str]:
        """Whose lists, preferences or profile `change` is about."""
        owners = {listing.user for listing in meaning.listings(change)}
        if meaning.profile_of(change) is not None or meaning.preferences_of(change) is not None:
            owners.add(change.user)
        return owners

    def change(self, change: Change, ids: Mapping[str, int]) -> None:
        for listing in meaning.listings(change):
            self._items[ids[listing.user], LISTS[listing.what], listing.item] = listing.stands
        profile, preferences = meaning.profile_of(change), meaning.preferences_of(change)
        if profile is not None:
            self._profiles[ids[change.user]] = profile
        if preferences is not None:
            self._preferences[ids[change.user]] = preferences

    def flush(self) -> None:
        many = self._connection.executemany
        if self._items:
            standing = sorted(key for key, stands in self._items.items() if stands)
            struck = sorted(key for key, stands in self._items.items() if not stands)
            many("INSERT OR IGNORE INTO lists (user, what, item) VALUES (?, ?, ?)", standing)
            many("DELETE FROM lists WHERE user = ? AND what = ? AND item = ?", struck)
            self._items.clear()
        if self._profiles:
            rows = [(user, *astuple(profile)) for user, profile in self._profiles.items()]
            many("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?)", rows)
            self._profiles.clear()
        if self._preferences:
            texts = [
                (user, json_text([astuple(p) for p in items])) for user, items in self._preferences.items()
            ]
            many("INSERT OR REPLACE INTO preferences VALUES (?, ?)", texts)
            self._preferences.clear()
