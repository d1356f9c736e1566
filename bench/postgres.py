"""A real PostgreSQL for measurements and tests: started in a folder of its own, ended by its process id.

It is reached by a socket in that folder, and by loopback with a password. As it refuses to run as root, it
is then started as an unprivileged user.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

from collector.store import Store
from demo.processes import free_ports

PASSWORD = "not a secret, on loopback"  # noqa: S105
USER = "hashledger"
TEMPLATE = "made"
# Newest first: Debian keeps each version's programs in a folder that is in nobody's PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_START_S = 30


def programs() -> Path | None:
    """The folder of the server's programs; None where it is not installed."""
    found = shutil.which("postgres")
    return next(iter([*_FOLDERS, *([Path(found).parent] if found else [])]), None)


class PostgreSQL:
    """A running server; `fresh()` makes an empty ledger's database."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hashledger-pg-", dir="/tmp"))
        self._as = (
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        )
        if self._as:
            os.chown(self.folder, 65534, 65534)
        (self.port,) = free_ports(1)
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
        except OperationalError:
            return False
        return True

    def _run(self, *words: object) -> None:
        subprocess.run([*self._as, *map(str, words)], cwd="/", check=True, capture_output=True)
