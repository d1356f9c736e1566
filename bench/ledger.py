"""Our ledger's side of a measurement: packets into journal and fold, then what is asked of the ledger.

Told what to do by lines on standard input (see `bench.child`). Packets are made before the clock runs.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import URL, text

from agent import wire
from bench import child, postgres
from bench.site import AGENT, ORG, S_US, SITE, START_US, Chain
from collector.ingest import Ingest, Message
from collector.journal import Journal
from collector.ledger import tables
from collector.ledger.fold import Fold
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import ENERGY, HALF_HOUR_US
from collector.store import Store, sqlite_url

TOPIC = wire.topic(ORG, SITE, AGENT, "batch")
TIMES = 3  # of a query: the best, the page cache warm


class Ledger:
    """A collector's journal and ledger without its broker, and the one agent that fills it."""

    def __init__(self, folder: Path, devices: int, interval_s: int, url: URL | str) -> None:
        self.folder, self.interval_s, self.sweeps = folder, interval_s, 0
        self.chain = Chain(devices, interval_s)
        self.store = Store.open(url)
        # With a key, as a collector has one: closed segments are sealed within the time that is measured.
        self.journal = Journal(folder / "journal", key=Ed25519PrivateKey.generate())
        agents = {(ORG, SITE, AGENT): self.chain.public_key}
        self.ingest = Ingest(self.store, self.journal, Fold(ORG), agents)

    def close(self) -> None:
        self.store.close()
        self.journal.close()

    def take(self, sweeps: int, group: int) -> dict[str, Any]:
        """So many more sweeps, a group a commit: readings, and the time without making the packets."""
        told: dict[str, Any] = {"readings": 0, "wall_s": 0.0, "cpu_s": 0.0, "rss_mib": []}
        for begin in range(0, sweeps, group):
            messages = [self._message() for _ in range(min(group, sweeps - begin))]
            with child.measured() as spent:
                self.ingest.take(messages)
            for name in ("wall_s", "cpu_s"):
                told[name] += spent[name]
            told["rss_mib"].append(spent["rss_mib"])
        if self.ingest.counters.accepted != self.sweeps:
            raise RuntimeError(f"not all batches were accepted: {self.ingest.counters}")
        told["readings"] = self.chain.readings
        return told

    def _message(self) -> Message:
        (packet,) = self.chain.packets(1)
        self.sweeps += 1
        return Message(TOPIC, packet, START_US + self.sweeps * self.interval_s * S_US)

    @property
    def end_us(self) -> int:
        """The last half-hour's edge that the readings reach."""
        return START_US + self.sweeps * self.interval_s * S_US // HALF_HOUR_US * HALF_HOUR_US

    def totals(self) -> dict[str, Any]:
        """Every device's kWh over the whole time."""

        def ask() -> int:
            with self.store.read() as connection:
                totals = SiteLedger(connection, ORG, SITE).totals(START_US, self.end_us)
            return sum(totals.energy(place).energy_wh for place in range(len(self.chain.devices)))

        return _best(ask)

    def profile(self) -> dict[str, Any]:
        """One device's half-hours over the whole time."""
        place = len(self.chain.devices) // 2

        def ask() -> int:
            with self.store.read() as connection:
                found = SiteLedger(connection, ORG, SITE).profile(place, START_US, self.end_us)
            return int(found.columns[ENERGY].sum())

        return _best(ask)

    def bytes(self) -> dict[str, Any]:
        """What the ledger and the journal take on disk."""
        if self.store.engine.dialect.name == "postgresql":
            found = _database_bytes(self.store)
        else:
            found = {"ledger_bytes": sum(path.stat().st_size for path in self.folder.glob("ledger.sqlite3*"))}
        kept = sum(path.stat().st_size for path in (self.folder / "journal").glob("*.hlj"))
        return found | {"journal_bytes": kept}

    def rebuild(self) -> dict[str, Any]:
        """The ledger anew from the journal, and whether it equals this one."""
        again = Store.open(sqlite_url(self.folder / "again.sqlite3"))
        with child.measured() as told:
            tables.catch_up(again, ORG, self.folder / "journal")
        told |= {
            "equal": tables.contents(again) == tables.contents(self.store),
            "readings": self.chain.readings,
        }
        again.close()
        return told


def _database_bytes(store: Store) -> dict[str, Any]:
    # A day's columns are written anew with each commit. What that leaves behind is the next one's room once
    # autovacuum has been there, which it has not in the minute of a measurement: so both figures.
    size = text("SELECT pg_database_size(current_database())")
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = connection.scalar(size)
        connection.execute(text("VACUUM FULL"))
        return {"ledger_bytes": connection.scalar(size), "unvacuumed_bytes": before}


def _best(ask: Any) -> dict[str, Any]:
    spent, answer = [], 0
    for _ in range(TIMES):
        began_s = time.perf_counter()
        answer = ask()
        spent.append(time.perf_counter() - began_s)
    return {"wall_s": min(spent), "energy_wh": answer}


async def serve(settings: dict[str, Any]) -> None:
    """Do what is asked, line by line, until the lines end."""
    with tempfile.TemporaryDirectory(prefix="hashledger-bench-") as folder, ExitStack() as stack:
        url: URL | str = sqlite_url(Path(folder) / "ledger.sqlite3")
        if settings.get("store") == "postgresql":
            url = _database(stack)
        ledger = Ledger(Path(folder), settings["devices"], settings["interval_s"], url)
        stack.callback(ledger.close)
        async for asked in child.requests():
            do = asked.pop("do")
            child.tell(getattr(ledger, do)(**asked))


def _database(stack: ExitStack) -> URL:
    programs = postgres.programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed (apt-get install postgresql)")
    server = postgres.PostgreSQL(programs)
    stack.callback(server.end)
    return server.fresh()


if __name__ == "__main__":
    asyncio.run(serve(child.settings()))
