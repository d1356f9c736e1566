"""The agent as it is run, against a farm on real sockets in real time: killed like the others.

When its polls fall is not known beforehand, so its energy is held against the truth by the bounds that the
ledger itself states; what it has told of each sweep is held against the journal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from agent import config, keys, wire
from agent.app import SPOOL_FILE, author
from agent.simulator.farm import Farm
from agent.simulator.fleet import fleet
from agent.spool import Spool
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import HALF_HOUR_US
from collector.store import Store
from tests.chaos.processes import python

SITE = "live"
DEVICES = 5
FAMILIES = {"antminer": 2, "whatsminer": 1}
SWEPT = re.compile(r"sweep: (\d+) read, ")
CONFIG = """\
[agent]
org = "{org}"
site = "live"
name = "{agent}"
state_dir = "{folder}/live"
interval_s = 1
synthetic = true
[network]
scan = ["127.77.16.0/29"]
cgminer_port = {cgminer}
http_port = {http}
[mqtt]
host = "127.0.0.1"
port = {port}
collector_key_file = "{folder}/collector.pub"
[exporter]
port = 0
"""


@dataclass(slots=True)
class LiveTold:
    """What the running agent has said to have stored."""

    sweeps: int = 0
    readings: int = 0

    def hear(self, line: str) -> None:
        """A line of its output."""
        if found := SWEPT.match(line):
            self.sweeps += 1
            self.readings += int(found[1])


@dataclass
class Live:
    """The farm, the agent's configuration, and what it told."""

    folder: Path
    seed: int
    ports: tuple[int, int]  # of cgminer, of the web pages
    told: LiveTold = field(default_factory=LiveTold)
    kills: int = 0
    site: str = SITE

    def __post_init__(self) -> None:
        self._month = f"{datetime.now(UTC):%Y-%m}"

    def farm(self) -> list[str]:
        """The command that serves the devices."""
        families = ",".join(f"{name}={weight}" for name, weight in FAMILIES.items())
        return python(
            "hashledger", "agent", "simulate", "serve", "--seed", str(self.seed),
            "--devices", str(DEVICES), "--families", families, "--month", self._month,
            "--cgminer-port", str(self.ports[0]), "--http-port", str(self.ports[1]),
        )  # fmt: skip

    def agent(self) -> list[str]:
        """The command that is killed."""
        return python("hashledger", "agent", "run", "--config", f"{self.folder}/live.toml")

    def configure(self, org: str, agent: str, port: int) -> str:
        """Write its configuration and make its key; the public half."""
        cgminer, http = self.ports
        text = CONFIG.format(org=org, agent=agent, folder=self.folder, cgminer=cgminer, http=http, port=port)
        (self.folder / "live.toml").write_text(text)
        (self.folder / "live").mkdir(mode=0o700)
        return keys.public_text(keys.create(self.folder / "live"))

    def problems(self, org: str, packets: Sequence[wire.Packet], store: Store) -> list[str]:
        """What is not as it must be; `packets` are those of its in the journal."""
        loaded = config.load(self.folder / "live.toml")
        spool = Spool(self.folder / "live" / SPOOL_FILE, author(loaded))
        kept = [wire.open_packet(packet).hash for _, packet in spool.packets(1, 1_000_000)]
        spool.close()
        found = []
        if kept != [packet.hash for packet in packets]:
            found.append("live: the journal does not hold what the spool holds")
        sweeps = [r for packet in packets for r in packet.records if isinstance(r, wire.Sweep)]
        # A kill may come between a sweep's batch and the word of it.
        if not self.told.sweeps <= len(sweeps) <= self.told.sweeps + self.kills + 1:
            found.append(f"live: {self.told.sweeps} sweeps were told, {len(sweeps)} are in the journal")
        starts = [sweep.started_us for sweep in sweeps]
        if starts != sorted(set(starts)):
            found.append("live: sweeps are not in order, or doubled")
        readings = sum(len(sweep.devices) // 16 for sweep in sweeps)
        if readings < self.told.readings:
            found.append(f"live: {self.told.readings} readings were told, {readings} are in the journal")
        return found + self._energy(org, packets, store)

    def _energy(self, org: str, packets: Sequence[wire.Packet], store: Store) -> list[str]:
        devices = {d.address: d for d in Farm(fleet(self.seed, DEVICES, FAMILIES, self._month)).devices}
        address: dict[str, str] = {}
        read_us: dict[str, list[int]] = {}
        for record in (r for packet in packets for r in packet.records):
            if isinstance(record, wire.Inventory):
                address[str(UUID(bytes=record.device))] = record.address
            elif isinstance(record, wire.Sweep):
                delays_ms = memoryview(record.columns["delay_ms"]).cast("i")
                for n, delay_ms in enumerate(delays_ms):
                    device = str(UUID(bytes=record.devices[16 * n : 16 * n + 16]))
                    read_us.setdefault(device, []).append(record.started_us + delay_ms * 1000)
        every = [at_us for times in read_us.values() for at_us in times]
        start_us = min(every) // HALF_HOUR_US * HALF_HOUR_US
        end_us = (max(every) // HALF_HOUR_US + 1) * HALF_HOUR_US
        problems = []
        with store.read() as connection:
            totals = SiteLedger(connection, org, SITE).totals(start_us, end_us)
        for row in tables.contents(store)["device"]:
            if row.site != SITE:
                continue
            found, times = totals.energy(row.place), read_us[row.device]
            truth_wh = devices[address[row.device]].curve.energy_j(times[0], times[-1]) / 3600
            low_wh = found.low_wh - found.unsure_below_wh
            high_wh = found.high_wh + found.unsure_above_wh
            if found.samples != len(times) or not low_wh <= truth_wh <= high_wh:
                problems.append(
                    f"live: {row.device}: {found.samples} samples of {len(times)},"
                    f" {truth_wh:.2f} Wh in truth, {low_wh} to {high_wh} in the ledger"
                )
        return problems
