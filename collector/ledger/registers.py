"""A meter's cumulative registers as half-hours: exact where two readings say so, bounded where they do not.

What two readings differ by was used between them, to the Wh, however long nobody read: that is what makes
a meter better evidence than sampled power. When within that time it was used is a guess (straight over time),
and a half-hour that cuts it can hold nothing of it or all of it. Everything is a running total that grows
from one reading to the next; a half-hour is the difference of two of its values. So nothing is lost to
rounding, and the sum over any partition of a time is that time's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from agent.wire import RegisterReading
from collector.ledger import rules
from collector.ledger.quantities import DAY_US, Ints

# Of a register or an export that was not read, and of a power that was not (which may be negative).
UNREAD = -1
NO_POWER = -(2**62)
# 100 TWh and 10 GW: more than any meter counts; what is above is no register, and sums stay below 2^63.
MOST_WH, MOST_MW = 10**14, 10**13
_MW_US_PER_WH = 3_600_000_000_000

COLUMNS = (
    "at_us", "seq", "ordinal", "interval_s", "import_wh", "export_wh", "power_mw", "synthetic",
    "problem", "agent",
)  # fmt: skip


class RegisterRow(NamedTuple):
    """One reading as the fold takes it out of a batch; `ordinal`: how many rows that had made by then."""

    at_us: int
    seq: int
    agent: str
    interval_s: int
    synthetic: bool
    reading: RegisterReading
    ordinal: int = 0

    def numbers(self) -> list[int]:
        """The columns up to the problem's; what cannot be a register or a power was not read."""
        read = self.reading
        registers = [
            wh if wh is not None and 0 <= wh <= MOST_WH else UNREAD for wh in (read.import_wh, read.export_wh)
        ]
        power_mw = NO_POWER if read.power_mw is None or abs(read.power_mw) > MOST_MW else read.power_mw
        interval_s = max(0, min(self.interval_s, DAY_US // 1_000_000))
        return [self.at_us, self.seq, self.ordinal, interval_s, *registers, power_mw, int(self.synthetic)]


@dataclass(frozen=True, slots=True)
class Registered:
    """All readings of one meter as columns; agent by agent, each in the order in which it told them.

    `problem`: 0, or the place in `problems` from 1 on.
    """

    at_us: Ints
    seq: Ints
    ordinal: Ints
    interval_s: Ints
    import_wh: Ints
    export_wh: Ints
    power_mw: Ints
    synthetic: Ints
    problem: Ints
    agent: Ints
    problems: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deduced:
    """What the registers do not say by themselves, and what was made of it.

    `confirmed`: a person has said that it is so (True) or not so (False); None as long as nobody has.
    """

    kind: str
    from_us: int
    until_us: int
    detail: Mapping[str, str]
    confirmed: bool | None = None


@dataclass(frozen=True, slots=True)
class MeterProfile:
    """A meter's energy between edges, one cell a piece.

    `import_wh` and `export_wh` are the best figures; `low_wh` to `high_wh` hold the truth of the import: when
    between two readings it was used, what nobody read, the register's step and the meter's class. Cells add
    up exactly; a longer time has narrower bounds than the sum of its cells' (ask for it by its own edges).
    `read_us` is covered by readings, `gap_us` is not; together they are the cell's length.
    """

    start_us: Ints
    end_us: Ints
    import_wh: Ints
    export_wh: Ints
    low_wh: Ints
    high_wh: Ints
    read_us: Ints
    gap_us: Ints
    gap_by_cause_us: Mapping[str, Ints] = field(default_factory=dict)
    findings: Sequence[Deduced] = ()
    synthetic: bool = False


class Running(NamedTuple):
    """A running total: what was used from each instant to the next, with bounds; its sum up to any time."""

    at_us: Ints  # n + 1, rising
    used: Ints  # n
    low: Ints
    high: Ints

    def between(self, edges_us: Ints) -> Ints:
        """What falls between each two edges: straight over time within a piece, in whole numbers."""
        cells: Ints = np.diff(self._until(edges_us))
        return cells

    def _until(self, edges_us: Ints) -> Ints:
        if self.used.size == 0:
            return np.zeros(edges_us.size, np.int64)
        sums = np.concatenate([[0], np.cumsum(self.used)])
        n = np.clip(np.searchsorted(self.at_us, edges_us, side="right") - 1, 0, self.used.size - 1)
        passed = np.clip(edges_us - self.at_us[n], 0, self.at_us[n + 1] - self.at_us[n])
        # A month's energy times a month's microseconds has more than 64 bits: Python's integers have not.
        part = self.used[n].astype(object) * passed.astype(object) // (self.at_us[n + 1] - self.at_us[n])
        until: Ints = sums[n] + part.astype(np.int64)
        return until

    def bounds(self, edges_us: Ints) -> tuple[Ints, Ints]:
        """The least and the most between each two edges: of a piece that an edge cuts, nothing or all."""
        pieces = self.used.size
        if pieces == 0:
            return np.zeros(edges_us.size - 1, np.int64), np.zeros(edges_us.size - 1, np.int64)
        low = np.concatenate([[0], np.cumsum(self.low)])
        high = np.concatenate([[0], np.cumsum(self.high)])
        start_us, end_us = edges_us[:-1], edges_us[1:]
        # Whole pieces are those from `first` up to `end`; one that an edge cuts adds to the most.
        first = np.searchsorted(self.at_us, start_us, side="left")
        end = np.searchsorted(self.at_us, end_us, side="right") - 1
        whole = end > first
        least = np.where(whole, low[np.clip(end, 0, pieces)] - low[np.clip(first, 0, pieces)], 0)
        touched = np.clip(np.searchsorted(self.at_us, start_us, side="right") - 1, 0, pieces)
        beyond = np.clip(np.searchsorted(self.at_us, end_us, side="left"), 0, pieces)
        most = np.maximum(high[beyond] - high[touched], 0)
        return least, most


@dataclass(frozen=True, slots=True)
class History:
    """All that one meter's readings, its descriptions and people's entries amount to."""

    imported: Running
    exported: Running
    covered: Running  # time
    gaps: Mapping[str, Running]  # time, by cause
    step_wh: int
    open_mw: int = 0  # the most that it may draw since its last reading
    lags: tuple[tuple[int, int, int], ...] = ()  # (from, until, most Wh not shown yet)
    findings: tuple[Deduced, ...] = ()
    synthetic: bool = False

    def profile(self, edges_us: Ints) -> MeterProfile:
        """Its energy between edges, which rise; any instants are right."""
        start_us, end_us = edges_us[:-1], edges_us[1:]
        low_wh, high_wh = self.imported.bounds(edges_us)
        high_wh = high_wh + self._open_wh(start_us, end_us)
        # A register shows whole steps: what two readings differ by is off by less than one.
        begun_us = self.imported.at_us[:1]
        step_wh = np.where(end_us > begun_us[0], self.step_wh, 0) if begun_us.size else np.zeros_like(low_wh)
        for from_us, until_us, wh in self.lags:
            low_wh = np.maximum(low_wh - np.where((from_us < start_us) & (start_us < until_us), wh, 0), 0)
            high_wh = high_wh + np.where((from_us < end_us) & (end_us < until_us), wh, 0)
        below, above = _class_per_mille(start_us)
        low_wh = np.maximum(low_wh - step_wh - -(-low_wh * below // 1000), 0)
        high_wh = high_wh + step_wh + -(-high_wh * above // 1000)
        read_us = self.covered.between(edges_us)
        return MeterProfile(
            start_us, end_us,
            self.imported.between(edges_us), self.exported.between(edges_us), low_wh, high_wh,
            read_us, end_us - start_us - read_us,
            {cause: column for cause, gap in self.gaps.items() if (column := gap.between(edges_us)).any()},
            tuple(f for f in self.findings if f.from_us < edges_us[-1] and f.until_us >= edges_us[0]),
            self.synthetic,
        )  # fmt: skip

    def _open_wh(self, start_us: Ints, end_us: Ints) -> Ints:
        """The most that was used since the last reading, which the next one will tell."""
        if self.imported.at_us.size == 0:
            return np.zeros(start_us.size, np.int64)
        open_us = np.maximum(end_us - np.maximum(start_us, self.imported.at_us[-1]), 0)
        open_wh: Ints = (-(-open_us.astype(object) * self.open_mw // _MW_US_PER_WH)).astype(np.int64)
        return open_wh


def _class_per_mille(start_us: Ints) -> tuple[Ints, Ints]:
    """By how much a meter of the weakest class may be wrong below and above, by the rules of each instant."""
    since_us = np.array(rules.since_us())
    nth = np.maximum(np.searchsorted(since_us, start_us, side="right") - 1, 0)
    by_rule = np.array([rules.at(int(us)).uncertainty["meter"] for us in since_us])
    below, above = by_rule[nth].T
    return below, above
