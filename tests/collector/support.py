"""What the collector's tests share: an agent that builds signed batches, and a ledger to fold them into."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import wire
from agent.wire import Envelope, FailedPoll, Record, Sweep
from collector.journal import Entry, Journal
from collector.ledger import tables
from collector.ledger.energy import Integrals, Now
from collector.ledger.fold import Fold
from collector.ledger.quantities import HALF_HOUR_US, QUANTITIES
from collector.store import Store
from tests.collector.databases import ledger_url
from tests.collector.energy_model import HalfHour, of_column

ORG, SITE, AGENT = "acme", "north", "box-1"
S = 1_000_000
T0 = 1_790_812_800 * S  # 2026-10-01T00:00:00Z
A = UUID(int=1).bytes
B = UUID(int=2).bytes
A_TEXT, B_TEXT = str(UUID(bytes=A)), str(UUID(bytes=B))
assert T0 % HALF_HOUR_US == 0


def key_of(n: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([n] * 32))


@dataclass
class Agent:
    """One agent's chain."""

    org: str = ORG
    site: str = SITE
    name: str = AGENT
    key: Ed25519PrivateKey = field(default_factory=lambda: key_of(0))
    seq: int = 0
    prev: bytes = wire.GENESIS
    synthetic: bool = False

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def public_text(self) -> str:
        return base64.b64encode(self.public_key).decode()

    @property
    def topic(self) -> str:
        return wire.topic(self.org, self.site, self.name, "batch")

    def batch(
        self, *records: Record, created_us: int = T0, payload: bytes | None = None, **changed: Any
    ) -> bytes:
        """The next packet of the chain."""
        self.seq += 1
        content = {
            "v": wire.VERSION, "org": self.org, "site": self.site, "agent": self.name, "session": b"s" * 16,
            "seq": self.seq, "prev": self.prev, "created_us": created_us, "clock_offset_us": None,
            "clock_source": "none", "synthetic": self.synthetic,
            "payload": wire.pack(records) if payload is None else payload,
        }  # fmt: skip
        packet, self.prev = wire.seal(Envelope(**(content | changed)), self.key)
        return packet


def sweep(
    at_s: float,
    readings: Sequence[dict[str, Any]] = (),
    failures: Sequence[FailedPoll] = (),
    interval_s: int = 30,
) -> Sweep:
    """A sweep `at_s` after T0; a reading is a dict with `device` and any columns, in a reading's units."""
    units = {
        "delay_ms": "delay_ms", "hashrate_mhs": "hashrate_hs", "power_mw": "power_w", "origin": "origin",
        "state": "state", "uptime_s": "uptime_s",
    }  # fmt: skip
    defaults = {"delay_ms": 0, "origin": "psu_measured", "state": "mining"}
    columns = {}
    for name in wire.COLUMNS:
        values = [r.get(units.get(name, name), defaults.get(name)) for r in readings]
        if name == "origin":
            values = [wire.ORIGINS.index(v) for v in values]
        if name == "state":
            values = [wire.STATES.index(v) for v in values]
        columns[name] = wire.column(name, values)
    started_us = T0 + round(at_s * S)
    return Sweep(started_us, interval_s, b"".join(r["device"] for r in readings), columns, list(failures))


def one(at_s: float, power_w: float | None, device: bytes = A, interval_s: int = 30, **more: Any) -> Sweep:
    """A sweep with one reading of one device."""
    return sweep(at_s, [{"device": device, "power_w": power_w, **more}], interval_s=interval_s)


def failed(at_s: float, device: bytes = A, kind: str = "timeout") -> Sweep:
    """A sweep whose only poll failed."""
    return sweep(at_s, failures=[FailedPoll(device, "10.0.0.1", 0, kind, "")])


def fold_of(packets: Sequence[bytes], received_us: int = T0) -> Fold:
    """The packets folded in memory, no journal and no store."""
    fold = Fold(ORG)
    for n, packet in enumerate(packets):
        fold.take(Entry(fold.position._replace(offset=16 + n + 16 + len(packet)), received_us, packet),
                  wire.open_packet(packet))  # fmt: skip
    return fold


def ledger_of(folder: Path, packets: Sequence[bytes], received_us: int = T0, org: str = ORG) -> Store:
    """The packets journalled and folded into a ledger under `folder`."""
    journal = Journal(folder / "journal")
    journal.append([(received_us, packet) for packet in packets])
    journal.close()
    store = Store.open(ledger_url(folder / "ledger.sqlite3"))
    tables.catch_up(store, org, folder / "journal")
    return store


def half_hours(integrals: Integrals, place: int) -> list[HalfHour]:
    """A device's half-hours that hold anything, closed and open, in order of time; absences written out."""
    found: dict[int, list[int]] = {}

    def add(start_us: int, column: list[int]) -> None:
        if any(column):
            assert start_us not in found
            found[start_us] = column

    for closed in integrals.closed:
        for n in np.flatnonzero(closed.places == place).tolist():
            column = np.zeros(QUANTITIES, np.int64)
            column[closed.quantities] = closed.row[:, n]
            add(int(closed.start_us[n]), column.tolist())
    for absence in integrals.absences:
        if absence.place == place:
            edges_us = np.arange(absence.start_us, absence.end_us + 1, HALF_HOUR_US)
            columns = np.zeros((QUANTITIES, len(edges_us) - 1), np.int64)
            for number, column in absence.between(edges_us).items():
                columns[number] = column
            for n, start_us in enumerate(edges_us[:-1].tolist()):
                add(start_us, columns[:, n].tolist())
    add(int(integrals.now[Now.ROW_US, place]), integrals.row[:, place].tolist())
    return [of_column(start_us, column) for start_us, column in sorted(found.items())]


def device_rows(fold: Fold, device: bytes = A) -> list[HalfHour]:
    """The half-hours of a device of the usual site since the fold's last commit."""
    site = fold.sites[SITE]
    return half_hours(site.integrals, site.places[device])
