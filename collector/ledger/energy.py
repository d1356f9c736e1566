"""Energy of one device: readings in order of time become half-hours of integer Wh, with gaps and bounds.

Exact integers throughout: power in mW, time in us, so that a trapezoid is (p0 + p1) * dt half-mW*us, and
1 Wh is 7.2e12 of them. What is left below 1 Wh is carried per device and origin, so the rows of any length
of time sum to within 1 Wh of the exact integral. A gap's upper bound is carried the same way, rounded up.
"""

from __future__ import annotations

from agent.wire import ORIGINS

HALF_HOUR_US = 1_800_000_000
HALF_MW_US_PER_WH = 7_200_000_000_000

# Dated 2026-11. Two polls in a row may be missed (a busy control board, a lost packet) without a gap; a
# straight line over more than that is a guess. Never over a whole half-hour, whatever interval an agent
# states: a guessed interval would stand in the ledger as measured.
MAX_GAP_POLLS = 3
MAX_GAP_LIMIT_US = HALF_HOUR_US

# Uptime is whole seconds and is counted from a moment after power came back; a few seconds are no restart.
UPTIME_SLACK_US = 5_000_000

# Dated 2026-11. A device draws up to a tenth more than its nameplate or than any sample of it: start-up and
# cold supplies, firmware that tunes upwards, sampling that misses peaks.
RATED_MARGIN_PERCENT = 110
# Dated 2026-11. Between two polls in which power changed by more than a quarter a device was switched (to
# sleep, on, another mode), and nobody saw when: the trapezoid stays the best guess, but certain is only
# that it drew no less than the lower and no more than the higher reading all the time.
STEP_PERCENT = 25

# Nothing known of the device: more than the largest hydro-cooled miner on the market draws (some 13 kW).
RATED_UNKNOWN_MW = 15_000_000

NO_ORIGIN = len(ORIGINS)  # weaker than any that is known
ORIGIN_NAMES = (*ORIGINS, "none")


class HalfHour:
    """One row in the making: a device's half-hour, with [energy_wh, covered_us] by origin."""

    __slots__ = (
        "by_origin", "end_us", "gap_us", "hashes", "hashrate_us", "high_wh", "low_wh", "samples", "start_us",
    )  # fmt: skip

    def __init__(self, start_us: int) -> None:
        self.start_us = start_us
        self.end_us = start_us + HALF_HOUR_US
        self.by_origin: dict[int, list[int]] = {}
        self.low_wh = 0
        self.high_wh = 0
        self.gap_us = 0
        self.samples = 0
        self.hashes = 0.0
        self.hashrate_us = 0


