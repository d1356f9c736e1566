"""Ledgers of released schemas are brought up to date: whole, equal to a rebuild, or not at all.

`old/schema-N.zip` holds journal, statements and ledger as a program of that schema has made them.
"""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import URL, Connection, inspect, select

from collector import app, config, imports
from collector.journal import JournalError
from collector.ledger import tables
from collector.store import Store, StoreError, engines, schema, sqlite_url
from collector.store.migrations import STEPS
from collector.store.upgrade import upgrade
from tests.collector import databases
from tests.collector.support import ORG
from tests.collector.test_cli import call, write_config

OLD = Path(__file__).parent / "old"
RELEASED = sorted(int(path.stem.partition("-")[2]) for path in OLD.glob("schema-*.zip"))
assert RELEASED[0] == 1


def old(version: int, state: Path) -> Path:
    """What a program of that schema has left; its ledger."""
    with zipfile.ZipFile(OLD / f"schema-{version}.zip") as content:
        content.extractall(state)
    return state / "ledger.sqlite3"


def shape(connection: Connection) -> dict[str, Any]:
    """Tables with columns, keys and indexes, as the database has them."""
    look = inspect(connection)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)],
            look.get_pk_constraint(name)["constrained_columns"],
            sorted((index["name"], index["column_names"]) for index in look.get_indexes(name)),
        )
        for name in look.get_table_names()
    }


def bare(tmp_path: Path) -> URL:
    if databases.in_use() == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "bare.sqlite3"))
    return databases.postgresql().fresh("template0")


def made_at(version: int, url: URL) -> Store:
    """A ledger as the steps up to a schema make it."""
    store = Store(engines.make(url, engines.SCHEMA))
    with store.write() as connection:
        engines.make_schema(connection)
        operations = Operations(MigrationContext.configure(connection))
        for number in range(1, version + 1):
            STEPS[number](operations)
        connection.execute(schema.schema_version.insert().values(version=version))
    return store


@pytest.mark.usefixtures("both_stores")
@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION + 1))
def test_a_ledger_brought_up_to_date_has_the_shape_of_a_new_one(tmp_path: Path, version: int) -> None:
    url = bare(tmp_path)
    made_at(version, url).close()
    said: list[str] = []
    assert upgrade(url, said.append) == (version < schema.SCHEMA_VERSION)
    assert not upgrade(url, said.append)
    assert len(said) == (version < schema.SCHEMA_VERSION)
    with Store.open(url).read() as raised, Store.open(databases.ledger_url(tmp_path / "new")).read() as fresh:
        assert compare_metadata(MigrationContext.configure(raised), schema.metadata) == []
        assert shape(raised) == shape(fresh)


@pytest.mark.parametrize("version", RELEASED)
def test_the_steps_make_what_the_released_program_made(tmp_path: Path, version: int) -> None:
    theirs = Store(engines.make(URL.create("sqlite", database=str(old(version, tmp_path))), engines.SCHEMA))
    ours = made_at(version, URL.create("sqlite", database=str(tmp_path / "ours")))
    with theirs.read() as a, ours.read() as b:
        assert shape(a) == shape(b)


@pytest.mark.parametrize("version", RELEASED)
def test_an_old_ledger_brought_up_to_date_equals_a_rebuild(tmp_path: Path, version: int) -> None:
    ledger = old(version, tmp_path)
    with sqlite3.connect(ledger) as db:
        (refused,) = db.execute("SELECT count(*) FROM set_aside").fetchone()
    said: list[str] = []
    assert upgrade(sqlite_url(ledger), said.append)
    assert f"from schema {version} to {schema.SCHEMA_VERSION}" in said[0]
    assert "could not use 1 batches" in said[1]
    again = Store.open(sqlite_url(tmp_path / "again"))
    tables.catch_up(again, ORG, tmp_path / "journal")
    imports.replay(again, ORG, tmp_path / "statements")
    store = Store.open(sqlite_url(ledger))
    assert tables.contents(store) == tables.contents(again)
    with store.read() as connection:
        assert len(connection.execute(select(schema.set_aside)).all()) == refused == 1
    kept = tmp_path / f"ledger.sqlite3.v{version}"
    assert kept.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(kept) as db:
        assert db.execute("SELECT version FROM schema_version").fetchall() == [(version,)]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.usefixtures("both_stores")
def test_a_step_that_fails_leaves_the_old_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bare(tmp_path)
    made_at(1, url).close()

    def fails(op: Operations) -> None:
        STEPS_2(op)
        op.execute("INSERT INTO nowhere VALUES (1)")

    STEPS_2 = STEPS[2]
    monkeypatch.setitem(STEPS, 2, fails)
    with pytest.raises(StoreError, match="cannot be brought up to date"):
        upgrade(url, print)
    monkeypatch.setitem(STEPS, 2, STEPS_2)
    store = Store(engines.make(url, engines.SCHEMA))
    assert store.version() == 1
    with store.read() as connection:
        assert "meter_day" not in inspect(connection).get_table_names()
    store.close()
    assert upgrade(url, print)


def test_the_command_upgrades_and_others_say_that_it_is_wanted(tmp_path: Path) -> None:
    write_config(tmp_path)
    old(1, tmp_path / "state")
    refused = call(tmp_path, "status")
    assert refused.exit_code == 2
    assert "has schema version 1" in refused.output and "collector upgrade" in refused.output
    done = call(tmp_path, "upgrade")
    assert (done.exit_code, done.output.count("from schema 1 to")) == (0, 1)
    assert call(tmp_path, "status").exit_code == 0
    assert "is up to date" in call(tmp_path, "upgrade").output


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    write_config(tmp_path)
    old(1, tmp_path / "state")
    book = app.Journal(tmp_path / "state" / "journal")
    yield tmp_path
    book.close()


def test_beside_a_running_collector_nothing_is_upgraded(held: Path) -> None:
    with pytest.raises(JournalError, match="in use"):
        app.upgrade_ledger(config.load(held / "collector.toml"), print)
