"""How a table of energy is shown: values for `--json`, CSV, and a table for people; pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from rich.markup import escape
from rich.table import Table

from collector import civil
from collector.energy import EnergyTable, Row
from collector.ledger.quantities import HALF_HOUR_US
from reporting import quantity

# More is for programs: --json and --csv have all of it.
ROWS_SHOWN = 200
_HOUR_US = 2 * HALF_HOUR_US
_HALF_HOUR_H = Decimal("0.5")


def content(
    table: EnergyTable, zone: str, *, of: Mapping[str, str], labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Everything that is shown; energy in Wh and time in us are integers, MW and percent decimals as text.

    `of` says what the table is of (site, device, period ...), `labels` what its keys are called.
    """
    doubt = table.doubt
    return {
        **of,
        "zone": zone,
        "rows": [_row(row, zone, labels or {}) for row in table.rows],
        "total": _row(table.total, zone, {})
        | ({} if doubt is None else {"unsure_below_wh": doubt.below_wh, "unsure_above_wh": doubt.above_wh}),
        "notes": list(table.notes),
    }


def _row(row: Row, zone: str, labels: Mapping[str, str]) -> dict[str, Any]:
    seen_us = row.covered_us + row.gap_us
    covered = quantity.percent(row.covered_us, seen_us)
    hours = Decimal(row.passed_us) / _HOUR_US
    key = {} if row.key is None else {"key": row.key, "name": labels.get(row.key, row.key)}
    return {
        "start": civil.text(row.start_us, zone), "end": civil.text(row.end_us, zone),
        "start_us": row.start_us, "end_us": row.end_us, **key,
        "energy_wh": row.energy_wh, "low_wh": row.low_wh, "high_wh": row.high_wh,
        "by_origin_wh": dict(row.by_origin_wh), "covered_us": row.covered_us,
        "gap_us": row.gap_us, "gap_by_cause_us": dict(row.gap_by_cause_us),
        "covered_percent": None if covered is None else quantity.plain(covered),
        "mean_mw": quantity.plain(quantity.mean_mw(row.energy_wh, hours)) if row.covered_us else None,
        "peak_wh": row.peak_wh,
        "peak_mw": None if row.peak_wh is None
        else quantity.plain(quantity.mean_mw(row.peak_wh, _HALF_HOUR_H)),
        "peak_start": None if row.peak_us is None else civil.text(row.peak_us, zone),
        **({} if row.cost is None else {"cost": quantity.plain(row.cost)}),
    }  # fmt: skip


def main_cause(gaps: Mapping[str, int]) -> str:
    """What most of a gap is due to."""
    return max(gaps, key=lambda cause: gaps[cause]).replace("_", " ") if gaps else ""


