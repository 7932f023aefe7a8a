"""Where it is about noon: in that zone no day, week, month or year ends while a test runs."""

from __future__ import annotations

from datetime import UTC, datetime

_EAST = 12 - datetime.now(UTC).hour
ZONE = f"Etc/GMT{-_EAST:+d}"
"""For ``organization.timezone``. The signs of these names are the other way round: ``Etc/GMT-3`` is east."""
