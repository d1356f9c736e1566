"""Ledgers for tests, each in a place of its own: SQLite files, or databases of a real PostgreSQL.

The server is started once a session, in a folder of its own, reached by a socket in it (and by loopback with
a password), as an unprivileged user (it refuses to run as root), and ended by its process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from collector.store import Store, engines, schema

PASSWORD = "not a secret, in a test"  # noqa: S105
USER = "hashledger"
TEMPLATE = "made"
# Newest first: Debian keeps each version's programs in a folder that is in nobody's PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_START_S = 30


class PostgreSQL:
    """A running server; `fresh()` makes an empty ledger's database."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hashledger-pg-", dir="/tmp"))
        self._as = (
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        )
        if self._as:
            os.chown(self.folder, 65534, 65534)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        secret, data = self.folder / "password", self.folder / "data"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(programs / "initdb", "-D", data, "-U", USER, "-E", "UTF8", "--locale=C.UTF-8",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")  # fmt: skip
        self._server = subprocess.Popen(
            [*self._as, programs / "postgres", "-D", data, "-k", self.folder, "-p", str(self.port),
             "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"],
            cwd="/", stdout=(self.folder / "log").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._admin = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        deadline = time.monotonic() + _START_S
        while not (self.folder / f".s.PGSQL.{self.port}").exists() or not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.02)
        self._made = 0
        self._create(TEMPLATE, "template0")
        Store.open(self.url(TEMPLATE)).close()

    def url(self, database: str) -> URL:
        """By the socket: no password is asked for."""
        query = {"host": str(self.folder), "port": str(self.port)}
        return URL.create("postgresql+psycopg", USER, database=database, query=query)

    def fresh(self, template: str = TEMPLATE) -> URL:
        """A database with an empty ledger in it; from `template0` with none."""
        self._made += 1
        name = f"ledger_{self._made}"
        self._create(name, template)
        return self.url(name)

    def end(self) -> None:
        self._admin.dispose()
        self._server.send_signal(signal.SIGQUIT)  # at once: nothing of it is wanted any more
        self._server.wait(_START_S)
        shutil.rmtree(self.folder)

    def _create(self, name: str, template: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))

    def _answers(self) -> bool:
        try:
            self._admin.connect().close()
        except Exception:  # noqa: BLE001 - not yet, whatever it says
            return False
        return True

    def _run(self, *words: object) -> None:
        subprocess.run([*self._as, *map(str, words)], cwd="/", check=True, capture_output=True)


_server: PostgreSQL | None = None
_kind = "sqlite"
_urls: dict[Path, URL] = {}
_free: list[URL] = []


def postgresql() -> PostgreSQL:
    """The session's server, started when it is first asked for; skips without one, fails in CI."""
    global _server
    if _server is None:
        found = shutil.which("postgres")
        folders = [*_FOLDERS, *([Path(found).parent] if found else [])]
        if not folders:
            missing = (
                "PostgreSQL is not installed (apt install postgresql): the ledger is tested on SQLite alone"
            )
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        _server = PostgreSQL(folders[0])
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
