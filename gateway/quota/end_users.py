"""Whose counters are kept: clients make up the names of their end users, and memory is finite."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.quota.errors import TooManyEndUsers
from gateway.quota.store import END_USER_MS


class EndUsers:
    """Those of the store in the process, by when they were last admitted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, int] = {}

    def make_room(self, users: Sequence[str], now: int) -> None:
        """Raises :class:`TooManyEndUsers` if there is none for those that are new."""
        fresh = [user for user in users if user not in self._seen]
        if fresh and len(self._seen) + len(fresh) > self._most:
            for user in [user for user, seen in self._seen.items() if seen <= now - END_USER_MS]:
                del self._seen[user]
            if len(self._seen) + len(fresh) > self._most:
                raise TooManyEndUsers(self._most)

    def saw(self, users: Sequence[str], now: int) -> None:
        """They were admitted."""
        self._seen.update(dict.fromkeys(users, now))
