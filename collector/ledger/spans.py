"""The time between two readings of many devices at once, cut at half-hours: lines and gaps, to the integer.

Power in mW and time in us: twice the integral of a line is (p0 + p1) * dt half-mW*us, and 1 Wh is 7.2e12 of
them. Everything stays below 2^63: power is 32 bits on the wire, hashrate at most MOST_MHS, and no line is
longer than a half-hour, (2^31 + 2^31) * 1.8e9 < 7.8e18.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.ledger.quantities import HALF_HOUR_US, Ints

HALF_MW_US_PER_WH = 7_200_000_000_000
HALF_HASHES_PER_GH = 2_000_000_000  # MH/s times us is hashes
# 2.5 PH/s: twice the largest device sold; twice its integral over a half-hour is still below 2^63.
MOST_MHS = 2_500_000_000


class Line:
    """A quantity that goes straight from one value to another; `until` gives its integral piece by piece."""

    __slots__ = ("_done", "_end_us", "_passed_us", "_start_us", "first", "slope")

    def __init__(self, start_us: Ints, end_us: Ints, first: Ints, last: Ints) -> None:
        self._start_us, self._end_us, self._passed_us = start_us, end_us, end_us - start_us
        self.first, self.slope = first, last - first
        self._done: Ints | int = 0

    def until(self, until_us: Ints) -> Ints:
        """Twice the integral since the last call; the pieces add up to the whole."""
        reached = (2 * self.first + self.slope) * self._passed_us
        cut = np.flatnonzero(until_us != self._end_us)
        if cut.size:
            reached[cut] = _reached(
                self.first[cut], self.slope[cut], until_us[cut] - self._start_us[cut], self._passed_us[cut]
            )
        piece: Ints = reached - self._done
        self._done = reached
        return piece

    def pick(self, chosen: Ints) -> Line:
        """The same lines of some of the devices."""
        line = Line.__new__(Line)
        line._start_us, line._end_us = self._start_us[chosen], self._end_us[chosen]
        line._passed_us, line.first, line.slope = (
            self._passed_us[chosen],
            self.first[chosen],
            self.slope[chosen],
        )
        line._done = self._done if isinstance(self._done, int) else self._done[chosen]
        return line


def _reached(first: Ints, slope: Ints, x_us: Ints, passed_us: Ints) -> Ints:
    # floor(2 * first * x + slope * x^2 / passed); the square is divided first, as the product has 94 bits.
    whole, rest = np.divmod(x_us * x_us, passed_us)
    return 2 * first * x_us + slope * whole + slope * rest // passed_us


class Silence(NamedTuple):
    """The time in which an agent made no sweep at all, and the number of its cause; none if it is empty."""

    from_us: int = 0
    until_us: int = 0
    cause: int = 0


class Gaps(NamedTuple):
    """Gaps of many devices: what they can hold, the time each was off, and why nobody knows the rest."""

    rate: Ints  # twice the rated mW
    off_from_us: Ints
    off_until_us: Ints
    silent_from_us: Ints
    silent_until_us: Ints
    silent_cause: Ints
    cause: Ints

    def pick(self, chosen: Ints) -> Gaps:
        """The same gaps of some of the devices."""
        return Gaps(*(column[chosen] for column in self))

    def parts_us(self, from_us: Ints, until_us: Ints) -> tuple[Ints, Ints]:
        """Of a piece of each gap, how long the device was off, and how long else its agent was silent."""
        off_us = overlaps_us(from_us, until_us, self.off_from_us, self.off_until_us)
        silent_us = overlaps_us(from_us, until_us, self.silent_from_us, self.silent_until_us)
        both_us = overlaps_us(
            np.maximum(from_us, self.off_from_us),
            np.minimum(until_us, self.off_until_us),
            self.silent_from_us,
            self.silent_until_us,
        )
        return off_us, silent_us - both_us


def overlaps_us(a_from: Ints | int, a_until: Ints, b_from: Ints | int, b_until: Ints | int) -> Ints:
    """How long each two times have in common."""
    common: Ints = np.maximum(np.minimum(a_until, b_until) - np.maximum(a_from, b_from), 0)
    return common


def overlap_us(a_from_us: int, a_until_us: int, b_from_us: int, b_until_us: int) -> int:
    """How long two times have in common."""
    return max(0, min(a_until_us, b_until_us) - max(a_from_us, b_from_us))


def half_hour_of(at_us: Ints) -> Ints:
    """The start of the half-hour that an instant lies in."""
    return at_us // HALF_HOUR_US * HALF_HOUR_US
