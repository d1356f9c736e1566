"""What differs between SQLite and PostgreSQL: how a connection is set up, and how a draft takes its place.

On PostgreSQL a ledger is a schema of its own (SCHEMA) in the database that the URL names: one database, one
ledger, as one file is. A draft is the schema DRAFT beside it, and takes its place by a rename.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from collector import durable

SCHEMA = "hashledger"
DRAFT = "hashledger_draft"
# A writer holds the ledger for one group's commit; half a minute of waiting means that something hangs.
BUSY_TIMEOUT_S = 30
# A database on the same network answers in milliseconds; systemd tries again after that.
CONNECT_TIMEOUT_S = 10
# A collector's machine that lost its power holds its claim until the database misses it: 10 + 3 * 5 s. The
# next collector waits for that.
_KEEPALIVE_S = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
CLAIM_WAIT_S = 30.0
# Advisory locks are numbers that a database's users share: ours begin with these bytes ("HL", then the kind).
_WRITER, _COLLECTOR = 0x484C01, 0x484C02


def make(url: URL, schema: str) -> Engine:
    """An engine whose transactions see the ledger in `schema` alone (SQLite knows none)."""
    # Errors do not show rows: payout addresses are nobody's business in a log. NaN has no place in JSON.
    common: dict[str, Any] = {"hide_parameters": True, "json_serializer": _json}
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, **common)
        _listen_sqlite(engine)
        return engine
    settings = {
        "search_path": schema, "lock_timeout": f"{BUSY_TIMEOUT_S}s", "synchronous_commit": "off",
        **_KEEPALIVE_S,
    }  # fmt: skip
    arguments = {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "hashledger", "client_encoding": "utf8",
    }  # fmt: skip
    engine = create_engine(url, connect_args=arguments, **common)
    number = zlib.crc32(schema.encode()) & 0x7FFFFFFF

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            # Before the first statement that reads: it sees what the writer before has committed.
            _lock(connection, "pg_advisory_xact_lock", _WRITER, number)

    return engine


def reader(engine: Engine) -> Engine:
    """The same, for transactions that read one snapshot."""
    if engine.dialect.name == "sqlite":
        return engine  # a deferred transaction in WAL mode is that already
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def make_schema(connection: Connection) -> None:
    """Room for the tables."""
    if connection.dialect.name == "postgresql":
        name = connection.execute(text("SHOW search_path")).scalar_one()
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {name}"))


@contextmanager
def claim(engine: Engine) -> Iterator[bool]:
    """True if nobody else holds the ledger; it is ours until the block ends, or the process does."""
    if engine.dialect.name == "sqlite":
        yield True
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until_s = time.monotonic() + CLAIM_WAIT_S
        while not (free := bool(_lock(connection, "pg_try_advisory_lock", _COLLECTOR, 0))):
            if time.monotonic() >= until_s:
                break
            time.sleep(0.1)
        try:
            yield free
        finally:
            if free and not connection.invalidated:
                _lock(connection, "pg_advisory_unlock", _COLLECTOR, 0)


def draft_place(url: URL) -> tuple[URL, str]:
    """Where the draft of a ledger is made: URL and schema."""
    if url.get_backend_name() == "sqlite":
        return url.set(database=str(_file(url).with_suffix(".rebuild"))), SCHEMA
    return url, DRAFT


def remove(url: URL, schema: str) -> None:
    """No ledger is there any more."""
    if url.get_backend_name() == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(f"{_file(url)}{suffix}").unlink(missing_ok=True)
        assert not os.path.lexists(_file(url))
        return
    engine = make(url, schema)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    engine.dispose()


def take_place(draft: Engine, url: URL) -> None:
    """Close the draft and put it where the ledger is."""
    if draft.dialect.name == "sqlite":
        with draft.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        draft.dispose()
        remove(url, SCHEMA)
        _file(draft.url).replace(_file(url))
        return
    draft.dispose()
    engine = make(url, SCHEMA)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        connection.execute(text(f"ALTER SCHEMA {DRAFT} RENAME TO {SCHEMA}"))
    engine.dispose()


def copy_file(source: Path, target: Path) -> None:
    """A SQLite file as it is in one moment, whoever writes to it; whole and on the disk, or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(0o600)
    try:
        here = sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)
        with closing(here), closing(sqlite3.connect(draft)) as there:
            here.backup(there)
        durable.settle(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def file_url(path: Path) -> URL:
    """A SQLite file that is only read: it is not changed, and no log is left beside it."""
    return URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "immutable": "1", "uri": "true"}
    )


def _file(url: URL) -> Path:
    return Path(url.database or "")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _lock(connection: Connection, function: str, kind: int, number: int) -> object:
    return connection.execute(
        text(f"SELECT {function}(:kind, :number)"), {"kind": kind, "number": number}
    ).scalar()


def _listen_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # else the driver begins transactions by rules of its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        if engine.url.query.get("immutable") is None:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A writer takes its lock at once: two that read first and then write would both fail.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
