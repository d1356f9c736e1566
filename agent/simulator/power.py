"""The power of one device as a curve with a closed-form integral: the ground truth of every energy figure.

A curve is nameplate x (1 + a daily sinusoid + a slower one). The swings are a few per cent and their periods
long against a poll, so a trapezoid over 60 s samples is exact to some millionths, and what a test finds wrong
is the integrator's fault and not the sampling's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import cos, sin, tau

DAY_S = 86_400
_DAILY = tau / DAY_S
# A machine that sleeps feeds its control board and the supply's own needs; WhatsMiners show some 30 W.
STANDBY_W = 30
# The two swings together stay below this share of the nameplate, and so below a device's rated power.
MAX_SWING = 0.045


@dataclass(frozen=True, slots=True)
class Curve:
    """Power while hashing; `power_w` is what is drawn at an instant, `energy_j` its exact integral."""

    nameplate_w: float
    epoch_us: int
    daily: float
    daily_phase: float
    slow: float
    slow_phase: float
    slow_period_s: float

    def power_w(self, t_us: int) -> float:
        """The draw at an instant."""
        t_s = (t_us - self.epoch_us) / 1e6
        daily = self.daily * sin(_DAILY * t_s + self.daily_phase)
        slow = self.slow * sin(tau / self.slow_period_s * t_s + self.slow_phase)
        return self.nameplate_w * (1 + daily + slow)

    def energy_j(self, start_us: int, end_us: int) -> float:
        """The integral of `power_w` over [start, end), in closed form."""
        a_s, b_s = (start_us - self.epoch_us) / 1e6, (end_us - self.epoch_us) / 1e6
        daily = _area(self.daily, _DAILY, self.daily_phase, a_s, b_s)
        slow = _area(self.slow, tau / self.slow_period_s, self.slow_phase, a_s, b_s)
        return self.nameplate_w * (b_s - a_s + daily + slow)


def _area(amplitude: float, omega: float, phase: float, a_s: float, b_s: float) -> float:
    return amplitude / omega * (cos(omega * a_s + phase) - cos(omega * b_s + phase))


def curve(rng: random.Random, nameplate_w: float, epoch_us: int) -> Curve:
    """A curve of its own for each device; `epoch_us` near the instants asked for keeps the phases exact."""
    return Curve(
        nameplate_w=nameplate_w,
        epoch_us=epoch_us,
        daily=rng.uniform(0.015, 0.030),
        daily_phase=rng.uniform(0, tau),
        slow=rng.uniform(0.005, 0.015),
        slow_phase=rng.uniform(0, tau),
        slow_period_s=rng.uniform(3, 6) * DAY_S,
    )
