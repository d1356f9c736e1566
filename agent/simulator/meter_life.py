"""What a simulated meter counts and what it shows of it: exact, a seeded power curve and a story of faults.

The curve is linear between knots, energy is its integral, a fraction of Wh. `truth_wh` is what was really
drawn; `shown` is what the registers say, faults included. Both are pure functions of the instant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

US_PER_HOUR = 3_600_000_000
# Knots do not fall on half-hours: what is integrated between them is not what the ledger's grid shows.
KNOT_US = 1_200 * 1_000_000

FaultKind = Literal["reversed", "replaced", "frozen", "reset", "lagging", "silent"]


@dataclass(frozen=True, slots=True)
class MeterFault:
    """Something that happens to a meter from `start_us` to `end_us` (None: for good).

    reversed: the current transformer is mounted the wrong way, import stands still and export counts.
    replaced: another meter from here on, with serial `serial` and a register that begins at `start_wh`.
    frozen: the registers stand still, and catch up at the end. reset: they begin at 0 again.
    lagging: they show what was `lag_us` ago. silent: no answer.
    """

    kind: FaultKind
    start_us: int
    end_us: int | None = None
    serial: str = ""
    start_wh: int = 0
    lag_us: int = 0

    def holds(self, at_us: int) -> bool:
        """True while it lasts."""
        return self.start_us <= at_us and (self.end_us is None or at_us < self.end_us)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a meter's registers hold at an instant, before its map's resolution."""

    import_wh: Fraction
    export_wh: Fraction
    power_w: Fraction
    serial: str


@dataclass(slots=True)
class Curve:
    """Power over time: `base_w` and at each knot up to `swing_w` more, by the seed."""

    seed: int
    start_us: int
    base_w: int = 100_000
    swing_w: int = 50_000
    _knots: dict[int, int] = field(default_factory=dict, repr=False)
    _sums: list[int] = field(default_factory=lambda: [0], repr=False)  # twice the mean powers up to each knot

    def power_w(self, at_us: int) -> Fraction:
        """The power at an instant; 0 before the start."""
        if at_us < self.start_us:
            return Fraction(0)
        knot, rest_us = divmod(at_us - self.start_us, KNOT_US)
        left, right = self._knot_w(knot), self._knot_w(knot + 1)
        return left + Fraction((right - left) * rest_us, KNOT_US)

    def energy_wh(self, at_us: int) -> Fraction:
        """What was drawn from the start up to an instant."""
        if at_us <= self.start_us:
            return Fraction(0)
        knot, rest_us = divmod(at_us - self.start_us, KNOT_US)
        while len(self._sums) <= knot:
            n = len(self._sums)
            self._sums.append(self._sums[-1] + self._knot_w(n - 1) + self._knot_w(n))
        left, right = self._knot_w(knot), self._knot_w(knot + 1)
        # Twice the area, times a knot's length once more: whole numbers, divided once.
        area = self._sums[knot] * KNOT_US**2 + (2 * left * KNOT_US + (right - left) * rest_us) * rest_us
        return Fraction(area, 2 * KNOT_US * US_PER_HOUR)

    def _knot_w(self, number: int) -> int:
        if number not in self._knots:
            more_w = random.Random(f"{self.seed}/{number}").randrange(self.swing_w + 1)
            self._knots[number] = self.base_w + more_w
        return self._knots[number]


@dataclass(frozen=True, slots=True)
class MeterLife:
    """One meter's place in the installation; its energy goes on whatever stands there."""

    name: str
    curve: Curve
    serial: str = "1001"
    start_wh: int = 0  # what its register held at the curve's start
    modulus_wh: int | None = None
    faults: tuple[MeterFault, ...] = ()

    def truth_wh(self, start_us: int, end_us: int) -> Fraction:
        """What was really drawn between two instants."""
        return self.curve.energy_wh(end_us) - self.curve.energy_wh(start_us)

    def shown(self, at_us: int) -> Shown | None:
        """What the registers hold at an instant; None where the meter does not answer."""
        now = [fault for fault in self.faults if fault.holds(at_us)]
        if any(fault.kind == "silent" for fault in now):
            return None
        at_us -= sum(fault.lag_us for fault in now if fault.kind == "lagging")
        at_us = min([at_us, *(fault.start_us for fault in now if fault.kind == "frozen")])
        began_us, serial, start_wh = self.curve.start_us, self.serial, self.start_wh
        for fault in sorted(self.faults, key=lambda f: f.start_us):
            if fault.kind in ("replaced", "reset") and fault.start_us <= at_us:
                began_us, start_wh = fault.start_us, fault.start_wh
                serial = fault.serial or serial
        export_wh, power_w = Fraction(0), self.curve.power_w(at_us)
        for fault in self.faults:
            if fault.kind == "reversed":
                left_us = max(began_us, fault.start_us)
                right_us = at_us if fault.end_us is None else min(at_us, fault.end_us)
                export_wh += self.truth_wh(left_us, right_us) if left_us < right_us else 0
                power_w = -power_w if fault.holds(at_us) else power_w
        import_wh = start_wh + self.truth_wh(began_us, max(began_us, at_us)) - export_wh
        if self.modulus_wh is not None:
            import_wh, export_wh = import_wh % self.modulus_wh, export_wh % self.modulus_wh
        return Shown(import_wh, export_wh, power_w, serial)