class Integral:
    """The integration of one device: where it stands, and the half-hours that changed."""

    __slots__ = (
        "_changed", "ended_us", "first_failure_us", "gap_spare", "gap_wh", "hashrate_mhs", "largest_mw",
        "last_us", "nameplate_mw", "origin", "power_mw", "row", "totals",
    )  # fmt: skip

    def __init__(self) -> None:
        self.last_us: int | None = None  # the last reading, or the end of the device's time here
        self.power_mw: int | None = None
        self.origin = NO_ORIGIN
        self.hashrate_mhs: int | None = None
        self.first_failure_us: int | None = None  # first silent poll since the last sign of life
        self.ended_us: int | None = None  # another device took its place then
        self.largest_mw = 0
        self.nameplate_mw: int | None = None
        self.totals: dict[int, list[int]] = {}  # origin -> [Wh in rows, remainder in half-mW*us]
        self.gap_wh = 0  # upper bound of all gaps in rows
        self.gap_spare = 0  # half-mW*us by which gap_wh was rounded up
        self.row: HalfHour | None = None
        self._changed: dict[int, HalfHour] = {}

    @property
    def rated_mw(self) -> int:
        """The most that the device is taken to draw while nobody sees it."""
        return rated_mw(self.nameplate_mw, self.largest_mw)

    def read(
        self,
        at_us: int,
        power_mw: int | None,
        origin: int,
        uptime_s: int | None,
        hashrate_mhs: int | None,
        max_gap_us: int,
    ) -> tuple[int, int] | None:
        """Take the next reading, later than the last; returns the time it is taken to have been off."""
        off = None
        last_us = self.last_us
        if power_mw is not None and power_mw > self.largest_mw:
            self.largest_mw = power_mw
        if last_us is not None:
            passed_us = at_us - last_us
            up_us = None if uptime_s is None else uptime_s * 1_000_000
            restarted = up_us is not None and up_us + UPTIME_SLACK_US < passed_us
            if restarted or passed_us > max_gap_us:
                if restarted and up_us is not None and self.first_failure_us is not None:
                    off = (max(self.first_failure_us, last_us), at_us - up_us)
                    off = off if off[0] < off[1] else None
                self._gap(last_us, at_us, off)
            else:
                if power_mw is not None and self.power_mw is not None:
                    self._trapezoid(last_us, at_us, self.power_mw, power_mw, max(origin, self.origin))
                else:
                    self._gap(last_us, at_us, None)
                if hashrate_mhs is not None and self.hashrate_mhs is not None:
                    self._hashes(last_us, at_us, self.hashrate_mhs, hashrate_mhs)
        self._row_at(at_us).samples += 1
        self.last_us = at_us
        self.power_mw = power_mw
        self.origin = origin
        self.hashrate_mhs = hashrate_mhs
        self.first_failure_us = self.ended_us = None
        return off

    def failed(self, at_us: int, silent: bool) -> None:
        """A poll gave no reading; only a silent device may have been off, one that answers is alive."""
        if not silent:
            self.first_failure_us = None
        elif self.first_failure_us is None and self.last_us is not None and at_us > self.last_us:
            self.first_failure_us = at_us

    def end(self, at_us: int) -> None:
        """The device's time here is over: a gap since its last reading, and none that stays open."""
        if self.last_us is None or self.ended_us is not None:
            return
        if at_us > self.last_us:
            self._gap(self.last_us, at_us, None)
            self.last_us = at_us
        # Should it come back, the time until then is a gap like any other: it was gone from now on.
        self.ended_us = self.first_failure_us = self.last_us
        self.power_mw = self.hashrate_mhs = None

    def take_changed(self) -> list[HalfHour]:
        """The half-hours changed since the last call."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def _row_at(self, at_us: int) -> HalfHour:
        # Time never goes back from one reading to the next: a half-hour that was left is among the changed
        # ones (two readings are walked once for energy and once for hashes), or it is never needed again.
        row = self.row
        if row is None or not row.start_us <= at_us < row.end_us:
            start_us = at_us - at_us % HALF_HOUR_US
            row = self.row = self._changed.get(start_us) or HalfHour(start_us)
        self._changed[row.start_us] = row
        return row

    def _trapezoid(self, start_us: int, end_us: int, power0_mw: int, power1_mw: int, origin: int) -> None:
        total = self.totals.setdefault(origin, [0, 0])
        passed_us = end_us - start_us
        slope_mw = power1_mw - power0_mw
        least_mw, most_mw = sorted((power0_mw, power1_mw))
        stepped = (most_mw - least_mw) * 100 > most_mw * STEP_PERCENT
        at_us, done = start_us, 0
        while at_us < end_us:
            row = self._row_at(at_us)
            until_us = min(end_us, row.end_us)
            x = until_us - start_us
            # The integral from start_us to here, cut to an integer: the differences add up to the whole.
            reached = 2 * power0_mw * x + slope_mw * x * x // passed_us
            energy_wh, total[1] = divmod(total[1] + reached - done, HALF_MW_US_PER_WH)
            total[0] += energy_wh
            part = row.by_origin.setdefault(origin, [0, 0])
            part[0] += energy_wh
            part[1] += until_us - at_us
            low_wh = high_wh = energy_wh
            if stepped:  # whole Wh outwards, without a carry: steps are few
                low_wh = min(energy_wh, 2 * least_mw * (until_us - at_us) // HALF_MW_US_PER_WH)
                high_wh = max(energy_wh, bound_wh(most_mw, until_us - at_us))
            row.low_wh += low_wh
            row.high_wh += high_wh
            at_us, done = until_us, reached

    def _gap(self, start_us: int, end_us: int, off: tuple[int, int] | None) -> None:
        rated = 2 * self.rated_mw
        at_us = start_us
        while at_us < end_us:
            row = self._row_at(at_us)
            until_us = min(end_us, row.end_us)
            on_us = until_us - at_us
            if off is not None:
                on_us -= max(0, min(until_us, off[1]) - max(at_us, off[0]))
            bound_wh = -((self.gap_spare - rated * on_us) // HALF_MW_US_PER_WH)  # 0 while the spare holds it
            self.gap_spare += bound_wh * HALF_MW_US_PER_WH - rated * on_us
            self.gap_wh += bound_wh
            row.high_wh += bound_wh
            row.gap_us += until_us - at_us
            at_us = until_us

    def _hashes(self, start_us: int, end_us: int, hashrate0_mhs: int, hashrate1_mhs: int) -> None:
        slope = (hashrate1_mhs - hashrate0_mhs) / (end_us - start_us)
        at_us = start_us
        while at_us < end_us:
            row = self._row_at(at_us)
            until_us = min(end_us, row.end_us)
            average_mhs = hashrate0_mhs + slope * ((at_us + until_us) / 2 - start_us)
            row.hashes += average_mhs * (until_us - at_us)  # MH/s times us is hashes
            row.hashrate_us += until_us - at_us
            at_us = until_us


def rated_mw(nameplate_mw: int | None, largest_mw: int) -> int:
    """Rated power, with its margin, of a device by its nameplate and the largest power ever read from it."""
    known_mw = max(nameplate_mw or 0, largest_mw)
    return -(-known_mw * RATED_MARGIN_PERCENT // 100) if known_mw else RATED_UNKNOWN_MW


def bound_wh(rated_power_mw: int, gap_us: int) -> int:
    """The most energy that a gap can hold, rounded up."""
    return -(-2 * rated_power_mw * gap_us // HALF_MW_US_PER_WH)
