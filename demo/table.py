"""What the ledger and the filings say at the end: summary.json's content and the closing table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agent.simulator.model import FarmPlan
from collector.app import load_facts
from reporting.facts import PeriodFacts


def month_facts(plan: FarmPlan, collector_config: Path) -> dict[str, PeriodFacts]:
    """The ledger's facts of the month, a site each."""
    return {site.name: load_facts(collector_config, site.name, plan.month) for site in plan.sites}


def summary(plan: FarmPlan, facts: dict[str, PeriodFacts]) -> dict[str, Any]:
    """Energy and coin of the month as ledger and filings have them, keyed as the simulator's truth is."""
    devices: dict[str, dict[str, int]] = {}
    coin: dict[str, dict[str, int]] = {}
    for period in facts.values():
        for device in period.devices:
            devices[device.serial or device.mac or device.device] = {
                "energy_wh": device.energy_wh,
                "energy_low_wh": device.energy_low_wh,
                "energy_high_wh": device.energy_high_wh,
                "on_s": device.covered_s,
                "gap_s": device.gap_s,
            }
        for receipt in period.receipts:
            coins = coin.setdefault(receipt.address, {})
            coins[receipt.coin] = coins.get(receipt.coin, 0) + receipt.amount
    return {"period": plan.month, "simulated": True, "devices": devices, "coin": coin}


def show(
    console: Console, folder: Path, facts: dict[str, PeriodFacts], made: dict[str, dict[str, int]]
) -> None:
    """Print the closing tables: sites, filings, and where everything lies."""
    console.print(_sites(facts, made))
    filings = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["filing"]
        for path in sorted((folder / "filings").glob("*.json"))
    }
    console.print(_filings(filings))
    for stem, filing in filings.items():
        for finding in (f for f in filing["findings"] if f["level"] == "error"):
            console.print(f"  {stem.split('_')[0]}: {finding['code']} {finding['text']}", soft_wrap=True)
    for name, what in (
        ("collector/", "journal (the signed batches) and ledger"),
        ("filings/", "each filing as JSON, CSV and XLSX"),
        ("summary.json", "what ledger and filings say"),
        ("truth.json", "what the simulator's power curves say"),
        ("logs/", "what every process said"),
    ):
        console.print(f"  {folder / name}  {what}", soft_wrap=True)


def _sites(facts: dict[str, PeriodFacts], made: dict[str, dict[str, int]]) -> Table:
    table = _table("energy and coin of the month")
    for name in ("site", "devices", "readings", "batches", "kWh", "at most", "gaps", "BTC"):
        table.add_column(name, justify="left" if name == "site" else "right", no_wrap=True)
    for site, period in facts.items():
        energy = period.energy
        coin = sum(receipt.amount for receipt in period.receipts if receipt.coin == "BTC")
        table.add_row(
            site,
            str(len(period.devices)),
            f"{made[site]['readings']:,}",
            f"{made[site]['batches']:,}",
            f"{energy.energy_wh / 1000:,.1f}",
            f"{energy.energy_high_wh / 1000:,.1f}",
            f"{energy.gap_s / 3600:.1f} h",
            f"{coin // 100_000_000}.{coin % 100_000_000:08}",
        )
    return table


def _filings(filings: dict[str, Any]) -> Table:
    table = _table("filings, with their findings")
    for name in ("filing", "status", "errors", "warnings", "open in law"):
        table.add_column(name, justify="left" if name in ("filing", "status") else "right", no_wrap=True)
    for stem, filing in filings.items():
        levels = [finding["level"] for finding in filing["findings"]]
        counts = [str(levels.count(level)) for level in ("error", "warning", "open_question")]
        table.add_row(stem, filing["status"], *counts)
    return table


def _table(title: str) -> Table:
    return Table(title=f"SIMULATED: {title}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
