"""A farm whose energy is known by arithmetic: constant powers over stated seconds, in any zone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from click.testing import CliRunner, Result

from agent.wire import Inventory, Record
from collector import app, config
from collector.cli import collector
from collector.journal import Journal
from collector.ledger import tables
from tests.collector.databases import configured
from tests.collector.support import AGENT, ORG, SITE, T0, Agent, S, sweep

BASE = """
[collector]
org = "{org}"
state_dir = "state"
[[agent]]
site = "{site}"
name = "{agent}"
public_key = "{key}"
[site.{site}]
name = "North"
country = "{country}"
zone = "{zone}"
{more}
"""


def device(n: int) -> bytes:
    return UUID(int=n).bytes


class Farm:
    """A configured ledger that sweeps are folded into; instants are seconds after T0."""

    def __init__(self, folder: Path, zone: str = "UTC", country: str = "ru", more: str = "") -> None:
        self.path = folder / "collector.toml"
        self.agent = Agent()
        self.write(zone, country, more)
        self.store = app.open_store(self.config)

    def write(self, zone: str, country: str, more: str) -> None:
        text = BASE.format(
            org=ORG, site=SITE, agent=AGENT, key=self.agent.public_text, zone=zone, country=country, more=more
        )
        self.path.write_text(configured(self.path.parent, text))
        self.config = config.load(self.path)

    def add(self, at_s: int, *records: Record) -> None:
        journal = Journal(self.config.journal_dir)
        created_us = T0 + at_s * S
        journal.append([(created_us, self.agent.batch(*records, created_us=created_us))])
        journal.close()
        tables.catch_up(self.store, ORG, self.config.journal_dir)

    def run(self, start_s: int, end_s: int, powers_w: Sequence[int | None], every_s: int = 300) -> None:
        """Devices 1, 2, ... draw so much from one instant to another; None is not polled."""
        records: list[Record] = []
        for at_s in range(start_s, end_s + 1, every_s):
            readings = [
                {"device": device(n), "power_w": power_w, "uptime_s": 10**7}
                for n, power_w in enumerate(powers_w, 1)
                if power_w is not None
            ]
            records.append(sweep(at_s, readings, interval_s=every_s))
        self.add(end_s, *records)

    def introduce(self, n: int, address: str, serial: str, at_s: int = 0, **more: Any) -> None:
        self.add(
            at_s,
            Inventory(T0 + at_s * S, device(n), address, "antminer", serial=serial, **more),
        )

    def ask(self, *words: str) -> Result:
        return CliRunner().invoke(collector, ["energy", *words, "--config", str(self.path)])

    def told(self, *words: str) -> dict[str, Any]:
        result = self.ask(*words, "--json")
        assert result.exit_code == 0, result.output
        content: dict[str, Any] = json.loads(result.output)
        return content
