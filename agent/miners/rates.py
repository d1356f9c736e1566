"""Rates as cgminer's descendants label them: the unit and the window stand in the name of the field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from agent.transports.cgminer import Json

CURRENT = "5s"
SINCE_START = "since start"
WINDOWS = (CURRENT, "30s", "1m", "5m", "15m", "30m", SINCE_START)

_LABELLED = re.compile(r"([KMGTP]?HS) (5s|30s|1m|5m|15m|30m|av)")  # "GHS 5s"
_WEB = re.compile(r"rate_(5s|30s|1m|5m|15m|30m|avg)")
_UNIT = re.compile(r"\s*([KMGTP]?)(?:H|SOL)", re.IGNORECASE)


class Rate(NamedTuple):
    """One rate as it was written, with the unit of its label and of `rate_unit`, where there is one."""

    raw: Any
    label_hs: float | None
    stated_hs: float | None


def by_window(rows: Iterable[Json]) -> dict[str, list[Rate]]:
    """Window -> the rates written for it, in the order of the rows."""
    found: dict[str, list[Rate]] = {}
    for row in rows:
        stated_hs = unit_hs(row.get("rate_unit"))
        for name, raw in row.items():
            if "HS " not in name and not name.startswith("rate_"):
                continue  # nearly all of some 150 fields: spare them the patterns
            if match := _LABELLED.fullmatch(name):
                label_hs, window = unit_hs(match[1]), match[2]
            elif match := _WEB.fullmatch(name):
                label_hs, window = None, match[1]
            else:
                continue
            window = SINCE_START if window in ("av", "avg") else window
            found.setdefault(window, []).append(Rate(raw, label_hs, stated_hs))
    return found


def unit_hs(raw: object) -> float | None:
    """H/s (or Sol/s) per unit of "GHS", "GH/s", "MH", "KSol/s"."""
    match = _UNIT.match(raw) if isinstance(raw, str) else None
    return 1000.0 ** " KMGTP".index(match[1].upper() or " ") if match else None
