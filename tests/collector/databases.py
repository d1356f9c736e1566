"""Ledgers for tests, each in a place of its own: SQLite files, or databases of a real PostgreSQL.

The server (`bench.postgres`) is started once a session and ended by its process id.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from bench import postgres
from bench.postgres import PostgreSQL
from collector.store import engines, schema

_server: PostgreSQL | None = None
_kind = "sqlite"
_urls: dict[Path, URL] = {}
_free: list[URL] = []


def postgresql() -> PostgreSQL:
    """The session's server, started when it is first asked for; skips without one, fails in CI."""
    global _server
    if _server is None:
        programs = postgres.programs()
        if programs is None:
            missing = (
                "PostgreSQL is not installed (apt install postgresql): the ledger is tested on SQLite alone"
            )
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        _server = PostgreSQL(programs)
    return _server


def end() -> None:
    """After the session."""
    global _server
    if _server is not None:
        _server.end()
        _server = None


def use(kind: str) -> None:
    """From now on `ledger_url` gives ledgers of this kind."""
    global _kind
    if kind == "postgresql":
        postgresql()
    _kind = kind


def in_use() -> str:
    """The kind of ledgers that `ledger_url` gives."""
    return _kind


def ledger_url(path: Path) -> URL:
    """A ledger for this path alone: the file, or a database that stands for it."""
    if _kind == "sqlite":
        return URL.create("sqlite", database=str(path))
    if path not in _urls:
        _give_back([old for old in _urls if not old.parent.exists()])  # an earlier example's of this test
        _urls[path] = _emptied(_free.pop()) if _free else postgresql().fresh()
    return _urls[path]


def release() -> None:
    """After a test: its databases are the next one's, emptied; a new one takes longer, and 8 MB."""
    _give_back(list(_urls))


def _give_back(paths: list[Path]) -> None:
    _free.extend(_urls.pop(path) for path in paths)


def _emptied(url: URL) -> URL:
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in schema.metadata.sorted_tables:
            connection.execute(text(f"DELETE FROM {engines.SCHEMA}.{table.name}"))
        version = {"version": schema.SCHEMA_VERSION}
        connection.execute(text(f"INSERT INTO {engines.SCHEMA}.schema_version VALUES (:version)"), version)
    engine.dispose()
    return url


def configured(folder: Path, content: str) -> str:
    """A collector's configuration in `folder` whose ledger is of the kind in use."""
    if _kind == "sqlite":
        return content
    url = ledger_url(folder / "configured").render_as_string()
    return content.replace("[collector]\n", f'[collector]\nledger = "{url}"\n', 1)
