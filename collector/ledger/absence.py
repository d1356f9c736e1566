"""Whole days without a reading of a device, kept as one: it may be away for years, its site with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from collector.ledger.quantities import CAUSES, GAP_US, GAP_WH, HALF_HOUR_US, Ints
from collector.ledger.spans import HALF_MW_US_PER_WH, overlap_us, overlaps_us

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

    def bound_wh(self, until_us: Ints) -> Ints:
        """The most that it can hold from its start to instants within it, as the carry rounds it.

        Any parts of an absence add up to the whole. Half-hours and the rest apart: their product with the
        rate has more than 64 bits.
        """
        off_us = overlaps_us(self.start_us, until_us, self.off_from_us, self.off_until_us)
        half_hours, rest_us = np.divmod(until_us - self.start_us - off_us, HALF_HOUR_US)
        whole_wh, whole = divmod(self.rate * HALF_HOUR_US, HALF_MW_US_PER_WH)
        rest_wh, rest = np.divmod(self.rate * rest_us, HALF_MW_US_PER_WH)
        bound: Ints = (
            half_hours * whole_wh + rest_wh - (self.spare - half_hours * whole - rest) // HALF_MW_US_PER_WH
        )
        return bound

    def spare_after(self) -> int:
        """The carry at its end."""
        off_us = overlap_us(self.start_us, self.end_us, self.off_from_us, self.off_until_us)
        return (self.spare - self.rate * (self.end_us - self.start_us - off_us)) % HALF_MW_US_PER_WH

    def between(self, edges_us: Ints) -> dict[int, Ints]:
        """Its quantities from each of these instants to the next; zero outside of it."""
        edges_us = np.clip(edges_us, self.start_us, self.end_us)
        from_us, until_us = edges_us[:-1], edges_us[1:]
        off_from, off_until = np.maximum(from_us, self.off_from_us), np.minimum(until_us, self.off_until_us)
        off_us = np.maximum(off_until - off_from, 0)
        silent_us = overlaps_us(from_us, until_us, self.silent_from_us, self.silent_until_us)
        silent_us -= overlaps_us(off_from, off_until, self.silent_from_us, self.silent_until_us)
        found: dict[int, Ints] = {GAP_WH: np.diff(self.bound_wh(edges_us))}
        rest_us = until_us - from_us - off_us - silent_us
        for cause, us in ((_DEVICE_OFF, off_us), (self.silent_cause, silent_us), (self.cause, rest_us)):
            found[GAP_US + cause] = found.get(GAP_US + cause, 0) + us
        return found
