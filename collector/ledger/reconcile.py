"""A meter against the miners behind it: do their bounds meet, by what factor is it above, does that drift.

Pure functions over columns. A half-hour is compared if the meter was read through all of it and something was
seen of the miners. What overlaps agrees. A meter above the most that the miners can have used shows overhead
(cooling, losses, loads that are no miners); miners above the most that the meter can have passed show that
something is wrong: a device that hangs elsewhere, a transformer ratio, a firmware that tells too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from statistics import median_low

import numpy as np

from collector.ledger.profile import Totals
from collector.ledger.quantities import COVERED, GAPS, HALF_HOUR_US, Ints, Mask
from collector.ledger.registers import MeterProfile
from collector.ledger.rules import Drift

MILLION = 1_000_000


class State(IntEnum):
    """What a comparison says; the names are those of tables and metrics."""

    UNSEEN = 0  # nothing to compare
    AGREE = 1
    METER_ABOVE = 2
    MINERS_ABOVE = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """Half-hours of a meter and its miners side by side, in Wh."""

    start_us: Ints
    metered: Ints
    metered_low: Ints
    metered_high: Ints
    miners: Ints
    miners_low: Ints
    miners_high: Ints
    seen: Mask  # can be compared at all
    well_seen: Mask  # so well that its factor counts

    def states(self) -> Ints:
        """The State of each half-hour."""
        return np.where(self.seen, _states(self, slice(None)), State.UNSEEN)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A cell of time: the whole cell, and what of it was compared; factors are millionths, None unknown."""

    start_us: int
    end_us: int
    metered_wh: int
    miners_wh: int
    compared_us: int
    compared_metered_wh: int
    compared_miners_wh: int
    state: State
    factor_us: int  # how much time the factor rests on
    factor_ppm: int | None
    usual_ppm: int | None = None  # the median of the days before
    drift: bool = False

    @property
    def difference_wh(self) -> int:
        """The meter's more, of what was compared; negative if the miners have more."""
        return self.compared_metered_wh - self.compared_miners_wh


def compare(meter: MeterProfile, miners: Totals, coverage_percent: int) -> Compared:
    """Both by the same half-hours."""
    best, low, high = miners.truth()
    covered_us = miners.columns[COVERED].sum(axis=0)
    known_us = covered_us + miners.columns[GAPS].sum(axis=0)
    seen = (meter.gap_us == 0) & (covered_us > 0)
    well = seen & (covered_us * 100 >= known_us * coverage_percent) & (best > 0)
    return Compared(meter.start_us, meter.import_wh, meter.low_wh, meter.high_wh, best, low, high, seen, well)


def reconcile(of: Compared, edges_us: Ints) -> Iterator[Reconciled]:
    """Cells of half-hours; the first begins at the first edge.

    A cell's state is that of its compared half-hours together: their bounds added up.
    """
    nth = ((edges_us - edges_us[0]) // HALF_HOUR_US).tolist()
    for n, (first, end) in enumerate(pairwise(nth)):
        cell = np.zeros(len(of.start_us), np.bool_)
        cell[first:end] = True
        seen, well = cell & of.seen, cell & of.well_seen
        miners_wh, metered_wh = int(of.miners[well].sum()), int(of.metered[well].sum())
        yield Reconciled(
            int(edges_us[n]),
            int(edges_us[n + 1]),
            int(of.metered[cell].sum()),
            int(of.miners[cell].sum()),
            int(seen.sum()) * HALF_HOUR_US,
            int(of.metered[seen].sum()),
            int(of.miners[seen].sum()),
            State(int(_states(of, seen))) if seen.any() else State.UNSEEN,
            int(well.sum()) * HALF_HOUR_US,
            (metered_wh * MILLION + miners_wh // 2) // miners_wh if miners_wh else None,
        )


def with_drift(days: Sequence[Reconciled], rule: Drift) -> Iterator[Reconciled]:
    """Days in order, each against the median of those before it that count."""
    before: list[int] = []
    for day in days:
        usual = median_low(before[-rule.days :]) if len(before[-rule.days :]) >= rule.least_days else None
        counts = day.factor_ppm is not None and day.factor_us >= rule.least_half_hours * HALF_HOUR_US
        drift = False
        if counts and usual is not None and day.factor_ppm is not None:
            drift = abs(day.factor_ppm - usual) * 100 > rule.percent * usual
        yield replace(day, usual_ppm=usual, drift=drift)
        if counts and day.factor_ppm is not None:
            before.append(day.factor_ppm)


def _states(of: Compared, chosen: Mask | slice) -> Ints:
    """State by half-hour for a slice, of the sum for a mask."""
    columns = [of.metered_low, of.metered_high, of.miners_low, of.miners_high]
    if isinstance(chosen, slice):
        meter_low, meter_high, miners_low, miners_high = columns
    else:
        meter_low, meter_high, miners_low, miners_high = (np.array(c[chosen].sum()) for c in columns)
    above = np.where(meter_low > miners_high, State.METER_ABOVE, State.AGREE)
    found: Ints = np.where(meter_high < miners_low, State.MINERS_ABOVE, above)
    return found
