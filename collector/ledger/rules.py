"""The dated parameters of the energy ledger, out of `rules.toml`: which rule held at an instant."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from collector.ledger.quantities import ORIGIN_NAMES, Ints

_FILE = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True, slots=True)
class RegisterRules:
    """How a meter's registers are read; see `rules.toml`."""

    plausible_percent: int
    unknown_w: int
    modulus_near_percent: int
    glitch_readings: int
    jump_times: int
    jump_least_s: int
    frozen_s: int
    still_s: int
    lagging_times: int
    reversed_s: int
    reversed_import_times: int


@dataclass(frozen=True, slots=True)
class Drift:
    """When the overhead factor of a meter's day is an alarm; see `rules.toml`."""

    percent: int
    days: int
    least_days: int
    least_half_hours: int
    coverage_percent: int


@dataclass(frozen=True, slots=True)
class Rules:
    """All parameters at one instant; uncertainties are per mille (below, above) by origin."""

    max_gap_polls: int
    max_gap_limit_us: int
    uptime_slack_us: int
    rated_margin_percent: int
    rated_unknown_mw: int
    step_percent: int
    network_devices: int
    drift: Drift
    uncertainty: Mapping[str, tuple[int, int]]
    registers: RegisterRules

    def max_gap_us(self, interval_s: int) -> int:
        """The longest time between two readings that a straight line may bridge."""
        return max(0, min(self.max_gap_polls * interval_s * 1_000_000, self.max_gap_limit_us))


def at(instant_us: int) -> Rules:
    """The rules that held at an instant; before the first row's day, those of the first."""
    starts, rules = _dated()
    return rules[max(0, bisect_right(starts, instant_us) - 1)]


def registers_columns(instants_us: Ints, *names: str) -> tuple[Ints, ...]:
    """Parameters of registers as they held at each of many instants."""
    starts, held = _dated()
    nth = np.maximum(np.searchsorted(np.array(starts), instants_us, side="right") - 1, 0)
    return tuple(np.array([getattr(r.registers, name) for r in held], np.int64)[nth] for name in names)


def since_us() -> Sequence[int]:
    """The instants from which some parameter is another one."""
    return _dated()[0]


@cache
def _dated() -> tuple[list[int], list[Rules]]:
    tables: dict[str, list[dict[str, Any]]] = tomllib.loads(_FILE.read_text("utf-8"))
    days: set[date] = {row["from"] for rows in tables.values() for row in rows}
    starts = sorted(days)
    return [_instant_us(day) for day in starts], [_on(tables, day) for day in starts]


def _instant_us(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000


def _on(tables: dict[str, list[dict[str, Any]]], day: date) -> Rules:
    def row(table: str, **wanted: str) -> dict[str, Any]:
        rows = [r for r in tables[table] if r["from"] <= day and wanted.items() <= r.items()]
        return max(rows, key=lambda r: r["from"])

    gap, rated = row("gap"), row("rated")
    uncertainty = {origin: row("uncertainty", origin=origin) for origin in ORIGIN_NAMES}
    registers = {k: v for k, v in row("registers").items() if k not in ("from", "reason")}
    return Rules(
        max_gap_polls=gap["max_polls"],
        max_gap_limit_us=gap["limit_s"] * 1_000_000,
        uptime_slack_us=row("uptime")["slack_s"] * 1_000_000,
        rated_margin_percent=rated["margin_percent"],
        rated_unknown_mw=rated["unknown_w"] * 1000,
        step_percent=row("step")["percent"],
        network_devices=row("network")["least_devices"],
        drift=Drift(**{name: row("drift")[name] for name in Drift.__slots__}),
        uncertainty={origin: (r["below"], r["above"]) for origin, r in uncertainty.items()},
        registers=RegisterRules(**registers),
    )
