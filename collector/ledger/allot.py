"""A meter's kWh allotted to the devices behind it, exact to the Wh, half-hour by half-hour.

What devices measured is theirs; what the meter has above that (cooling, losses, loads that are no miners) is
overhead and is allotted by a stated rule. If the meter has less than they measured, they share that in
proportion: the meter counts. A half-hour in which no device used anything is allotted to nobody.

Shares are whole Wh by the largest remainder. Equal remainders go by a device's rank, which turns by one each
half-hour: over a month nobody is favoured, and the same half-hour is always allotted the same way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from collector.ledger.quantities import HALF_HOUR_US, Ints

# How overhead is allotted: by what each device used, by its rated power, or not at all: the site's own.
OverheadRule = Literal["energy", "nameplate", "none"]
# Products of a meter's half-hour and its devices': with both below 2 GWh they fit in 64 bits.
_MOST = 2**62


class Allotted(NamedTuple):
    """Wh of [device, half-hour], and what is nobody's; all of it adds up to the meter's."""

    by_energy: Ints
    overhead: Ints
    site_overhead: Ints  # by the rule "none": kept as the site's own
    unallotted: Ints


def allot(
    metered_wh: Ints, energy_wh: Ints, rated_mw: Ints, start_us: Ints, rank: Ints, rule: OverheadRule
) -> Allotted:
    """By half-hour `metered_wh`, by device and half-hour `energy_wh`; `rated_mw` by device or all zero.

    `rank` orders the devices whatever order they come in. ValueError if a figure is negative or beyond use.
    """
    if metered_wh.min(initial=0) < 0 or energy_wh.min(initial=0) < 0:
        raise ValueError("a half-hour below 0 Wh cannot be allotted")
    measured = energy_wh.sum(axis=0)
    enough = metered_wh >= measured
    scaled = largest_remainder(np.where(enough, 0, metered_wh), energy_wh, start_us, rank)
    by_energy = np.where(enough, energy_wh, scaled)
    rest = metered_wh - by_energy.sum(axis=0)
    nobody = measured == 0
    unallotted = np.where(nobody, rest, 0)
    rest = rest - unallotted
    if rule == "none":
        return Allotted(by_energy, np.zeros_like(by_energy), rest, unallotted)
    weights = energy_wh if rule == "energy" else np.where(energy_wh > 0, rated_mw[:, None], 0)
    # Where no device has a nameplate or was ever read, by what each used.
    weights = np.where(weights.sum(axis=0) > 0, weights, energy_wh)
    overhead = largest_remainder(rest, weights, start_us, rank)
    return Allotted(by_energy, overhead, np.zeros_like(rest), unallotted)


def largest_remainder(total: Ints, weights: Ints, start_us: Ints, rank: Ints) -> Ints:
    """By column, whole shares of `total` in proportion to `weights`, adding up to it; 0 where all are 0."""
    if weights.size == 0:
        return np.zeros_like(weights)
    most = max(int(total.max()), len(rank)) * int(weights.sum(axis=0).max())
    if most >= _MOST:
        raise ValueError("a half-hour of this size cannot be allotted: a register or a nameplate is wrong")
    whole = weights.sum(axis=0)
    some = np.where(whole > 0, whole, 1)
    share, remainder = np.divmod(total * weights, some)
    left = np.where(whole > 0, total - share.sum(axis=0), 0)
    if not left.any():
        return share
    # One number a device: its remainder, and its turn where remainders are equal; no two are the same.
    turned = (rank[:, None] + start_us // HALF_HOUR_US) % len(rank)
    claim = remainder * len(rank) + turned
    last = np.sort(claim.T, axis=1)[np.arange(left.size), len(rank) - np.maximum(left, 1)]
    found: Ints = share + ((claim >= last) & (left > 0))
    return found
