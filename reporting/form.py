"""Form: one kind of filing and the function that fills it; Options: what the filer chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from reporting.draft import Draft
from reporting.period import PeriodKind


class Mw(StrEnum):
    """Which power a Kazakh filing states."""

    AVERAGE = "average"
    PEAK = "peak"
    CONTRACTED = "contracted"


class PowerSource(StrEnum):
    """Where the power comes from, as declared: it decides the Kazakh rate."""

    ORDINARY = "ordinary"
    OWN = "own"
    OWN_RENEWABLES = "own_renewables"
    OFF_GRID = "off_grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the filer chooses or declares for one filing."""

    mw: Mw = Mw.AVERAGE
    power_source: PowerSource = PowerSource.ORDINARY
    price_kzt_kwh: Decimal | None = None  # price of electricity: the rate of 2023 depends on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of filing; `fill` adds its fields, tables and findings to a draft."""

    id: str
    country: str
    title: str
    language: str
    period_kinds: tuple[PeriodKind, ...]
    meaning: str
    in_law: str  # whether the duty stands, with its status
    solar_hijri: bool = False  # whether it may cover a Solar Hijri period
    fill: Callable[[Draft, Options], None]
