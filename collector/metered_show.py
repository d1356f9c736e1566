"""How reconciliations and allotments are shown: values for `--json`, CSV, and tables for people; pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from collector import civil
from collector.energy_show import ROWS_SHOWN, cell, start
from collector.ledger.reconcile import MILLION
from collector.metered import OfNode, Share
from reporting import quantity

NOBODY, OVERHEAD = "(unallotted)", "(overhead)"
_RULES = {
    "energy": "Overhead goes to devices in proportion to what each used in the half-hour.",
    "nameplate": "Overhead goes to the devices that ran in the half-hour in proportion to their rated power.",
    "none": "Overhead is the site's own and is allotted to nobody.",
}


def reconciled(found: Sequence[OfNode], site: str, zone: str, of: Mapping[str, str]) -> dict[str, Any]:
    """Energy in Wh, factors as decimals with six places; the site itself goes by its name."""
    rows = [
        {
            "start": civil.text(r.start_us, zone), "end": civil.text(r.end_us, zone),
            "start_us": r.start_us, "end_us": r.end_us, "node": one.node or site, "meter": one.meter,
            "metered_wh": r.metered_wh, "miners_wh": r.miners_wh, "compared_us": r.compared_us,
            "compared_metered_wh": r.compared_metered_wh, "compared_miners_wh": r.compared_miners_wh,
            "difference_wh": r.difference_wh, "state": r.state.name.lower(),
            "factor": _factor(r.factor_ppm), "usual_factor": _factor(r.usual_ppm), "drift": r.drift,
        }
        for one in found
        for r in one.cells
    ]  # fmt: skip
    return {**of, "zone": zone, "kind": "reconciled", "rows": rows, "notes": []}


def shares(
    found: Sequence[Share], zone: str, of: Mapping[str, str], labels: Mapping[str, str], rule: str
) -> dict[str, Any]:
    """Every row's `energy_wh` is what a key has of the meter's; they add up to it."""
    names = {None: NOBODY, "": OVERHEAD}
    rows: list[dict[str, Any]] = [
        {
            "start": civil.text(s.start_us, zone), "end": civil.text(s.end_us, zone),
            "start_us": s.start_us, "end_us": s.end_us,
            "key": names.get(s.key, s.key), "name": names.get(s.key) or labels.get(s.key or "", s.key),
            "energy_wh": s.energy_wh, "by_energy_wh": s.by_energy_wh, "overhead_wh": s.overhead_wh,
        }
        for s in found
    ]  # fmt: skip
    total = {name: sum(row[name] for row in rows) for name in ("energy_wh", "by_energy_wh", "overhead_wh")}
    shown = {**of, "zone": zone, "kind": "allotted", "rule": rule, "rows": rows, "total": total}
    return shown | {"notes": [_RULES[rule]]}


def _factor(ppm: int | None) -> str | None:
    return None if ppm is None else f"{ppm // MILLION}.{ppm % MILLION:06d}"


def csv_text(shown: Mapping[str, Any]) -> str:
    """The rows as CSV; of an allotment the total as well."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if shown["kind"] == "allotted":
        writer.writerow(["start", "end", "key", "name", "kwh", "by_energy_kwh", "overhead_kwh"])
        total = shown["total"] | {"start": "", "end": "", "key": "total", "name": ""}
        for row in (*shown["rows"], total):
            kwh = (quantity.kwh_text(row[name]) for name in ("energy_wh", "by_energy_wh", "overhead_wh"))
            writer.writerow([row["start"], row["end"], cell(row["key"]), cell(row["name"]), *kwh])
        return out.getvalue()
    energies = ("metered_wh", "miners_wh", "compared_metered_wh", "compared_miners_wh", "difference_wh")
    heads = (name.removesuffix("_wh") + "_kwh" for name in energies)
    writer.writerow(["start", "end", "node", "meter", *heads, "state", "factor", "usual_factor", "drift"])
    for row in shown["rows"]:
        kwh = (quantity.kwh_text(row[name]) for name in energies)
        rest = (row["state"], row["factor"] or "", row["usual_factor"] or "", str(row["drift"]).lower())
        writer.writerow([row["start"], row["end"], row["node"], cell(row["meter"]), *kwh, *rest])
    return out.getvalue()


def people(shown: Mapping[str, Any], title: str) -> Iterator[Table | str]:
    """A table and what there is to say of it."""
    table = Table(title=escape(title), title_justify="left")
    if shown["kind"] == "allotted":
        _share_rows(table, shown)
    else:
        _reconciled_rows(table, shown)
    yield table
    if len(shown["rows"]) > ROWS_SHOWN:
        yield f"{len(shown['rows']) - ROWS_SHOWN:,} more rows are in --csv and --json."
    yield from shown["notes"]


def _share_rows(table: Table, shown: Mapping[str, Any]) -> None:
    for name in ("from", "of"):
        table.add_column(name, no_wrap=True)
    for name in ("kWh", "by energy", "overhead"):
        table.add_column(name, justify="right", overflow="fold")
    for row in shown["rows"][:ROWS_SHOWN]:
        table.add_row(start(row, shown), escape(row["name"]), *_kwh(row))
    table.add_section()
    table.add_row("total", "", *_kwh(shown["total"]))


def _kwh(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("energy_wh", "by_energy_wh", "overhead_wh"):
        yield f"{quantity.kwh(row[name]):,}"


def _reconciled_rows(table: Table, shown: Mapping[str, Any]) -> None:
    for name in ("from", "node", "meter"):
        table.add_column(name, no_wrap=True)
    for name in ("metered kWh", "miners kWh", "meter's more", "factor", "usual"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("says")
    for row in shown["rows"][:ROWS_SHOWN]:
        more = f"{quantity.kwh(row['difference_wh']):+,}" if row["compared_us"] else "-"
        says = row["state"].replace("_", " ") + (" DRIFT" if row["drift"] else "")
        table.add_row(
            start(row, shown), row["node"], escape(row["meter"]), f"{quantity.kwh(row['metered_wh']):,}",
            f"{quantity.kwh(row['miners_wh']):,}", more, row["factor"] or "-", row["usual_factor"] or "-",
            says,
        )  # fmt: skip
