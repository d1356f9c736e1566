"""What the energy ledger holds of a device and half-hour: the quantities, in the order of their columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.wire import ORIGINS

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

HALF_HOUR_US = 1_800_000_000
DAY_US = 86_400_000_000
DAY_HALF_HOURS = DAY_US // HALF_HOUR_US

# The known origins as the wire numbers them from 1 on, and "none": weaker than any that is known.
ORIGIN_NAMES = (*(str(name) for name in ORIGINS[1:]), "none")
NO_ORIGIN = len(ORIGIN_NAMES)

# Why nobody knows what a device drew. The failed polls' kinds are the wire's. Append only: stored by place.
CAUSES = (
    "unreachable", "timeout", "auth", "protocol", "unsupported",
    "network",  # several devices silent and none answered
    "agent_down", "clock", "thinned",  # no sweep at all: the agent's doing
    "device_off",  # its uptime shows that it was off
    "restarted",  # between two readings, for how long nobody saw
    "no_power",  # it answered, and told no power
    "not_polled",  # sweeps came, without this device
    "vanished", "replaced", "other",
)  # fmt: skip

# Kinds of failed polls that came later, told under what they were before.
_KINDRED = {"locked": "auth", "rebooting": "restarted"}

# By origin: measured energy, and the time that it covers.
WH = 0
COVERED_US = WH + len(ORIGIN_NAMES)
# By cause: time of gaps. GAP_WH is the most that all of them can hold.
GAP_US = COVERED_US + len(ORIGIN_NAMES)
GAP_WH = GAP_US + len(CAUSES)
# Switched between two readings: by how much the truth may lie below and above the trapezoid.
BELOW_WH, ABOVE_WH = GAP_WH + 1, GAP_WH + 2
# Either way: what a slope between two readings may hide; and twice the time read in whole watts, for the
# rounding (a trapezoid has two ends).
SAMPLING_WH, WHOLE_WATT_US2 = GAP_WH + 3, GAP_WH + 4
# Hashes in 10^9 over the time of which the hashrate is known, and readings.
WORK_GH, HASHRATE_US, SAMPLES = GAP_WH + 5, GAP_WH + 6, GAP_WH + 7
QUANTITIES = GAP_WH + 8

NAMES = (
    *(f"{origin}_wh" for origin in ORIGIN_NAMES),
    *(f"{origin}_us" for origin in ORIGIN_NAMES),
    *(f"{cause}_us" for cause in CAUSES),
    "gap_wh", "below_wh", "above_wh", "sampling_wh", "whole_watt_us2", "work_gh", "hashrate_us", "samples",
)  # fmt: skip
ENERGY = slice(WH, COVERED_US)
COVERED = slice(COVERED_US, GAP_US)
GAPS = slice(GAP_US, GAP_WH)


def cause_number(kind: str) -> int:
    """The place of a cause, that of "other" for a kind that only a newer agent knows."""
    kind = _KINDRED.get(kind, kind)
    return CAUSES.index(kind if kind in CAUSES else "other")
