"""How much a meter can have counted: the largest power that its own readings support."""

from __future__ import annotations

import numpy as np

from collector.ledger import rules
from collector.ledger.quantities import Ints
from collector.ledger.registers import MOST_MW, MOST_WH, NO_POWER
from collector.ledger.sequence import Reads

# 1 Wh over 1 ms is this many mW.
_MW_MS_PER_WH = 3_600_000_000
_LARGE_WH = 2**63 // _MW_MS_PER_WH - 1  # beyond it a rate is merely huge


def rate_mw(wh: Ints, passed_us: Ints) -> Ints:
    """The mean power of energy over time, whole mW; what does not fit in 64 bits is only very large."""
    rate = np.minimum(wh, _LARGE_WH) * _MW_MS_PER_WH // np.maximum(passed_us // 1000, 1)
    within: Ints = np.minimum(rate, MOST_MW)
    return within


def energy_wh(power_mw: int, passed_us: int) -> int:
    """The energy of a power over a time, rounded up."""
    return -(-power_mw * passed_us // (_MW_MS_PER_WH * 1000))


def told_mwh(power_mw: Ints, at_us: Ints, max_gap_us: Ints) -> Ints:
    """The energy between each two readings by the power that the meter told, in mWh; unknown is 0."""
    known = (power_mw[1:] != NO_POWER) & (power_mw[:-1] != NO_POWER)
    passed_us = np.diff(at_us)
    known &= passed_us <= max_gap_us[1:]
    # Over a half-hour at most: 2e13 mW times 1.8e6 ms is 3.6e19, so milliseconds are counted by tens.
    both_mw = np.where(known, np.abs(power_mw[1:]) + np.abs(power_mw[:-1]), 0)
    energy: Ints = both_mw * (np.where(known, passed_us, 0) // 10_000) // 720_000
    return energy


class Plausible:
    """The largest power up to each reading that a neighbouring reading or the meter's own word supports."""

    def __init__(self, reads: Reads) -> None:
        self._percent, self._unknown_w = rules.registers_columns(
            reads.at_us, "plausible_percent", "unknown_w"
        )
        delta = np.diff(reads.import_wh)
        moves = np.flatnonzero(delta != 0)
        starts = np.concatenate([[0], moves[:-1] + 1]) if moves.size else moves
        rate = rate_mw(np.maximum(delta[moves], 0), reads.at_us[moves + 1] - reads.at_us[starts])
        largest = np.zeros(reads.at_us.size + 1, np.int64)
        told = np.where(reads.power_mw == NO_POWER, 0, np.abs(reads.power_mw))
        largest[:-1] = _supported(told)
        largest[moves + 1] = np.maximum(largest[moves + 1], _supported(rate))
        self._largest_mw: Ints = np.maximum.accumulate(largest)

    def largest_mw(self, n: Ints | int) -> Ints:
        """What was seen up to the second reading after the pair that begins with reading `n`; 0: nothing."""
        seen_mw: Ints = self._largest_mw[np.minimum(np.asarray(n) + 3, self._largest_mw.size - 1)]
        return seen_mw

    def most_mw(self, n: Ints | int) -> Ints:
        """The most that the meter is taken to count in the pair that begins with reading `n`."""
        seen_mw, held = self.largest_mw(n), np.minimum(n, self._percent.size - 1)
        most_mw: Ints = np.where(
            seen_mw > 0, seen_mw * self._percent[held] // 100, self._unknown_w[held] * 1000
        )
        return most_mw

    def most_wh(self, n: int, passed_us: int) -> int:
        """The same as energy of a time."""
        return min(energy_wh(int(self.most_mw(n)), passed_us), MOST_WH)


def _supported(mw: Ints) -> Ints:
    """Each value, or twice the larger of its neighbours if that is less."""
    if mw.size < 2:
        return np.zeros_like(mw) if mw.size == 0 else mw
    beside = np.zeros_like(mw)
    beside[1:] = mw[:-1]
    beside[:-1] = np.maximum(beside[:-1], mw[1:])
    return np.minimum(mw, 2 * beside)
