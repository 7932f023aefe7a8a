"""Memory for JSON bodies: inline pictures cannot go to disk before they are parsed, so there is a bound."""

from __future__ import annotations

from gateway.errors import Unavailable


class JsonRoom:
    """``limit`` bytes over all requests of this process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def take(self, size: int) -> None:
        """Raises :class:`Unavailable` when there is no room; nothing is taken then."""
        if self.taken + size > self._limit:
            raise Unavailable(
                "The gateway holds as many JSON bodies as it may (server.upload.json_memory). Nothing was "
                "sent; try again in a moment, or send the pictures as files of a multipart request.",
                code="too_many_json_bodies",
                retry_after=1,
            )
        self.taken += size

    def give(self, size: int) -> None:
        self.taken -= size
