"""An older program's ledger is brought to this program's schema, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import URL, func, make_url, select, update
from sqlalchemy.exc import DBAPIError

from collector.store import Store, StoreError, engines, failure, schema
from collector.store.migrations import STEPS


def upgrade(url: str | URL, say: Callable[[str], None]) -> bool:
    """True if the ledger at a URL was of an older schema, and no longer is; StoreError if of a newer one.

    A SQLite ledger is copied first, beside it; on PostgreSQL one transaction holds all steps. No collector
    may run on it meanwhile.
    """
    url = make_url(url)
    store = Store(engines.make(url, engines.SCHEMA))
    try:
        found = store.version()
        if found is None or found >= schema.SCHEMA_VERSION:
            return False  # a newer one is refused where it is opened
        with store.claimed():
            kept = _keep(url, found)
            with store.write() as connection:
                operations = Operations(MigrationContext.configure(connection))
                for number in range(found + 1, schema.SCHEMA_VERSION + 1):
                    STEPS[number](operations)
                connection.execute(update(schema.schema_version).values(version=schema.SCHEMA_VERSION))
            say(f"ledger: brought from schema {found} to {schema.SCHEMA_VERSION}{kept}")
            c = schema.batch.c
            with store.read() as connection:
                unused = connection.execute(select(func.count()).where(c.problem.is_not(None))).scalar_one()
        if unused:
            say(
                f"ledger: the older program could not use {unused} batches; if this one can,"
                " `hashledger collector rebuild` folds them"
            )
        return True
    except DBAPIError as error:
        raise failure(url, "cannot be brought up to date", error) from error
    finally:
        store.close()


def _keep(url: URL, found: int) -> str:
    if url.get_backend_name() != "sqlite":
        return ", in one transaction"
    old = Path(url.database or "")
    kept = old.with_name(f"{old.name}.v{found}")
    try:
        engines.copy_file(old, kept)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{kept}: no copy of the ledger could be made, so it stays as it was: {error}"
        ) from error
    return f"; as it was, it is in {kept}: delete it when you trust the new one"
