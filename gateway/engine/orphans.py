"""Paid calls whose clients are gone, and who may have their answers.

An orphan is claimed once: by a call of the same API key, route and fingerprint that says it is a retry,
within 10 minutes, or by any such call within 2 minutes, since clients exist that retry without a word.
A call whose client is still there, or was given its answer, is never an orphan.

A retry that says so asks the ledger. Others must cost nothing: they look into this process's memory, which
knows its own orphans at once and those of other replicas within :data:`LOOK_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from gateway.engine.fingerprint import Fingerprint
from gateway.engine.results import every
from gateway.errors import Unavailable
from gateway.ledger.results import Orphan, Result, Results

MARKED_WITHIN = timedelta(minutes=10)
UNMARKED_WITHIN = timedelta(minutes=2)
LOOK_SECONDS = 1.0
_YOUNG = timedelta(seconds=10)


class Orphans:
    """One per process."""

    def __init__(self, rows: Results) -> None:
        self._rows = rows
        self._known: dict[tuple[str, str], dict[str, datetime]] = {}

    def add(self, orphan: Orphan) -> None:
        """One of this process, which others learn of from the ledger."""
        self._known.setdefault((orphan.key_id, orphan.route), {})[orphan.fingerprint] = orphan.left_at

    def add_again(self, row: Result) -> None:
        """One that was claimed and given back."""
        self.add(Orphan(row.key_id, row.route, row.fingerprint, datetime.now(UTC)))

    async def claim(
        self, key_id: str, route: str, fingerprint: Fingerprint, *, by: str, marked: bool
    ) -> Result | None:
        """The oldest orphan that this call may have; it is this call's now. ``marked``: the call says that it
        is a retry. Raises :class:`Unavailable`."""
        if not marked and not self._known:
            return None
        now = datetime.now(UTC)
        known = self._known.get((key_id, route), {})
        if not marked and not known:
            return None
        digest = await fingerprint.digest()
        within = MARKED_WITHIN if marked else UNMARKED_WITHIN
        if not marked and (digest not in known or now - known[digest] > within):
            return None
        claimed = await self._rows.claim(key_id, route, digest, by=by, since=now - within, now=now)
        if claimed is None:
            known.pop(digest, None)  # whoever comes next need not ask
        return claimed

    async def look(self) -> None:
        """Learn what there is now."""
        now = datetime.now(UTC)
        found = await self._rows.orphans(now - UNMARKED_WITHIN)
        young = [
            Orphan(*scope, digest, left_at)
            for scope, known in self._known.items()
            for digest, left_at in known.items()
            if now - left_at < _YOUNG  # it may have been written while the ledger was being read
        ]
        self._known = {}
        for orphan in (*found, *young):
            self.add(orphan)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While this is open, the orphans of other replicas are learned of, and old ones are forgotten."""
        with suppress(Unavailable):
            await self.look()
        pause = LOOK_SECONDS if self._rows.shared else UNMARKED_WITHIN.total_seconds()
        task = asyncio.create_task(every(pause, self.look), name="look-for-orphans")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
