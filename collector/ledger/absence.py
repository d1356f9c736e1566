"""Whole days without a reading of a device, kept as one: it may be away for years, its site with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from collector.ledger.quantities import CAUSES, GAP_US, GAP_WH, HALF_HOUR_US, QUANTITIES, Ints
from collector.ledger.spans import HALF_MW_US_PER_WH, overlap_us

_DEVICE_OFF = CAUSES.index("device_off")


class Absence(NamedTuple):
    """The middle of a gap, from midnight to midnight UTC; `spare` is the carry of its bound at its start."""

    place: int
    start_us: int
    end_us: int
    spare: int
    rate: int
    off_from_us: int
    off_until_us: int
    silent_from_us: int
    silent_until_us: int
    silent_cause: int
    cause: int

    def needed(self, until_us: int) -> int:
        """The most that it can hold from its start to an instant within it, in half-mW*us."""
        off_us = overlap_us(self.start_us, until_us, self.off_from_us, self.off_until_us)
        return self.rate * (until_us - self.start_us - off_us)

    def bound_wh(self, until_us: int) -> int:
        """The same in whole Wh, as the carry rounds it: any parts of an absence add up to the whole."""
        return -((self.spare - self.needed(until_us)) // HALF_MW_US_PER_WH)

    def between(self, from_us: int, until_us: int) -> Ints:
        """Its quantities from one instant to another; zero outside of it."""
        found: Ints = np.zeros(QUANTITIES, np.int64)
        from_us, until_us = max(from_us, self.start_us), min(until_us, self.end_us)
        if from_us >= until_us:
            return found
        off = max(from_us, self.off_from_us), min(until_us, self.off_until_us)
        off_us = max(0, off[1] - off[0])
        silent_us = overlap_us(from_us, until_us, self.silent_from_us, self.silent_until_us)
        silent_us -= overlap_us(*off, self.silent_from_us, self.silent_until_us)
        found[GAP_US + _DEVICE_OFF] += off_us
        found[GAP_US + self.silent_cause] += silent_us
        found[GAP_US + self.cause] += until_us - from_us - off_us - silent_us
        found[GAP_WH] = self.bound_wh(until_us) - self.bound_wh(from_us)
        return found

    def half_hours(self, from_us: int, until_us: int) -> Iterator[tuple[int, Ints]]:
        """(start, quantities) of its half-hours that begin in [from, until)."""
        for start_us in range(max(from_us, self.start_us), min(until_us, self.end_us), HALF_HOUR_US):
            yield start_us, self.between(start_us, start_us + HALF_HOUR_US)
