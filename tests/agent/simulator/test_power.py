"""The curve and its closed-form integral agree."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.simulator.power import DAY_S, MAX_SWING, curve

EPOCH_US = 1_790_000_000_000_000
MONTH_US = 31 * DAY_S * 1_000_000

seeds = st.integers(0, 10_000)
offsets_us = st.integers(-MONTH_US, 2 * MONTH_US)


def trapezoid_j(samples: list[tuple[int, float]]) -> float:
    return sum((b[1] + a[1]) / 2 * (b[0] - a[0]) / 1e6 for a, b in pairwise(samples))


@given(seeds, offsets_us, st.integers(1_000_000, 3 * DAY_S * 1_000_000))
def test_the_integral_is_that_of_fine_quadrature(seed: int, offset_us: int, length_us: int) -> None:
    device = curve(random.Random(seed), 3250, EPOCH_US)
    start_us = EPOCH_US + offset_us
    steps = 2000
    instants = [start_us + length_us * n // steps for n in range(steps + 1)]
    fine = trapezoid_j([(t_us, device.power_w(t_us)) for t_us in instants])
    assert device.energy_j(start_us, start_us + length_us) == pytest.approx(fine, rel=1e-6)


@given(seeds, offsets_us, st.lists(st.integers(0, MONTH_US), min_size=1, max_size=5))
def test_the_integral_adds_up_over_any_cuts(seed: int, offset_us: int, cuts: list[int]) -> None:
    device = curve(random.Random(seed), 3250, EPOCH_US)
    points = [EPOCH_US + offset_us + cut for cut in sorted([0, *cuts, MONTH_US])]
    parts = sum(device.energy_j(a, b) for a, b in pairwise(points))
    assert parts == pytest.approx(device.energy_j(points[0], points[-1]), rel=1e-12, abs=1e-3)


@given(seeds, offsets_us)
def test_the_curve_stays_near_the_nameplate(seed: int, offset_us: int) -> None:
    power_w = curve(random.Random(seed), 3250, EPOCH_US).power_w(EPOCH_US + offset_us)
    assert abs(power_w / 3250 - 1) <= MAX_SWING