def csv_text(shown: Mapping[str, Any]) -> str:
    """The rows and the total as CSV, kWh with three places: exact."""
    origins = list(shown["total"]["by_origin_wh"])
    keyed = any("key" in row for row in shown["rows"])
    cost = ["cost"] if "cost" in shown["total"] else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["start", "end", *(["key", "name"] if keyed else []), "kwh", "at_least_kwh", "at_most_kwh"]
    head += [f"{origin}_kwh" for origin in origins]
    head += ["covered_percent", "gap_h", "main_gap_cause", "mean_mw", "peak_mw", "peak_start", *cost]
    writer.writerow(head)
    for row in (*shown["rows"], shown["total"]):
        total = row is shown["total"]
        name = [cell(row.get("key", "total")), cell(row.get("name", ""))] if keyed else []
        writer.writerow([
            "total" if total and not keyed else row["start"], row["end"], *name,
            *(quantity.kwh_text(row[wh]) for wh in ("energy_wh", "low_wh", "high_wh")),
            *(quantity.kwh_text(row["by_origin_wh"].get(origin, 0)) for origin in origins),
            row["covered_percent"] or "", quantity.hours_text(row["gap_us"] // 1_000_000),
            main_cause(row["gap_by_cause_us"]), row["mean_mw"] or "", row["peak_mw"] or "",
            row["peak_start"] or "", *(row.get(name, "") for name in cost),
        ])  # fmt: skip
    return out.getvalue()


def cell(text: str) -> str:
    """A text as a cell of CSV."""
    # What a device calls itself may not become a formula in somebody's spreadsheet.
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def people(shown: Mapping[str, Any], title: str) -> Iterator[Table | str]:
    """The same for people, and what there is to say of it."""
    rows, total = shown["rows"], shown["total"]
    keyed = any("key" in row for row in rows)
    timed = not keyed or len({row["start_us"] for row in rows}) > 1
    origins = list(total["by_origin_wh"])
    table = Table(title=escape(title), title_justify="left")
    for name in (["from"] if timed else []) + (["of"] if keyed else []):
        table.add_column(name, no_wrap=True)
    for name in ("kWh", "at least", "at most", *(o.replace("_", " ") for o in origins), "covered", "gaps"):
        table.add_column(name, justify="right", overflow="fold")
    money = [f"cost, {shown['currency']}"] if "cost" in total else []
    for name in ("mean MW", "peak MW", *money):
        table.add_column(name, justify="right", overflow="fold")
    for row in rows[:ROWS_SHOWN]:
        names = ([start(row, shown)] if timed else []) + ([escape(row.get("name", ""))] if keyed else [])
        table.add_row(*names, *_figures(row, origins), *(row.get("cost", "-") for _ in money))
    table.add_section()
    names = ["total", *([""] if keyed and timed else [])]
    table.add_row(*names, *_figures(total, origins), *(total["cost"] for _ in money))
    yield table
    if len(rows) > ROWS_SHOWN:
        yield f"{len(rows) - ROWS_SHOWN:,} more rows are in --csv and --json."
    if "unsure_below_wh" in total:
        low, high = (quantity.kwh_text(total[f"unsure_{side}_wh"]) for side in ("below", "above"))
        yield f"What was read may be wrong by -{low} to +{high} kWh (origin, rounding, sampling)."
    yield from _demand(shown)
    yield from shown["notes"]


def _demand(shown: Mapping[str, Any]) -> Iterator[str]:
    """Mean, peak and contracted power, and whose figures they are."""
    total, contracted = shown["total"], shown.get("contracted_mw")
    if contracted is None or total["mean_mw"] is None:
        return
    whose = f"meter {shown['meter']}" if "meter" in shown else "sum of the miners"
    peak = ""
    if total["peak_mw"] is not None:
        share = quantity.percent(
            int(Decimal(total["peak_mw"]) * 1_000_000), int(Decimal(contracted) * 1_000_000)
        )
        peak = f"peak {total['peak_mw']} MW in the half-hour from {total['peak_start']}"
        peak += "" if share is None else f" ({share} % of the contracted)"
    yield f"Power ({whose}): mean {total['mean_mw']} MW, {peak}, contracted {contracted} MW."


def start(row: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """Where a row begins, in civil time; of days and months the date."""
    text: str = row["start"]
    return text[:10] if shown["resolution"] in ("day", "month", "whole") else text


def _figures(row: Mapping[str, Any], origins: list[str]) -> Iterator[str]:
    for wh in (row["energy_wh"], row["low_wh"], row["high_wh"]):
        yield f"{quantity.kwh(wh):,}"
    for origin in origins:
        yield f"{quantity.kwh(row['by_origin_wh'].get(origin, 0)):,}"
    covered = row["covered_percent"]
    yield "-" if covered is None else f"{covered} %"
    hours = quantity.hours_text(row["gap_us"] // 1_000_000)
    yield f"{hours} h {main_cause(row['gap_by_cause_us'])}".strip() if row["gap_us"] else "-"
    yield row["mean_mw"] or "-"
    yield row["peak_mw"] or "-"
