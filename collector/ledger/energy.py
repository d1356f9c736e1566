"""Energy of a site's devices: readings in order of time become half-hours of integer Wh, gaps and bounds.

All devices of a sweep at once, exact integers throughout. What is left below 1 Wh is carried per device and
origin, so the half-hours of any length of time sum to within 1 Wh of the exact integral. A gap's upper bound
is carried the same way, rounded up. What is what: `collector.ledger.quantities`; the rules: `rules.toml`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from collector.ledger.absence import Absence
from collector.ledger.quantities import (
    ABOVE_WH,
    BELOW_WH,
    CAUSES,
    COVERED_US,
    DAY_US,
    ENERGY,
    GAP_US,
    GAP_WH,
    HALF_HOUR_US,
    HASHRATE_US,
    ORIGIN_NAMES,
    QUANTITIES,
    SAMPLES,
    SAMPLING_WH,
    WH,
    WHOLE_WATT_US2,
    WORK_GH,
    Ints,
    Mask,
)
from collector.ledger.rules import Rules
from collector.ledger.spans import (
    HALF_HASHES_PER_GH,
    HALF_MW_US_PER_WH,
    MOST_MHS,
    Gaps,
    Line,
    Silence,
    half_hour_of,
)

_DEVICE_OFF, _NO_POWER = CAUSES.index("device_off"), CAUSES.index("no_power")
_RESTARTED, _NOT_POLLED = CAUSES.index("restarted"), CAUSES.index("not_polled")
UNREAD = -1
_FIRST_PLACES = 64


class Now(IntEnum):
    """Where a device stands, a column each; an instant of 0 is none, power and hashrate of -1 unread."""

    LAST_US = 0  # the last reading, or the end of the device's time here
    POWER_MW = 1
    ORIGIN = 2
    HASHRATE_MHS = 3
    FIRST_FAILURE_US = 4  # first silent poll since the last sign of life
    ENDED_US = 5  # another device took its place then
    LARGEST_MW = 6
    NAMEPLATE_MW = 7
    CAUSE = 8  # of the gap open now: its number + 1
    STATE = 9  # the wire's number + 1
    SKIPPED = 10  # readings left out since its clock went backwards
    LAST_SEEN_US = 11
    SYNTHETIC = 12
    ROW_US = 13  # start of the open half-hour
    GAP_SPARE = 14  # half-mW*us by which the bounds of its gaps were rounded up
    SAMPLING_SPARE = 15
    WORK_REST = 16
    GAP_WH = 17  # of all closed half-hours
    AGENT = 18  # a number of the agent that read it last
    REST = 19  # by origin: half-mW*us that no half-hour holds yet
    WH = REST + len(ORIGIN_NAMES)  # by origin: of all closed half-hours


NOW_COLUMNS = Now.WH + len(ORIGIN_NAMES)
_INSTANTS = np.array([Now.LAST_US, Now.FIRST_FAILURE_US, Now.LAST_SEEN_US])


class Closed(NamedTuple):
    """Half-hours that will not change again: place and start of each, and the quantities that any has."""

    places: Ints
    start_us: Ints
    quantities: Ints
    row: Ints


class Readings(NamedTuple):
    """A sweep's readings as columns; UNREAD marks what was not read, a state of 0 none."""

    places: Ints
    at_us: Ints
    power_mw: Ints
    origin: Ints
    uptime_s: Ints
    hashrate_mhs: Ints
    state: Ints  # the wire's number + 1

    def pick(self, chosen: Ints | Mask) -> Readings:
        """Some of them."""
        return Readings(*(column[chosen] for column in self))


