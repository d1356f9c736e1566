"""The ledger's store: SQLite by default, opened by URL so that PostgreSQL can follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, select
from sqlalchemy.dialects import postgresql, sqlite

from collector.store.schema import SCHEMA_VERSION, metadata, schema_version

# A writer holds the ledger for one group's commit; half a minute of waiting means that something hangs.
BUSY_TIMEOUT_S = 30


class StoreError(Exception):
    """The ledger's store cannot be opened or used; the text says what would be right."""


class Store:
    """An open ledger; `read()` is one consistent snapshot, `write()` one transaction.

    On SQLite the ledger runs in WAL mode with synchronous=NORMAL: a power cut may take the last commits
    from it, never its consistency. Nothing is lost by that: the checkpoint goes with the same commits, and
    the fold replays from there on, out of the journal, which is fsynced before anything is acknowledged.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)

    @classmethod
    def open(cls, url: str) -> Store:
        """The ledger at a URL, made if it is not there; StoreError if a newer program made it."""
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            _listen_sqlite(engine)
        store = cls(engine)
        with store.read() as connection:
            made = inspect(connection).has_table(schema_version.name)
        if not made:
            with store.write() as connection:
                metadata.create_all(connection)
                upsert(connection, schema_version, [{"version": SCHEMA_VERSION}])
        with store.read() as connection:
            found = connection.execute(select(schema_version.c.version)).scalar_one()
        if found != SCHEMA_VERSION:
            engine.dispose()
            raise StoreError(
                f"{url} has schema version {found}; this program reads {SCHEMA_VERSION}: "
                f"{'use a newer program' if found > SCHEMA_VERSION else 'run `hashledger collector rebuild`'}"
            )
        return store

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: what is read stays as it was, whatever a writer does meanwhile."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end or not at all."""
        with self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    """The URL of a ledger in a file."""
    return f"sqlite:///{path}"


def upsert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows written over those of the same key."""
    content = list(rows)
    if not content:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table)
    key = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.c if column.name not in key}
    if rest:
        statement = statement.on_conflict_do_update(index_elements=key, set_=rest)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement, content)


def _listen_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # else the driver begins transactions by rules of its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A writer takes its lock at once: two that read first and then write would both fail.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
