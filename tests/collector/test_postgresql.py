"""What only PostgreSQL has: passwords, rights, and a server that may be away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from bench.postgres import PASSWORD, USER
from collector import config
from collector.config import ConfigError
from collector.store import Store, StoreError, draft
from tests.collector.databases import postgresql
from tests.collector.test_cli import call
from tests.collector.test_facts import CONFIG
from tests.collector.test_store import offset_of


def password_config(folder: Path, ledger: str) -> Path:
    (folder / "devices.csv").write_text("serial\n")
    path = folder / "collector.toml"
    keys = f'ledger = "{ledger}"\nledger_password_file = "pg.password"\n'
    path.write_text(CONFIG.replace("[collector]\n", f"[collector]\n{keys}"))
    return path


def test_a_password_comes_from_a_file_and_is_in_no_text(tmp_path: Path) -> None:
    server = postgresql()
    database = server.fresh().database
    path = password_config(tmp_path, f"postgresql+psycopg://{USER}@127.0.0.1:{server.port}/{database}")
    secret = tmp_path / "pg.password"
    secret.touch(0o600)
    secret.write_text("wrong" + PASSWORD)
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        Store.open(config.load(path).ledger_url)
    assert PASSWORD not in str(caught.value)
    secret.write_text(PASSWORD + "\n")
    settings = config.load(path)
    store = Store.open(settings.ledger_url)
    assert offset_of(store) is None
    command = Path(f"/proc/{os.getpid()}/cmdline").read_text()
    for shown in (
        command,
        repr(settings),
        str(settings.ledger_url),
        repr(store.engine),
        str(store.engine.url),
    ):
        assert PASSWORD not in shown


def test_a_database_that_is_away_may_be_back_at_the_next_try(tmp_path: Path) -> None:
    password_config(tmp_path, "postgresql+psycopg://me@127.0.0.1:1/x")
    (tmp_path / "pg.password").touch(0o600)
    for command in ("run", "status", "upgrade", "rebuild"):
        result = call(tmp_path, command)
        assert result.exit_code == 1, result.output
        assert "Connection refused" in result.output or "connection failed" in result.output
        assert "Traceback" not in result.output


def test_who_may_read_may_read_after_a_rebuild() -> None:
    url = postgresql().fresh("template0")
    with create_engine(url).begin() as connection:
        for line in (
            "CREATE ROLE grafana",
            "ALTER DEFAULT PRIVILEGES FOR ROLE hashledger GRANT USAGE ON SCHEMAS TO grafana",
            "ALTER DEFAULT PRIVILEGES FOR ROLE hashledger GRANT SELECT ON TABLES TO grafana",
        ):
            connection.execute(text(line))
    Store.open(url).close()
    with draft(url):
        pass
    with create_engine(url).begin() as connection:
        connection.execute(text("SET ROLE grafana"))
        assert connection.execute(text("SELECT count(*) FROM hashledger.batch")).scalar_one() == 0


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql+psycopg://me:geheim@db/x", "a password in it"),
        ("postgresql+psycopg://me@db/x?password=geheim", "a password in it"),
        ("mysql://me:geheim@db/x", "write postgresql"),
        ("geheim", "no URL"),
    ],
)
def test_another_url_is_refused_and_not_shown(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        config.load(password_config(tmp_path, url))
    assert "geheim" not in str(caught.value)
