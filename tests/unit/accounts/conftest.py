from __future__ import annotations

from tests.unit.ledger.conftest import database, ledger
from tests.unit.quota.conftest import at

__all__ = ["at", "database", "ledger"]
