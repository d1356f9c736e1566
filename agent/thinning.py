"""The rule by which sweeps are thinned in time when the spool fills. Pure functions.

Sealed batches are never touched: they are signed, and the next one carries their hash. What is thinned are
sweeps on their way into the spool. From `thin_percent` of the room on only every 2nd is stored; each time
half of the room that was left is used up, half as many again (every 4th, 8th, 16th): each step lasts as long
as the one before, and the last fifth of the room lasts four times as long as at full rate. Inventory, events
and whatever else is no sweep are never thinned.

A sweep that is left out adds its `interval_s` to that of the next one that is stored. So each stored sweep
says how long it stands for, the ledger integrates over it as over any interval that was meant (its rule: up
to three intervals, never beyond half an hour), and a sweep that was lost is still a gap. STRIDE_LIMIT_S keeps
two stored sweeps within that half-hour even where one poll in between fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from agent.wire import Event, Record, Sweep

MAX_STEPS = 4  # every 16th; beyond it there is hardly room for more than what is never thinned
STRIDE_LIMIT_S = 900
# A level is left this far below where it was entered (or half of what is above it): no event each minute.
HYSTERESIS = 0.05


@dataclass(frozen=True, slots=True)
class Levels:
    """Shares of the room at which something changes: first those that only alarm, then those that thin."""

    alarm: tuple[float, ...] = (0.5, 0.75)
    thin_from: float = 0.8

    @property
    def up(self) -> tuple[float, ...]:
        """Where each level is entered, ascending."""
        thin = (1 - (1 - self.thin_from) / 2**step for step in range(MAX_STEPS))
        return (*self.alarm, *thin)

    def climb(self, level: int, fill: float) -> int:
        """The level at `fill`, coming from `level`; 0 is below all."""
        up = self.up
        while level < len(up) and fill >= up[level]:
            level += 1
        while level and fill < up[level - 1] - min(HYSTERESIS, (1 - up[level - 1]) / 2):
            level -= 1
        return level

    def stride(self, level: int, interval_s: int) -> int:
        """Every how many-th sweep is stored at a level."""
        steps = max(0, level - len(self.alarm))
        while steps and interval_s << steps > STRIDE_LIMIT_S:
            steps -= 1
        return 1 << steps


@dataclass(frozen=True, slots=True)
class Thinned:
    """What was left out since it was last told: sweeps, from the first of them to the last, and records."""

    sweeps: int = 0
    records: int = 0
    from_us: int = 0
    until_us: int = 0

    def __bool__(self) -> bool:
        return bool(self.sweeps or self.records)

    def plus(self, sweep: Sweep) -> Thinned:
        """With one more sweep left out."""
        from_us = min(self.from_us or sweep.started_us, sweep.started_us)
        return replace(
            self, sweeps=self.sweeps + 1, from_us=from_us, until_us=max(self.until_us, sweep.started_us)
        )

    def moved(self, shift_us: int) -> Thinned:
        """The same, by a clock that was set by so much."""
        return (
            replace(self, from_us=self.from_us + shift_us, until_us=self.until_us + shift_us)
            if self
            else self
        )

    def event(self, at_us: int) -> Event:
        """What the stream is told."""
        detail = {"from_us": str(self.from_us), "until_us": str(self.until_us), "sweeps": str(self.sweeps)}
        return Event(at_us, "spool_thinned", detail=detail | {"records": str(self.records)})


def longer(sweep: Sweep, owed_s: int) -> Sweep:
    """The sweep, standing for what was left out before it as well."""
    return msgspec.structs.replace(sweep, interval_s=sweep.interval_s + owed_s) if owed_s else sweep


def thin(records: Sequence[Record], keep: int) -> tuple[list[Record], list[Sweep]]:
    """The records with at most `keep` sweeps, and those that went; the last sweep always stays.

    One after the other goes the sweep that leaves the smallest hole: what stays is spread evenly over time.
    """
    sweeps = [r for r in records if isinstance(r, Sweep)]
    gone: list[Sweep] = []
    while len(sweeps) > max(1, keep):
        spans_s = [a.interval_s + b.interval_s for a, b in pairwise(sweeps)]
        at = spans_s.index(min(spans_s))
        gone.append(sweeps[at])
        sweeps[at : at + 2] = [longer(sweeps[at + 1], sweeps[at].interval_s)]
    by_start = {sweep.started_us: sweep for sweep in sweeps}
    told = (by_start.get(r.started_us) if isinstance(r, Sweep) else r for r in records)
    return [r for r in told if r is not None], gone
