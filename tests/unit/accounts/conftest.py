from __future__ import annotations

from tests.unit.quota.conftest import at

__all__ = ["at"]
