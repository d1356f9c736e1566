"""The rules of the energy ledger again, a device and a half-hour at a time: what the columns must equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from collector.ledger.quantities import CAUSES, HALF_HOUR_US, NO_ORIGIN, ORIGIN_NAMES, cause_number
from collector.ledger.rules import Rules
from collector.ledger.spans import HALF_HASHES_PER_GH, HALF_MW_US_PER_WH, MOST_MHS, Silence


@dataclass
class HalfHour:
    """One row: what quantities.py names, of one device."""

    start_us: int
    wh: list[int] = field(default_factory=lambda: [0] * len(ORIGIN_NAMES))
    covered_us: list[int] = field(default_factory=lambda: [0] * len(ORIGIN_NAMES))
    gaps_us: list[int] = field(default_factory=lambda: [0] * len(CAUSES))
    gap_wh: int = 0
    below_wh: int = 0
    above_wh: int = 0
    sampling_wh: int = 0
    whole_watt_us2: int = 0
    work_gh: int = 0
    hashrate_us: int = 0
    samples: int = 0

    @property
    def column(self) -> list[int]:
        """In the order of the columns."""
        rest = (
            self.gap_wh, self.below_wh, self.above_wh, self.sampling_wh, self.whole_watt_us2,
            self.work_gh, self.hashrate_us, self.samples,
        )  # fmt: skip
        return [*self.wh, *self.covered_us, *self.gaps_us, *rest]

    @property
    def energy_wh(self) -> int:
        return sum(self.wh)

    @property
    def low_wh(self) -> int:
        return self.energy_wh - self.below_wh

    @property
    def high_wh(self) -> int:
        return self.energy_wh + self.above_wh + self.gap_wh

    @property
    def gap_us(self) -> int:
        return sum(self.gaps_us)

    @property
    def by_origin(self) -> dict[str, tuple[int, int]]:
        pairs = zip(ORIGIN_NAMES, self.wh, self.covered_us, strict=True)
        return {name: (wh, us) for name, wh, us in pairs if us}

    @property
    def by_cause_us(self) -> dict[str, int]:
        return {name: us for name, us in zip(CAUSES, self.gaps_us, strict=True) if us}


def of_column(start_us: int, column: list[int]) -> HalfHour:
    n, m = len(ORIGIN_NAMES), 2 * len(ORIGIN_NAMES)
    edge = m + len(CAUSES)
    return HalfHour(start_us, column[:n], column[n:m], column[m:edge], *column[edge:])


class Integral:
    """One device, in plain Python integers."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.rows: dict[int, HalfHour] = {}
        self.last_us = 0
        self.power_mw = self.hashrate_mhs = -1
        self.origin = 0
        self.first_failure_us = self.ended_us = 0
        self.largest_mw = self.nameplate_mw = 0
        self.cause: str | None = None
        self.rest = [0] * (NO_ORIGIN + 1)
        self.gap_spare = self.sampling_spare = self.work_rest = 0

    def read(
        self, at_us: int, power_mw: int, origin: int, uptime_s: int, hashrate_mhs: int, max_gap_us: int,
        silence: Silence,
    ) -> None:  # fmt: skip
        hashrate_mhs = -1 if hashrate_mhs > MOST_MHS else hashrate_mhs
        self.largest_mw = max(self.largest_mw, power_mw)
        if self.last_us:
            passed_us = at_us - self.last_us
            up_us = uptime_s * 1_000_000
            restarted = uptime_s >= 0 and up_us + self.rules.uptime_slack_us < passed_us
            if restarted or passed_us > max_gap_us:
                off = (0, 0)
                if restarted and self.first_failure_us:
                    off = (max(self.first_failure_us, self.last_us), at_us - up_us)
                cause = self.cause or ("restarted" if restarted else "not_polled")
                self._gap(at_us, cause, off if off[0] < off[1] else (0, 0), silence)
            else:
                if power_mw >= 0 and self.power_mw >= 0:
                    self._line(at_us, power_mw, max(origin, self.origin))
                else:
                    self._gap(at_us, "no_power", (0, 0), Silence())
                if hashrate_mhs >= 0 and self.hashrate_mhs >= 0:
                    self._work(at_us, hashrate_mhs)
        self._row(at_us).samples += 1
        self.last_us, self.power_mw, self.origin, self.hashrate_mhs = at_us, power_mw, origin, hashrate_mhs
        self.first_failure_us = self.ended_us = 0
        self.cause = None

    def failed(self, at_us: int, silent: bool, cause: str) -> None:
        if at_us <= self.last_us:
            return
        if not silent:
            self.first_failure_us = 0
        elif not self.first_failure_us:
            self.first_failure_us = at_us
        self.cause = cause

    def end(self, at_us: int) -> None:
        if not self.last_us or self.ended_us:
            return
        if at_us > self.last_us:
            self._gap(at_us, self.cause or "not_polled", (0, 0), Silence())
            self.last_us = at_us
        self.ended_us = self.first_failure_us = self.last_us
        self.power_mw = self.hashrate_mhs = -1
        self.cause = "replaced"

    def _row(self, at_us: int) -> HalfHour:
        start_us = at_us - at_us % HALF_HOUR_US
        return self.rows.setdefault(start_us, HalfHour(start_us))

    def _pieces(self, until_us: int) -> list[tuple[int, int]]:
        edges = [self.last_us]
        while edges[-1] < until_us:
            edges.append(min(until_us, edges[-1] - edges[-1] % HALF_HOUR_US + HALF_HOUR_US))
        return list(pairwise(edges))

    def _line(self, at_us: int, power_mw: int, origin: int) -> None:
        passed_us, slope, done = at_us - self.last_us, power_mw - self.power_mw, 0
        least, most = sorted((power_mw, self.power_mw))
        stepped = (most - least) * 100 > most * self.rules.step_percent
        for from_us, until_us in self._pieces(at_us):
            row, x, piece_us = self._row(from_us), until_us - self.last_us, until_us - from_us
            reached = 2 * self.power_mw * x + slope * x * x // passed_us
            wh, self.rest[origin] = divmod(self.rest[origin] + reached - done, HALF_MW_US_PER_WH)
            done = reached
            row.wh[origin - 1] += wh
            row.covered_us[origin - 1] += piece_us
            row.whole_watt_us2 += piece_us * ((power_mw % 1000 == 0) + (self.power_mw % 1000 == 0))
            if stepped:
                row.below_wh += max(0, wh - 2 * least * piece_us // HALF_MW_US_PER_WH)
                row.above_wh += max(0, -(-2 * most * piece_us // HALF_MW_US_PER_WH) - wh)
            else:
                needed = (most - least) * piece_us
                bound = -((self.sampling_spare - needed) // HALF_MW_US_PER_WH)
                self.sampling_spare += bound * HALF_MW_US_PER_WH - needed
                row.sampling_wh += bound

    def _gap(self, at_us: int, cause: str, off: tuple[int, int], silence: Silence) -> None:
        known_mw = max(self.nameplate_mw, self.largest_mw)
        rules = self.rules
        rated = -(-known_mw * rules.rated_margin_percent // 100) if known_mw else rules.rated_unknown_mw
        for from_us, until_us in self._pieces(at_us):
            row = self._row(from_us)
            shares = dict.fromkeys(range(len(CAUSES)), 0)
            cuts = {c for c in (*off, *silence[:2]) if from_us < c < until_us}
            edges = [from_us, *sorted(cuts), until_us]
            on_us = 0
            for a, b in pairwise(edges):
                if off[0] <= a and b <= off[1]:
                    shares[cause_number("device_off")] += b - a
                    continue
                on_us += b - a
                silent = silence.from_us <= a and b <= silence.until_us
                shares[silence.cause if silent else cause_number(cause)] += b - a
            bound = -((self.gap_spare - 2 * rated * on_us) // HALF_MW_US_PER_WH)
            self.gap_spare += bound * HALF_MW_US_PER_WH - 2 * rated * on_us
            row.gap_wh += bound
            for number, us in shares.items():
                row.gaps_us[number] += us

    def _work(self, at_us: int, hashrate_mhs: int) -> None:
        passed_us, slope, done = at_us - self.last_us, hashrate_mhs - self.hashrate_mhs, 0
        for from_us, until_us in self._pieces(at_us):
            row, x = self._row(from_us), until_us - self.last_us
            reached = 2 * self.hashrate_mhs * x + slope * x * x // passed_us
            gh, self.work_rest = divmod(self.work_rest + reached - done, HALF_HASHES_PER_GH)
            done = reached
            row.work_gh += gh
            row.hashrate_us += until_us - from_us