class Integrals:
    """The integration of a site's devices: `now` and the open half-hour `row`, by quantity and place."""

    def __init__(self) -> None:
        self.size = 0
        self.now: Ints = np.zeros((NOW_COLUMNS, _FIRST_PLACES), np.int64)
        self.row: Ints = np.zeros((QUANTITIES, _FIRST_PLACES), np.int64)
        self.closed: list[Closed] = []
        self.absences: list[Absence] = []

    def add(self) -> int:
        """The place of a new device."""
        place, room = self.size, self.now.shape[1]
        if place == room:
            more = max(room, _FIRST_PLACES)
            self.now = np.pad(self.now, ((0, 0), (0, more)))
            self.row = np.pad(self.row, ((0, 0), (0, more)))
        self.now[[Now.POWER_MW, Now.HASHRATE_MHS], place] = UNREAD
        self.size += 1
        return place

    def read(
        self, readings: Readings, rules: Rules, max_gap_us: int, silence: Silence
    ) -> list[tuple[int, int, int]]:
        """Take readings of distinct devices, each later than its device's last.

        Returns (place, from, until) of the times that devices are taken to have been off.
        """
        now = self.now
        places, at_us, power_mw, origin, uptime_s, told_mhs, state = readings
        hashrate_mhs = np.where(told_mhs > MOST_MHS, UNREAD, told_mhs)
        now[Now.LARGEST_MW][places] = np.maximum(now[Now.LARGEST_MW][places], power_mw)
        last_us, power0_mw, origin0 = (now[n][places] for n in (Now.LAST_US, Now.POWER_MW, Now.ORIGIN))
        seen = last_us > 0
        new = places[~seen]
        now[Now.ROW_US][new] = half_hour_of(at_us[~seen])
        up_us = uptime_s * 1_000_000
        restarted = (uptime_s >= 0) & (up_us + rules.uptime_slack_us < at_us - last_us)
        near = seen & ~restarted & (at_us - last_us <= max_gap_us)
        hashrate0_mhs = now[Now.HASHRATE_MHS][places]
        known = near & (hashrate0_mhs >= 0) & (hashrate_mhs >= 0)
        hashes = Line(last_us, at_us, np.where(known, hashrate0_mhs, 0), np.where(known, hashrate_mhs, 0))
        measured = near & (power0_mw >= 0) & (power_mw >= 0)
        off: list[tuple[int, int, int]] = []
        if measured.all():
            line = Line(last_us, at_us, power0_mw, power_mw)
            self._walk_lines(places, last_us, at_us, line, np.maximum(origin, origin0), hashes, known, rules)
        else:
            m = np.flatnonzero(measured)
            if m.size:
                line = Line(last_us[m], at_us[m], power0_mw[m], power_mw[m])
                weaker = np.maximum(origin[m], origin0[m])
                self._walk_lines(
                    places[m], last_us[m], at_us[m], line, weaker, hashes.pick(m), known[m], rules
                )
            g = np.flatnonzero(seen & ~measured)
            if g.size:
                gaps = self._gaps(
                    places[g], last_us[g], at_us[g], up_us[g], restarted[g], near[g], rules, silence
                )
                self._walk_gaps(places[g], last_us[g], at_us[g], gaps, hashes.pick(g), known[g])
                was_off = gaps.off_from_us < gaps.off_until_us
                told = (places[g][was_off], gaps.off_from_us[was_off], gaps.off_until_us[was_off])
                off = list(zip(*(column.tolist() for column in told), strict=True))
        # A reading at the very end of a half-hour is the first of the next one: the walk has moved on.
        self.row[SAMPLES][places] += 1
        now[Now.LAST_US][places] = at_us
        now[Now.POWER_MW][places], now[Now.ORIGIN][places] = power_mw, origin
        now[Now.HASHRATE_MHS][places] = hashrate_mhs
        now[Now.STATE][places] = state
        now[Now.LAST_SEEN_US][places] = np.maximum(now[Now.LAST_SEEN_US][places], at_us)
        for column in (Now.FIRST_FAILURE_US, Now.ENDED_US, Now.CAUSE, Now.SKIPPED):
            now[column][places] = 0
        return off

    def failed(self, places: Ints, at_us: Ints, silent: Mask) -> None:
        """Polls of distinct devices gave no reading; only a silent device may have been off."""
        first_us = self.now[Now.FIRST_FAILURE_US]
        keep = first_us[places] > 0
        later = at_us > self.now[Now.LAST_US][places]
        first_us[places] = np.where(silent, np.where(keep | ~later, first_us[places], at_us), 0)

    def end(self, place: int, at_us: int, rules: Rules) -> None:
        """The device's time here is over: a gap since its last reading, and none that stays open."""
        now = self.now[:, place]
        if not now[Now.LAST_US] or now[Now.ENDED_US]:
            return
        if at_us > now[Now.LAST_US]:
            places, last_us, end_us = (np.array([n]) for n in (place, int(now[Now.LAST_US]), at_us))
            nothing = np.zeros(1, bool)
            gaps = self._gaps(places, last_us, end_us, end_us, nothing, nothing, rules, Silence())
            none = np.zeros(1, np.int64)
            self._walk_gaps(places, last_us, end_us, gaps, Line(last_us, end_us, none, none), nothing)
            now[Now.LAST_US] = at_us
        # Should it come back, the time until then is a gap like any other: it was gone from now on.
        now[Now.ENDED_US] = now[Now.FIRST_FAILURE_US] = now[Now.LAST_US]
        now[Now.POWER_MW] = now[Now.HASHRATE_MHS] = UNREAD

    def take_closed(self) -> tuple[list[Closed], list[Absence]]:
        """What was closed since the last call."""
        taken = self.closed, self.absences
        self.closed, self.absences = [], []
        return taken

    def _gaps(
        self, places: Ints, last_us: Ints, at_us: Ints, up_us: Ints, restarted: Mask, near: Mask,
        rules: Rules, silence: Silence,
    ) -> Gaps:  # fmt: skip
        now = self.now
        first_failure_us, failed = now[Now.FIRST_FAILURE_US][places], now[Now.CAUSE][places] - 1
        off_from_us, off_until_us = np.maximum(first_failure_us, last_us), at_us - up_us
        was_off = restarted & (first_failure_us > 0) & (off_from_us < off_until_us)
        cause = np.where(restarted, _RESTARTED, _NOT_POLLED)
        cause = np.where(near, _NO_POWER, np.where(failed >= 0, failed, cause))
        silent = np.where(near, 0, 1)
        return Gaps(
            2 * rated_mw(now[Now.NAMEPLATE_MW][places], now[Now.LARGEST_MW][places], rules),
            np.where(was_off, off_from_us, 0),
            np.where(was_off, off_until_us, 0),
            silent * silence.from_us,
            silent * silence.until_us,
            np.full(len(places), silence.cause),
            cause,
        )

    def _walk_lines(
        self, places: Ints, at_us: Ints, end_us: Ints, power: Line, origin: Ints, hashes: Line, known: Mask,
        rules: Rules,
    ) -> None:  # fmt: skip
        while True:
            until_us = np.minimum(end_us, self.now[Now.ROW_US][places] + HALF_HOUR_US)
            self._add_energy(places, until_us - at_us, power, power.until(until_us), origin, rules)
            self._add_work(places, until_us - at_us, hashes.until(until_us), known)
            left = self._leave(places, until_us, end_us)
            if left is None:
                return
            places, at_us, end_us, origin, known = (
                places[left],
                until_us[left],
                end_us[left],
                origin[left],
                known[left],
            )
            power, hashes = power.pick(left), hashes.pick(left)

    def _walk_gaps(
        self, places: Ints, at_us: Ints, end_us: Ints, gaps: Gaps, hashes: Line, known: Mask
    ) -> None:
        while True:
            until_us = np.minimum(end_us, self.now[Now.ROW_US][places] + HALF_HOUR_US)
            self._add_gap(places, at_us, until_us, gaps)
            self._add_work(places, until_us - at_us, hashes.until(until_us), known)
            left = self._leave(places, until_us, end_us)
            if left is None:
                return
            places, at_us, end_us, known = places[left], until_us[left], end_us[left], known[left]
            gaps, hashes = gaps.pick(left), hashes.pick(left)
            at_us = self._skip_days(places, at_us, end_us, gaps)
            if (at_us == end_us).any():
                left = np.flatnonzero(at_us < end_us)
                places, at_us, end_us, known = places[left], at_us[left], end_us[left], known[left]
                gaps, hashes = gaps.pick(left), hashes.pick(left)

    def _add_energy(
        self, places: Ints, passed_us: Ints, power: Line, units: Ints, origin: Ints, rules: Rules
    ) -> None:
        now, row, width = self.now, self.row, self.now.shape[1]
        by_origin = (origin - 1) * width + places
        rest, wh = now[Now.REST :].reshape(-1), row[WH:].reshape(-1)
        units = units + rest[by_origin]
        energy_wh = units // HALF_MW_US_PER_WH
        rest[by_origin] = units - energy_wh * HALF_MW_US_PER_WH
        wh[by_origin] += energy_wh
        row[COVERED_US:].reshape(-1)[by_origin] += passed_us
        first_mw, last_mw = power.first, power.first + power.slope
        ends = (first_mw // 1000 * 1000 == first_mw) * 1 + (last_mw // 1000 * 1000 == last_mw)
        row[WHOLE_WATT_US2][places] += ends * passed_us
        span_mw, most_mw = np.abs(power.slope), np.maximum(first_mw, last_mw)
        stepped = span_mw * 100 > most_mw * rules.step_percent
        spread = np.where(stepped, 0, span_mw) * passed_us - now[Now.SAMPLING_SPARE][places]
        sampling_wh = -(-spread // HALF_MW_US_PER_WH)
        now[Now.SAMPLING_SPARE][places] = sampling_wh * HALF_MW_US_PER_WH - spread
        row[SAMPLING_WH][places] += sampling_wh
        s = np.flatnonzero(stepped)
        if s.size:  # whole Wh outwards, without a carry: steps are few
            least_wh = 2 * (most_mw[s] - span_mw[s]) * passed_us[s] // HALF_MW_US_PER_WH
            most_wh = -(-2 * most_mw[s] * passed_us[s] // HALF_MW_US_PER_WH)
            row[BELOW_WH][places[s]] += np.maximum(energy_wh[s] - least_wh, 0)
            row[ABOVE_WH][places[s]] += np.maximum(most_wh - energy_wh[s], 0)

    def _add_work(self, places: Ints, passed_us: Ints, units: Ints, known: Mask) -> None:
        rest = self.now[Now.WORK_REST]
        units = units + rest[places]
        work_gh = units // HALF_HASHES_PER_GH
        rest[places] = units - work_gh * HALF_HASHES_PER_GH
        self.row[WORK_GH][places] += work_gh
        self.row[HASHRATE_US][places] += passed_us * known

    def _add_gap(self, places: Ints, at_us: Ints, until_us: Ints, gaps: Gaps) -> None:
        off_us, silent_us = gaps.parts_us(at_us, until_us)
        passed_us = until_us - at_us
        spare = self.now[Now.GAP_SPARE]
        left = spare[places] - gaps.rate * (passed_us - off_us)
        bound_wh = -(left // HALF_MW_US_PER_WH)  # 0 while the spare holds it
        spare[places] = left + bound_wh * HALF_MW_US_PER_WH
        self.row[GAP_WH][places] += bound_wh
        by_cause = self.row[GAP_US:GAP_WH]
        by_cause[_DEVICE_OFF][places] += off_us
        by_cause[gaps.silent_cause, places] += silent_us
        by_cause[gaps.cause, places] += passed_us - off_us - silent_us

    def move(self, places: Ints, shift_us: int) -> None:
        """What was read last was dated wrong by so much, and no time has passed at it.

        What the half-hours hold stays where it was dated; what comes is added where it is dated now.
        """
        now = self.now
        moved_us = now[:, places][_INSTANTS] + shift_us
        now[np.ix_(_INSTANTS, places)] = np.where(now[:, places][_INSTANTS] > 0, moved_us, 0)
        rows_us = half_hour_of(now[Now.LAST_US][places])
        other = rows_us != now[Now.ROW_US][places]
        if other.any():
            self._close(places[other])
            now[Now.ROW_US][places] = rows_us

    def _leave(self, places: Ints, until_us: Ints, end_us: Ints) -> Ints | None:
        """Close the half-hours that are over; which devices have more to come, or None."""
        row_us = self.now[Now.ROW_US]
        over = np.flatnonzero(until_us == row_us[places] + HALF_HOUR_US)
        if not over.size:
            return None
        self._close(places[over])
        row_us[places[over]] += HALF_HOUR_US
        more = over[until_us[over] < end_us[over]]
        return more if more.size else None

    def _close(self, places: Ints) -> None:
        row = self.row[:, places]
        used = np.flatnonzero(row.any(axis=1))
        self.closed.append(Closed(places, self.now[Now.ROW_US][places], used, row[used]))
        self.now[Now.WH :, places] += row[ENERGY]
        self.now[Now.GAP_WH][places] += row[GAP_WH]
        self.row[:, places] = 0

    def _skip_days(self, places: Ints, at_us: Ints, end_us: Ints, gaps: Gaps) -> Ints:
        """Take whole days of a gap as one absence; returns where each gap goes on."""
        whole = (at_us % DAY_US == 0) & (end_us - at_us >= DAY_US)
        if not whole.any():
            return at_us
        at_us = at_us.copy()
        for n in np.flatnonzero(whole).tolist():
            place, start_us, now = int(places[n]), int(at_us[n]), self.now[:, places[n]]
            until_us = int(end_us[n]) // DAY_US * DAY_US
            absence = Absence(
                place, start_us, until_us, int(now[Now.GAP_SPARE]), *(int(column[n]) for column in gaps)
            )
            now[Now.GAP_SPARE] = absence.spare_after()
            now[Now.GAP_WH] += absence.bound_wh(np.array(until_us))
            now[Now.ROW_US] = at_us[n] = until_us
            self.absences.append(absence)
        return at_us


def rated_mw(nameplate_mw: Ints, largest_mw: Ints, rules: Rules) -> Ints:
    """The most that devices are taken to draw while nobody sees them; 0 is an unknown argument."""
    known_mw = np.maximum(nameplate_mw, largest_mw)
    rated: Ints = np.where(
        known_mw > 0, -(-known_mw * rules.rated_margin_percent // 100), rules.rated_unknown_mw
    )
    return rated


def bound_wh(rated_power_mw: int, gap_us: int) -> int:
    """The most energy that a gap can hold, rounded up."""
    return -(-2 * rated_power_mw * gap_us // HALF_MW_US_PER_WH)
