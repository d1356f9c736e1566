"""The ledger's store: a SQLite file, or a schema of its own in a PostgreSQL database, by URL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, inspect, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from collector.store import engines
from collector.store.schema import SCHEMA_VERSION, metadata, schema_version

# Rows of a day's packed half-hours are some 10 kB each: some megabytes in memory.
_TRANSFER_ROWS = 500


class StoreError(Exception):
    """The ledger's store cannot be opened or used; the text says what would be right."""


class StoreAway(StoreError):
    """The database does not answer, or lets nobody in; it may later, without anything changed here."""


class Store:
    """An open ledger; `read()` is one consistent snapshot, `write()` one transaction, one writer at a time.

    On SQLite the ledger runs in WAL mode with synchronous=NORMAL, on PostgreSQL with synchronous_commit=off:
    a power cut may take the last commits from it, never its consistency. Nothing is lost by that: the
    checkpoint goes with the same commits, and the fold replays from there on, out of the journal, which is
    fsynced before anything is acknowledged.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        self._reader = engines.reader(engine)

    @classmethod
    def open(cls, url: str | URL, *, schema: str = engines.SCHEMA) -> Store:
        """The ledger at a URL, made if it is not there; StoreError if another program's schema is in it."""
        url = make_url(url)
        store = cls(engines.make(url, schema))
        try:
            if (found := store.version()) is None:
                store._make()
                found = SCHEMA_VERSION
        except DBAPIError as error:
            store.close()
            raise failure(url, "cannot be opened", error) from error
        if found != SCHEMA_VERSION:
            store.close()
            advice = (
                "use a newer program, or `hashledger collector rebuild` to make the ledger anew with this one"
                if found > SCHEMA_VERSION
                else "`hashledger collector upgrade`, or the next `run`, brings it up to date"
            )
            raise StoreError(
                f"{url} has schema version {found}; this program reads {SCHEMA_VERSION}: {advice}"
            )
        return store

    def version(self) -> int | None:
        """The number of the schema; None if there is no ledger."""
        with self.read() as connection:
            if not inspect(connection).has_table(schema_version.name):
                return None
            return int(connection.execute(select(schema_version.c.version)).scalar_one())

    def _make(self) -> None:
        with self.write() as connection:
            engines.make_schema(connection)
            metadata.create_all(connection)
            upsert(connection, schema_version, [{"version": SCHEMA_VERSION}])

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: what is read stays as it was, whatever a writer does meanwhile."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end or not at all."""
        with self._writer.begin() as connection:
            yield connection

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The one collector that folds into this ledger; StoreError if there is one. On SQLite that is the
        holder of the journal's lock: ledger and journal lie in one folder."""
        with engines.claim(self.engine) as free:
            if not free:
                raise StoreError(f"{self.engine.url}: the ledger is in use by another collector process")
            yield

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()


def failure(url: URL, what: str, error: DBAPIError) -> StoreError:
    """A database's error in words; the URL's password is not among them."""
    away = isinstance(error, OperationalError) and url.get_backend_name() != "sqlite"
    return (StoreAway if away else StoreError)(f"{url}: the ledger {what}: {str(error.orig).strip()}")


def sqlite_url(path: Path) -> str:
    """The URL of a ledger in a file."""
    return f"sqlite:///{path}"


@contextmanager
def draft(url: str | URL) -> Iterator[Store]:
    """An empty ledger that takes the place of the one at `url` if the block ends well."""
    url = make_url(url)
    place = engines.draft_place(url)
    engines.remove(*place)
    store = Store.open(place[0], schema=place[1])
    try:
        yield store
    except BaseException:
        store.close()
        engines.remove(*place)
        raise
    engines.take_place(store.engine, url)


def transfer(source: Store, target: Store) -> None:
    """Every row of one ledger into another, empty one: a snapshot, in one transaction; closes both."""
    try:
        with source.read() as read, target.write() as write:
            for table in metadata.sorted_tables:
                if table is not schema_version:
                    rows = read.execute(table.select().execution_options(yield_per=_TRANSFER_ROWS)).mappings()
                    for part in rows.partitions():
                        write.execute(table.insert(), [dict(row) for row in part])
    finally:
        source.close()
        target.close()


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
