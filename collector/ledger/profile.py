"""What the ledger says of energy: totals and load profiles, the one way to read its packed columns.

A best figure and three kinds of doubt, each by itself:
    gap_wh              the most that the gaps can hold: time in which nobody read the device
    below_wh, above_wh  switched between two readings: how far the truth may lie from the trapezoid
    unsure_*            what was read may be wrong: uncertainty of the origin, whole-watt rounding, sampling
`low_wh` to `high_wh` holds what nobody saw (the first two); with `unsure_*` it holds the truth.

Times are microseconds UTC and whole half-hours. A sum over any partition of a time equals that time's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from agent import wire
from collector.ledger import halfhours, rules
from collector.ledger.absence import Absence
from collector.ledger.energy import UNREAD, Integrals, Now, rated_mw
from collector.ledger.quantities import (
    ABOVE_WH,
    BELOW_WH,
    CAUSES,
    COVERED,
    DAY_HALF_HOURS,
    DAY_US,
    ENERGY,
    GAP_WH,
    GAPS,
    HALF_HOUR_US,
    HASHRATE_US,
    ORIGIN_NAMES,
    QUANTITIES,
    SAMPLES,
    SAMPLING_WH,
    WHOLE_WATT_US2,
    WORK_GH,
    Ints,
    Mask,
)
from collector.ledger.tables import standing
from collector.store import schema

_NOT_POLLED = CAUSES.index("not_polled")
# An end of a trapezoid read in whole watts may be off by half a watt over half its time: 250 mW*us a us;
# any other by half a milliwatt. In parts of a Wh: 3.6e12 mW*us, times 4000.
_WHOLE, _FINE, _ROUNDING_PER_WH = 1000, 1, 14_400_000_000_000


@dataclass(frozen=True, slots=True)
class Energy:
    """A device's or a site's energy of a time; `by_origin_wh` and the like hold only what there is."""

    by_origin_wh: dict[str, int]
    covered_us: dict[str, int]
    gap_us: dict[str, int]  # by cause
    gap_wh: int
    below_wh: int
    above_wh: int
    unsure_below_wh: int
    unsure_above_wh: int
    work_gh: int
    hashrate_us: int
    samples: int

    @property
    def energy_wh(self) -> int:
        """The best figure."""
        return sum(self.by_origin_wh.values())

    @property
    def low_wh(self) -> int:
        """At least this, if what was read is right."""
        return self.energy_wh - self.below_wh

    @property
    def high_wh(self) -> int:
        """At most this, if what was read is right."""
        return self.energy_wh + self.above_wh + self.gap_wh

    @property
    def hashrate_hs(self) -> float | None:
        """The average over the time of which it is known."""
        return self.work_gh * 1e15 / self.hashrate_us if self.hashrate_us else None


class Totals(NamedTuple):
    """A quantity's sum by device (or by half-hour), and the uncertainty of origin in mWh below and above."""

    columns: Ints
    below_mwh: Ints
    above_mwh: Ints

    def energy(self, place: int) -> Energy:
        """What is in one place."""
        column = self.columns[:, place].tolist()
        wh, covered = column[ENERGY], column[COVERED]
        ends_us2 = 2 * sum(covered)
        rounding = _FINE * ends_us2 + (_WHOLE - _FINE) * column[WHOLE_WATT_US2]
        carried = sum(us > 0 for us in covered)  # less than 1 Wh of each origin is in no half-hour yet
        unsure = column[SAMPLING_WH] - (-rounding // _ROUNDING_PER_WH)
        return Energy(
            {name: n for name, n, us in zip(ORIGIN_NAMES, wh, covered, strict=True) if us},
            {name: us for name, us in zip(ORIGIN_NAMES, covered, strict=True) if us},
            {name: us for name, us in zip(CAUSES, column[GAPS], strict=True) if us},
            column[GAP_WH],
            column[BELOW_WH],
            column[ABOVE_WH],
            unsure + carried - (-int(self.below_mwh[place]) // 1000),
            unsure + carried - (-int(self.above_mwh[place]) // 1000),
            column[WORK_GH],
            column[HASHRATE_US],
            column[SAMPLES],
        )

    def truth(self) -> tuple[Ints, Ints, Ints]:
        """(best, least, most) Wh of each place; the least and most hold the truth: `unsure_*` is in them."""
        best = self.columns[ENERGY].sum(axis=0)
        covered_us = self.columns[COVERED]
        rounding = _FINE * 2 * covered_us.sum(axis=0) + (_WHOLE - _FINE) * self.columns[WHOLE_WATT_US2]
        unsure = self.columns[SAMPLING_WH] - (-rounding // _ROUNDING_PER_WH) + (covered_us > 0).sum(axis=0)
        low = best - self.columns[BELOW_WH] - unsure + (-self.below_mwh // 1000)
        high = best + self.columns[ABOVE_WH] + self.columns[GAP_WH] + unsure - (-self.above_mwh // 1000)
        return best, np.maximum(low, 0), high

    def plus(self, absence: Absence, edges_us: Ints, place: int | None = None) -> None:
        """Adds a gap to the half-hours between edges, or its whole to one device's place."""
        for number, column in absence.between(edges_us).items():
            if place is None:
                self.columns[number] += column
            else:
                self.columns[number, place] += column.sum()

    def cells(self, starts: Ints) -> Totals:
        """Half-hours summed from each start (by place) to the next, the last to the end."""
        return Totals(*(np.add.reduceat(columns, starts, axis=-1) for columns in self))

    def chosen(self, mask: Mask) -> Totals:
        """The sum of some half-hours, as one place."""
        return Totals(*(columns[..., mask].sum(axis=-1, keepdims=True) for columns in self))

    def has(self, place: int) -> bool:
        """True if the ledger says anything of it."""
        return bool(self.columns[:, place].any())


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """Where the fold stands with a device; None is what there is none of, or was not read."""

    last_us: int | None  # its last reading, or the end of its time here
    ended_us: int | None
    last_seen_us: int
    power_mw: int | None
    hashrate_mhs: int | None
    state: str | None
    cause: str | None  # of the gap open now
    nameplate_mw: int
    largest_mw: int
    synthetic: bool

    def rated_mw(self, rules_now: rules.Rules) -> int:
        """The most that it is taken to draw while nobody sees it."""
        return int(rated_mw(np.array(self.nameplate_mw), np.array(self.largest_mw), rules_now))


class SiteLedger:
    """One site's energy, read in the caller's snapshot."""

    def __init__(self, connection: Connection, org: str, site: str) -> None:
        self._connection, self._org, self._site = connection, org, site
        self.standing: Integrals = standing(connection, org, site)

    def now(self, place: int) -> DeviceNow:
        """One device as it is now."""
        column = self.standing.now[:, place].tolist()
        state, cause = column[Now.STATE], column[Now.CAUSE]
        return DeviceNow(
            last_us=column[Now.LAST_US] or None,
            ended_us=column[Now.ENDED_US] or None,
            last_seen_us=column[Now.LAST_SEEN_US],
            power_mw=None if column[Now.POWER_MW] == UNREAD else column[Now.POWER_MW],
            hashrate_mhs=None if column[Now.HASHRATE_MHS] == UNREAD else column[Now.HASHRATE_MHS],
            state=wire.STATES[state - 1] if state else None,
            cause=CAUSES[cause - 1] if cause else None,
            nameplate_mw=column[Now.NAMEPLATE_MW],
            largest_mw=column[Now.LARGEST_MW],
            synthetic=column[Now.SYNTHETIC] > 0,
        )

    def all_time(self) -> tuple[dict[str, int], int]:
        """Measured Wh by origin, and the most that all closed gaps can hold, since the first reading."""
        now, row = self.standing.now, self.standing.row
        by_origin = now[Now.WH :].sum(axis=1) + row[ENERGY].sum(axis=1)
        gap_wh = now[Now.GAP_WH].sum() + row[GAP_WH].sum()
        return {o: wh for o, wh in zip(ORIGIN_NAMES, by_origin.tolist(), strict=True) if wh}, int(gap_wh)

    def totals(self, start_us: int, end_us: int) -> Totals:
        """Every device's sum over a time, by its place in the register."""
        _edges_us(start_us, end_us)
        cuts = [start_us, *(cut for cut in rules.since_us() if start_us < cut < end_us), end_us]
        parts = [
            _with_uncertainty(self._devices_between(*part), rules.at(part[0])) for part in pairwise(cuts)
        ]
        return Totals(*(np.sum(columns, axis=0) for columns in zip(*parts, strict=True)))

    def profile(self, place: int, start_us: int, end_us: int) -> Totals:
        """One device's half-hours, in order."""
        edges_us = _edges_us(start_us, end_us)
        columns = _no_columns(len(edges_us) - 1)
        query = (start_us // DAY_US, -(-end_us // DAY_US))
        for day, found in halfhours.read_place(self._connection, self._org, self._site, place, *query):
            _lay(columns, found, day * DAY_US, start_us)
        open_us = int(self.standing.now[Now.ROW_US, place])
        if start_us <= open_us < end_us:
            columns[:, (open_us - start_us) // HALF_HOUR_US] += self.standing.row[:, place]
        for absence in self._absences(start_us, end_us, place):
            for number, column in absence.between(edges_us).items():
                columns[number] += column
        return _dated(columns, edges_us)

    def site_profile(self, start_us: int, end_us: int) -> Totals:
        """The half-hours of all devices together, in order."""
        edges_us = _edges_us(start_us, end_us)
        columns = _no_columns(len(edges_us) - 1)
        days = (start_us // DAY_US, -(-end_us // DAY_US))
        for day, (_, found) in halfhours.read_day_sums(
            self._connection, self._org, self._site, *days
        ).items():
            _lay(columns, found, day * DAY_US, start_us)
        places, nth = self._open_between(start_us, end_us)
        for n in np.unique(nth).tolist():
            columns[:, n] += self.standing.row[:, places[nth == n]].sum(axis=1)
        for absence in self._absences(start_us, end_us):
            for number, column in absence.between(edges_us).items():
                columns[number] += column
        return _dated(columns, edges_us)

    def group_profiles(self, group: Ints, count: int, start_us: int, end_us: int) -> list[Totals]:
        """The half-hours of groups of devices, in order; `group`: by place the number of its group, or -1."""
        edges_us = _edges_us(start_us, end_us)
        columns: Ints = np.zeros((count, QUANTITIES, len(edges_us) - 1), np.int64)
        for day, place, found in self.days(np.flatnonzero(group >= 0), start_us, end_us):
            part = group[place : place + halfhours.CHUNK]
            for g in np.unique(part[part >= 0]).tolist():
                added = {number: cells[: part.size][part == g].sum(axis=0) for number, cells in found.items()}
                _lay(columns[g], added, day * DAY_US, start_us)
        places, nth = self._open_between(start_us, end_us)
        mine = group[places] >= 0
        for place, n in zip(places[mine].tolist(), nth[mine].tolist(), strict=True):
            columns[group[place], :, n] += self.standing.row[:, place]
        for absence in self._absences(start_us, end_us):
            if group[absence.place] >= 0:
                for number, column in absence.between(edges_us).items():
                    columns[group[absence.place], number] += column
        return [_dated(part, edges_us) for part in columns]

    def days(self, places: Ints, start_us: int, end_us: int) -> Iterator[tuple[int, int, halfhours.Columns]]:
        """(day, first place, columns of [place from there, half-hour of the day]) of all chunks with places.

        Closed half-hours alone, day by day: never more than a day of a site in memory.
        """
        chunks = np.unique(places // halfhours.CHUNK).tolist()
        for day in range(start_us // DAY_US, -(-end_us // DAY_US)):
            found = halfhours.read_chunks(self._connection, self._org, self._site, [day], chunks)
            for (chunk, _), columns in found.items():
                yield day, chunk * halfhours.CHUNK, columns

    def open_gaps(self, start_us: int, horizon_us: int, *, over: bool) -> Iterator[Absence]:
        """The gaps that no reading has ended yet, up to the horizon; `over`: none can be bridged any more.

        The ledger has them once the device is read again, or never: whoever sums up a time adds them.
        """
        now, rules_then = self.standing.now[:, : self.standing.size], rules.at(horizon_us)
        last_us = now[Now.LAST_US]
        gone = (last_us > 0) & (now[Now.ENDED_US] == 0) & (last_us < horizon_us)
        if not over:
            gone &= horizon_us - last_us > rules_then.max_gap_limit_us
        rate = 2 * rated_mw(now[Now.NAMEPLATE_MW], now[Now.LARGEST_MW], rules_then)
        for place in np.flatnonzero(gone).tolist():
            cause = int(now[Now.CAUSE, place]) - 1
            cause = _NOT_POLLED if cause < 0 else cause
            since_us = max(int(last_us[place]), start_us)
            yield Absence(place, since_us, horizon_us, 0, int(rate[place]), 0, 0, 0, 0, cause, cause)

    def _devices_between(self, start_us: int, end_us: int) -> Ints:
        columns = _no_columns(self.standing.size)
        first_day, end_day = -(-start_us // DAY_US), end_us // DAY_US
        edges = [(start_us, end_us)]
        if first_day <= end_day:
            edges = [(start_us, first_day * DAY_US), (end_day * DAY_US, end_us)]
            sums = halfhours.read_day_sums(self._connection, self._org, self._site, first_day, end_day)
            for found, _ in sums.values():
                for number, column in found.items():
                    columns[number, : column.size] += column
        for edge in edges:
            self._add_part_of_day(columns, *edge)
        places, _ = self._open_between(start_us, end_us)
        columns[:, places] += self.standing.row[:, places]
        for absence in self._absences(start_us, end_us):
            for number, column in absence.between(np.array([start_us, end_us])).items():
                columns[number, absence.place] += column[0]
        return columns

    def _add_part_of_day(self, columns: Ints, start_us: int, end_us: int) -> None:
        if start_us >= end_us:
            return
        day, size, chunk_size = start_us // DAY_US, self.standing.size, halfhours.CHUNK
        part = slice((start_us - day * DAY_US) // HALF_HOUR_US, (end_us - day * DAY_US) // HALF_HOUR_US)
        chunks = range(-(-size // chunk_size))
        found = halfhours.read_chunks(self._connection, self._org, self._site, [day], chunks)
        for (chunk, _), quantities in found.items():
            first = chunk * chunk_size
            width = min(chunk_size, size - first)
            for number, cells in quantities.items():
                columns[number, first : first + width] += cells[:width, part].sum(axis=1)

    def _open_between(self, start_us: int, end_us: int) -> tuple[Ints, Ints]:
        """Places whose open half-hour lies in a time, and which of its half-hours each is."""
        row_us = self.standing.now[Now.ROW_US]
        places = np.flatnonzero((row_us >= start_us) & (row_us < end_us))
        return places, (row_us[places] - start_us) // HALF_HOUR_US

    def _absences(self, start_us: int, end_us: int, place: int | None = None) -> Iterator[Absence]:
        c = schema.absence.c
        query = select(*(c[name] for name in Absence._fields)).where(
            c.org == self._org, c.site == self._site, c.start_us < end_us, c.end_us > start_us
        )
        if place is not None:
            query = query.where(c.place == place)
        for row in self._connection.execute(query.order_by(c.place, c.start_us)):
            yield Absence(*row)


def _edges_us(start_us: int, end_us: int) -> Ints:
    """The half-hours of a time; ValueError if it is not made of them."""
    if start_us % HALF_HOUR_US or end_us % HALF_HOUR_US or start_us >= end_us:
        raise ValueError(
            f"from {start_us} to {end_us} us is not a row of half-hours: the ledger has no finer grain"
        )
    return np.arange(start_us, end_us + 1, HALF_HOUR_US)


def _no_columns(width: int) -> Ints:
    return np.zeros((QUANTITIES, width), np.int64)


def _lay(columns: Ints, found: halfhours.Columns, day_us: int, start_us: int) -> None:
    """Add a day's half-hours to those that begin at `start_us`."""
    first = (day_us - start_us) // HALF_HOUR_US
    low, high = max(first, 0), min(first + DAY_HALF_HOURS, columns.shape[1])
    for number, column in found.items():
        columns[number, low:high] += column[low - first : high - first]


def _with_uncertainty(columns: Ints, rules_then: rules.Rules) -> Totals:
    per_mille = np.array([rules_then.uncertainty[origin] for origin in ORIGIN_NAMES])
    below, above = per_mille.T @ columns[ENERGY]
    return Totals(columns, below, above)


def _dated(columns: Ints, edges_us: Ints) -> Totals:
    """Half-hours with the uncertainty that the rules gave each."""
    width = columns.shape[1]
    cuts = {0, width, *np.clip(np.searchsorted(edges_us, rules.since_us()), 0, width).tolist()}
    parts = [
        _with_uncertainty(columns[:, a:b], rules.at(int(edges_us[a]))) for a, b in pairwise(sorted(cuts))
    ]
    return Totals(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))
