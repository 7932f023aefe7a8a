from __future__ import annotations

from tests.unit.ledger.conftest import database, ledger

__all__ = ["database", "ledger"]
