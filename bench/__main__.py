"""`python -m bench [NAME ...] [--quick]`: our sweep, scan, memory and ledger beside what people use instead.

One run, one core for the measured side and another for the devices, all on loopback. A sweep's readings
count per second of processor time: on a shared machine the wall clock measures the neighbours (it is in the
details).
The peers know only the real ports, so this needs the right to bind port 80. Writes build/bench.json.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import drain, ledger_rows, rows
from bench.farm import ROOT, Refused
from bench.rows import PEERS, Row

NAMES = (
    "readings_antminer",
    "readings_whatsminer",
    "readings_axeos",
    "cpu_per_reading",
    "scan_22",
    "sweep_hung",
    "memory_10000",
    "ingest",
    "month_10000",
    "profile_year",
    "rebuild",
    "ledger_bytes",
    "drain",
)
OF_MONTH = ("month_10000", "rebuild", "ledger_bytes")


def measure(names: tuple[str, ...], quick: bool, failed: Callable[[str, Refused], None]) -> list[Row]:
    """The rows of `names`, in their order."""
    sizes, of_ledger = (rows.QUICK, ledger_rows.QUICK) if quick else (rows.Sizes(), ledger_rows.Sizes())
    best: dict[str, dict[str, dict[str, float]]] = {}
    found: dict[str, Row] = {}
    single: dict[str, Callable[[], Row]] = {
        "scan_22": lambda: rows.scan_22(sizes),
        "sweep_hung": lambda: rows.sweep_hung(sizes),
        "memory_10000": lambda: rows.memory_10000(sizes),
        "ingest": lambda: ledger_rows.ingest(of_ledger),
        "profile_year": lambda: ledger_rows.profile_year(of_ledger),
        "drain": lambda: drain.row(drain.QUICK if quick else drain.Sizes()),
    }
    for family in rows.MIXED:
        name = f"readings_{family}"
        needed = "cpu_per_reading" in names and family in rows.ONE_CONNECTION
        if name in names or needed:
            try:
                found[name] = rows.readings(family, sizes, best)
            except Refused as error:
                failed(name, error)
    if "cpu_per_reading" in names and best.keys() >= set(rows.ONE_CONNECTION):
        found["cpu_per_reading"] = rows.cpu_per_reading(best)
    for name, step in single.items():
        if name in names:
            try:
                found[name] = step()
            except Refused as error:
                failed(name, error)
    if wanted := [name for name in OF_MONTH if name in names]:
        try:
            found |= ledger_rows.month(of_ledger)
        except Refused as error:
            for name in wanted:
                failed(name, error)
    return [found[name] for name in names if name in found]


def table(found: list[Row]) -> Table:
    """What a person reads."""
    shown = Table(title="ours beside the peers (in brackets: how many times better we are)")
    for column in ("name", "unit", "ours", "peers"):
        shown.add_column(column, no_wrap=column == "name", justify="right" if column == "ours" else "left")
    for row in found:
        peers = [
            f"{peer} {value:g} ({row.ratio(peer):.2f})"
            for peer, value in row.peers.items()
            if value is not None
        ]
        shown.add_row(row.name, row.unit, f"{row.ours:g}", "\n".join(peers))
    return shown


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="A few devices: shows that it works, measures nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "build" / "bench.json")
def main(names: tuple[str, ...], quick: bool, out: Path) -> None:
    """Measure NAMES (all of them by default)."""
    for package in (*PEERS, "duckdb"):
        if importlib.util.find_spec(package) is None:
            raise click.UsageError(f"{package} is not installed: pip install -e '.[bench]'")
    console, failures = Console(), list[str]()

    def failed(name: str, error: Refused) -> None:
        failures.append(f"{name}: not measured: {error}")

    found = measure(names or NAMES, quick, failed)
    console.print(table(found))
    for row in found:
        for remark in row.remarks:
            console.print(f"{row.name}: {remark}", highlight=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    for line in failures:
        click.echo(line, err=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
