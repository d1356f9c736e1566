"""Energy as rows that people and programs read: a cell of time, or a cell and a key, with bounds and gaps.

Rows hold integers alone; kWh, MW and percent are made of them where they are shown. `low_wh` to `high_wh`
holds what nobody saw; how wrong what was read may be stands beside the total, since it does not add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise

import numpy as np

from collector.ledger.profile import Totals
from collector.ledger.quantities import COVERED, ENERGY, HALF_HOUR_US, Ints, Mask
from collector.tariff import NO_ZONE, Tariff
from reporting import quantity


@dataclass(frozen=True, slots=True)
class Row:
    """A cell of time; `key` is the device, client or zone that it is of. None is what is not known."""

    start_us: int
    end_us: int
    key: str | None
    energy_wh: int
    low_wh: int
    high_wh: int
    by_origin_wh: Mapping[str, int]
    covered_us: int
    gap_by_cause_us: Mapping[str, int]
    peak_wh: int | None = None  # the largest half-hour in which anything was read
    peak_us: int | None = None
    cost: Decimal | None = None  # by the tariff, of zones with a price

    length_us: int | None = None  # where it is not all of the cell

    @property
    def passed_us(self) -> int:
        """How long the half-hours are that it sums."""
        return self.end_us - self.start_us if self.length_us is None else self.length_us

    @property
    def gap_us(self) -> int:
        return sum(self.gap_by_cause_us.values())


@dataclass(frozen=True, slots=True)
class Doubt:
    """By how much what was read may be wrong, over a whole time: it lies outside `low_wh` and `high_wh`."""

    below_wh: int
    above_wh: int


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """Rows in order of time and key, and their sum; `doubt` is None where the bounds hold it already."""

    rows: Sequence[Row]
    total: Row
    doubt: Doubt | None
    notes: tuple[str, ...] = field(default=())


def rows_by_time(profile: Totals, edges_us: Ints) -> Iterator[Row]:
    """One row a cell; the profile's half-hours begin at the first edge."""
    nth = (edges_us - edges_us[0]) // HALF_HOUR_US
    cells = profile.cells(nth[:-1])
    for n, (start_us, end_us) in enumerate(pairwise(edges_us.tolist())):
        yield _row(cells, n, start_us, end_us, None, _peak(profile, int(nth[n]), int(nth[n + 1]), edges_us))


def rows_by_zone(profile: Totals, edges_us: Ints, tariff: Tariff, zones: Ints) -> Iterator[Row]:
    """One row a cell and zone; `zones`: by half-hour its row in the tariff, or -1."""
    nth = (edges_us - edges_us[0]) // HALF_HOUR_US
    names = list(dict.fromkeys([*(zone.name for zone in tariff.zone), NO_ZONE]))
    of_row = np.array([*(names.index(zone.name) for zone in tariff.zone), len(names) - 1])
    for n, (start_us, end_us) in enumerate(pairwise(edges_us.tolist())):
        inside = np.zeros(len(zones), np.bool_)
        inside[nth[n] : nth[n + 1]] = True
        for number, name in enumerate(names):
            chosen = inside & (of_row[zones] == number)
            if chosen.any():
                row = _row_of_chosen(profile, chosen, (start_us, end_us), int(edges_us[0]), name)
                yield replace(row, cost=_cost(profile, chosen, tariff, zones))


def _row_of_chosen(profile: Totals, chosen: Mask, time: tuple[int, int], first_us: int, key: str) -> Row:
    found = _peak_of(profile, np.flatnonzero(chosen))
    peak = None if found is None else (found[0], first_us + found[1] * HALF_HOUR_US)
    return replace(
        _row(profile.chosen(chosen), 0, *time, key, peak), length_us=int(chosen.sum()) * HALF_HOUR_US
    )


def _cost(profile: Totals, chosen: Mask, tariff: Tariff, zones: Ints) -> Decimal | None:
    """What half-hours cost by their rows' prices, exact; None where one has none."""
    cost = Decimal(0)
    for row in np.unique(zones[chosen]).tolist():
        price = None if row < 0 else tariff.zone[row].price
        if price is None:
            return None
        cost += quantity.charge(int(profile.columns[ENERGY][:, chosen & (zones == row)].sum()), price)
    return cost


def row_of_place(totals: Totals, place: int, start_us: int, end_us: int, key: str) -> Row:
    """A device's sum as a row; its largest half-hour is not in a sum."""
    return _row(totals, place, start_us, end_us, key, None)


def total_of(profile: Totals, start_us: int, end_us: int) -> tuple[Row, Doubt]:
    """A whole profile as one row, and how wrong what was read may be."""
    (row,) = rows_by_time(profile, np.array([start_us, end_us]))
    energy = profile.cells(np.array([0])).energy(0)
    return row, Doubt(energy.unsure_below_wh, energy.unsure_above_wh)


def total_of_rows(rows: Sequence[Row], start_us: int, end_us: int) -> Row:
    """Rows added up; the peak of a sum is not the sum of peaks and is left out."""
    origins: dict[str, int] = {}
    causes: dict[str, int] = {}
    for row in rows:
        for sums, parts in ((origins, row.by_origin_wh), (causes, row.gap_by_cause_us)):
            for name, amount in parts.items():
                sums[name] = sums.get(name, 0) + amount
    costs = [row.cost for row in rows if row.cost is not None]
    return Row(
        start_us, end_us, None,
        sum(row.energy_wh for row in rows), sum(row.low_wh for row in rows), sum(row.high_wh for row in rows),
        origins, sum(row.covered_us for row in rows), causes, cost=sum(costs, Decimal(0)) if costs else None,
    )  # fmt: skip


def _row(
    totals: Totals,
    place: int,
    start_us: int,
    end_us: int,
    key: str | None,
    peak: tuple[int, int | None] | None,
) -> Row:
    energy = totals.energy(place)
    return Row(
        start_us, end_us, key, energy.energy_wh, energy.low_wh, energy.high_wh, energy.by_origin_wh,
        sum(energy.covered_us.values()), energy.gap_us, *(peak or (None, None)),
    )  # fmt: skip


def _peak(profile: Totals, first: int, end: int, edges_us: Ints) -> tuple[int, int] | None:
    peak = _peak_of(profile, np.arange(first, end))
    return None if peak is None else (peak[0], int(edges_us[0]) + peak[1] * HALF_HOUR_US)


def _peak_of(profile: Totals, nth: Ints) -> tuple[int, int] | None:
    """(Wh, which half-hour) of the largest, the first of equals; None if nothing was read in any of them."""
    covered_us = profile.columns[COVERED, nth].sum(axis=0)
    if not covered_us.any():
        return None
    energy_wh = np.where(covered_us > 0, profile.columns[ENERGY, nth].sum(axis=0), -1)
    largest = int(energy_wh.argmax())
    return int(energy_wh[largest]), int(nth[largest])
