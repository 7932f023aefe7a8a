"""The ledger's schema, step by step (Alembic). Run by gateway/ledger/migrate.py, never by hand."""
