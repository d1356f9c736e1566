"""Rates as cgminer's descendants label them: the unit and the window stand in the name of the field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from agent.miners import fields
from agent.miners.hardware import Model, nearest
from agent.transports.cgminer import Json

CURRENT = "5s"
SINCE_START = "since start"
# BFGMiner and the makers that use it write 20s; nobody writes two of the seconds.
WINDOWS = (CURRENT, "10s", "20s", "30s", "1m", "5m", "15m", "30m", "1h", SINCE_START)

# By series or, where the program could not tell that, by the hash board: S19, S19 XP, S21.
_SHA256_MODEL = re.compile(r"Antminer (?:[STRV]\d|BHB(?:42|56|68))", re.IGNORECASE)
_ANTMINER = re.compile(r"Antminer\b", re.IGNORECASE)
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
        names = [name for name in row if name in _LABELS]
        stated_hs = unit_hs(row.get("rate_unit")) if names else None
        for name in names:
            label_hs, window = _LABELS[name]
            found.setdefault(window, []).append(Rate(row[name], label_hs, stated_hs))
    return found


def unit_hs(raw: object) -> float | None:
    """H/s (or Sol/s) per unit of "GHS", "GH/s", "MH", "KSol/s"."""
    return _unit_hs(raw) if isinstance(raw, str) else None


@lru_cache(maxsize=128)  # asked at every poll, of the few units that firmwares write
def _unit_hs(raw: str) -> float | None:
    match = _UNIT.match(raw)
    return 1000.0 ** " KMGTP".index(match[1].upper() or " ") if match else None


# Every name that a rate can have -> H/s per unit of its label (the web's names have none) and its window.
_LABELS: dict[str, tuple[float | None, str]] = {
    **{
        f"{unit}HS {'av' if window == SINCE_START else window}": (unit_hs(f"{unit}HS"), window)
        for unit in ("", *"KMGTP")
        for window in WINDOWS
    },
    **{f"rate_{'avg' if window == SINCE_START else window}": (None, window) for window in WINDOWS},
}
CURRENT_NAMES = frozenset(name for name, (_, window) in _LABELS.items() if window == CURRENT)


def present(written: dict[str, list[Rate]]) -> tuple[float | None, str | None]:
    """Hashrate and window of the shortest rate that names its unit; a mean since start is not of now."""
    for window in WINDOWS[:-1]:
        for rate in written.get(window, []):
            value = fields.number(rate.raw)
            if value is not None and value >= 0 and rate.label_hs:
                return value * rate.label_hs, window
    return None, None


def present_of(written: dict[str, list[Rate]], name: str) -> tuple[float | None, str | None]:
    """As `present`, for a named model whose labels may not be in its algorithm's unit."""
    model = nearest(name)
    for window in WINDOWS[:-1]:
        for rate in written.get(window, []):
            if (value := in_hs(rate, model, name)) is not None:
                return value, window
    return None, None


def in_hs(rate: Rate, model: Model | None, name: str | None) -> float | None:
    """H/s of one rate of a named device, or None where it is no number or its unit cannot be told."""
    value = fields.number(rate.raw)
    if value is None or value < 0:
        return None
    scale = _scale(value, rate, model, name)
    return None if scale is None else value * scale


def _scale(value: float, rate: Rate, model: Model | None, name: str | None) -> float | None:
    """H/s per unit. Bitmain's firmware for other algorithms writes GHS where MH or kSol are meant."""
    label, stated = rate.label_hs, rate.stated_hs
    if model and model.algorithm != "sha256" and model.hashrate_hs:
        units = [unit for unit in (stated, label, 1.0, 1e3, 1e6, 1e9, 1e12) if unit]
        reach = model.hashrate_hs * 0.003, model.hashrate_hs * 3  # less than the factor between two units
        return next((unit for unit in units if value == 0 or reach[0] <= value * unit <= reach[1]), None)
    if name is None:
        return label or stated
    if model or _SHA256_MODEL.match(name):
        return label or stated or 1e9  # Bitmain's SHA-256 pages are in GH/s where they name no unit
    if label and stated:
        return label if label == stated else None
    return stated if label is None or _ANTMINER.match(name) else label
