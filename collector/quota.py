"""The limit of a natural person's energy a month: used so far, how it will end, on which day it is passed.

The rule is reporting's (`ru.natural_person_limit_kwh`): all sites of the person, each by its own civil month.

How the rest of the month is forecast, from the half-hours of the WINDOW_DAYS days before the ledger's end:
    likely   goes on as on average while anything was read, or known to be off
    least    goes on as in the day (48 half-hours) that used least, by its lower bound
    most     goes on as in the day that used most, by its upper bound: gaps could hold as much
So the bounds are those of what was seen, not a probability. With less than a day of readings there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collector.ledger.profile import Totals
from collector.ledger.quantities import ABOVE_WH, BELOW_WH, COVERED, ENERGY, GAP_WH, HALF_HOUR_US, Ints, Mask

# A week has every kind of day in it, and a change of the fleet is out of it within a week.
WINDOW_DAYS = 7
_DAY = 48
METHOD = (
    f"forecast from the last {WINDOW_DAYS} days: on average as while anything was read; "
    "at least as on the day that used least, at most as on the day that used most with its gaps filled"
)


@dataclass(frozen=True, slots=True)
class SiteMonth:
    """A site's half-hours up to where the ledger reaches, and its civil month [month_us, end_us)."""

    site: str
    month_us: int
    end_us: int
    first_us: int  # the half-hours begin here, before the month
    best_wh: Ints
    low_wh: Ints
    high_wh: Ints
    known: Mask  # read, or known to have been off
    begun: int  # the first half-hour of which the ledger says anything


@dataclass(frozen=True, slots=True)
class Bounds:
    """A figure with what it is at least and at most."""

    low: int
    likely: int
    high: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """The half-hours in which the limit is passed; None: not in this month."""

    earliest_us: int | None
    likely_us: int | None
    latest_us: int | None


@dataclass(frozen=True, slots=True)
class Quota:
    """A person's month in Wh; `forecast` is None without a day of readings at each site, then `crossing` is
    of what was used so far."""

    sites: tuple[str, ...]
    limit_wh: int
    used: Bounds
    forecast: Bounds | None
    crossing: Crossing


def site_month(site: str, profile: Totals, first_us: int, month_us: int, end_us: int) -> SiteMonth:
    """A profile of half-hours from `first_us` on, with its open gaps, as a quota needs it."""
    best = profile.columns[ENERGY].sum(axis=0)
    low = best - profile.columns[BELOW_WH]
    high = best + profile.columns[ABOVE_WH] + profile.columns[GAP_WH]
    known = (profile.columns[COVERED].sum(axis=0) > 0) | (low == high)
    begun = np.maximum.accumulate(profile.columns.any(axis=0))
    return SiteMonth(site, month_us, end_us, first_us, best, low, high, known, int(begun.size - begun.sum()))


def quota(months: Sequence[SiteMonth], limit_wh: int) -> Quota:
    """The month of a person with these sites."""
    start_us, end_us = min(m.month_us for m in months), max(m.end_us for m in months)
    width = (end_us - start_us) // HALF_HOUR_US
    past, whole = np.zeros((3, width), np.int64), np.zeros((3, width), np.int64)
    known = True
    for month in months:
        used, reached = _used(month, start_us, width)
        past += used
        rates = _rates(month)
        known = known and rates is not None
        end = (month.end_us - start_us) // HALF_HOUR_US
        for row, (numerator, half_hours) in enumerate(rates or [(0, 1)] * 3):
            rest = np.arange(1, max(end - reached, 0) + 1, dtype=np.int64)
            # Whole Wh whose sum is the rate times the time, rounded down once.
            whole[row, reached:end] += np.diff(rest * numerator // half_hours, prepend=0)
    whole += past
    sums = np.cumsum(whole if known else past, axis=1)
    low, likely, high = (_crossing(row, limit_wh, start_us) for row in sums)
    return Quota(
        tuple(month.site for month in months),
        limit_wh,
        Bounds(*past.sum(axis=1).tolist()),
        Bounds(*whole.sum(axis=1).tolist()) if known else None,
        Crossing(high, likely, low),
    )


def _used(month: SiteMonth, start_us: int, width: int) -> tuple[Ints, int]:
    """(low, best, high) by half-hour from `start_us` on, and the place of the first that is not known."""
    used = np.zeros((3, width), np.int64)
    skip = (month.month_us - month.first_us) // HALF_HOUR_US
    at = (month.month_us - start_us) // HALF_HOUR_US
    columns = np.stack([month.low_wh, month.best_wh, month.high_wh])[:, max(skip, 0) :]
    at += max(-skip, 0)
    columns = columns[:, : max(0, (month.end_us - start_us) // HALF_HOUR_US - at)]
    used[:, at : at + columns.shape[1]] = columns
    return used, at + columns.shape[1]


def _rates(month: SiteMonth) -> list[tuple[int, int]] | None:
    """(Wh, half-hours) of the least, the likely and the most; None without a day of readings."""
    blocks = min((len(month.best_wh) - month.begun) // _DAY, WINDOW_DAYS)
    if not blocks:
        return None
    window = slice(len(month.best_wh) - blocks * _DAY, None)
    least, most = (
        column[window].reshape(blocks, _DAY).sum(axis=1) for column in (month.low_wh, month.high_wh)
    )
    known = month.known[window]
    if not known.any():
        return None
    likely = (int(month.best_wh[window][known].sum()), int(known.sum()))
    return [(int(least.min()), _DAY), likely, (int(most.max()), _DAY)]


def _crossing(sums: Ints, limit_wh: int, start_us: int) -> int | None:
    above = np.flatnonzero(sums > limit_wh)
    return start_us + int(above[0]) * HALF_HOUR_US if above.size else None
