"""`python -m bench [NAME ...] [--quick]`: our sweep, scan and memory beside pyasic and pyasic-rs.

One run, one core for the measured side and another for the devices, all on loopback. Readings count per
second of processor time: on a shared machine the wall clock measures the neighbours (it is in the details).
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

from bench import rows
from bench.farm import ROOT, Refused
from bench.rows import PEERS, QUICK, Row, Sizes

NAMES = (
    "readings_antminer",
    "readings_whatsminer",
    "readings_axeos",
    "cpu_per_reading",
    "scan_22",
    "sweep_hung",
    "memory_10000",
)


def measure(names: tuple[str, ...], sizes: Sizes, failed: Callable[[str, Refused], None]) -> list[Row]:
    """The rows of `names`, in their order."""
    best: dict[str, dict[str, dict[str, float]]] = {}
    found: dict[str, Row] = {}
    single: dict[str, Callable[[Sizes], Row]] = {
        "scan_22": rows.scan_22,
        "sweep_hung": rows.sweep_hung,
        "memory_10000": rows.memory_10000,
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
                found[name] = step(sizes)
            except Refused as error:
                failed(name, error)
    return [found[name] for name in names if name in found]


def table(found: list[Row]) -> Table:
    """What a person reads."""
    shown = Table(title="ours beside the peers (ratio: how many times better we are)")
    for column in ("name", "unit"):
        shown.add_column(column, no_wrap=column == "name")
    for column in ("ours", *PEERS, *(f"ratio to {peer}" for peer in PEERS)):
        shown.add_column(column, justify="right")
    for row in found:
        peers = ["-" if row.peers[peer] is None else f"{row.peers[peer]:g}" for peer in PEERS]
        ratios = ["-" if (r := row.ratio(peer)) is None else f"{r:.2f}" for peer in PEERS]
        shown.add_row(row.name, row.unit, f"{row.ours:g}", *peers, *ratios)
    return shown


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="A few devices: shows that it works, measures nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "build" / "bench.json")
def main(names: tuple[str, ...], quick: bool, out: Path) -> None:
    """Measure NAMES (all of them by default)."""
    for package in PEERS:
        if importlib.util.find_spec(package) is None:
            raise click.UsageError(f"{package} is not installed: pip install -e '.[bench]'")
    console, failures = Console(), list[str]()

    def failed(name: str, error: Refused) -> None:
        failures.append(f"{name}: not measured: {error}")

    found = measure(names or NAMES, QUICK if quick else Sizes(), failed)
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
