"""The SQL ledger: one schema on SQLite and PostgreSQL."""

from dryad.foundation.database.engine import Database

__all__ = ["Database"]
