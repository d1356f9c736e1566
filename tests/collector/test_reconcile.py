"""A meter against its miners: agreement, overhead and impossibility by bounds; factors and their drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ledger import rules
from collector.ledger.profile import Totals
from collector.ledger.quantities import (
    COVERED_US,
    GAP_US,
    GAP_WH,
    HALF_HOUR_US,
    ORIGIN_NAMES,
    QUANTITIES,
    WH,
    Ints,
)
from collector.ledger.reconcile import MILLION, Reconciled, State, compare, reconcile, with_drift
from collector.ledger.registers import MeterProfile

DRIFT = rules.at(0).drift
PSU = ORIGIN_NAMES.index("psu_measured")
N = 48


def ints(*numbers: int) -> Ints:
    return np.array(numbers, np.int64)


def meter(wh: Ints, below: int = 10, above: int = 10, gap_us: Ints | None = None) -> MeterProfile:
    starts = np.arange(len(wh)) * HALF_HOUR_US
    gap = np.zeros_like(wh) if gap_us is None else gap_us
    return MeterProfile(
        starts, starts + HALF_HOUR_US, wh, np.zeros_like(wh), wh - below, wh + above, HALF_HOUR_US - gap, gap
    )


def miners(wh: Ints, gap_us: Ints | None = None, gap_wh: Ints | None = None, per_mille: int = 30) -> Totals:
    """So many Wh, that may be wrong by so much either way, of one device a half-hour."""
    columns = np.zeros((QUANTITIES, len(wh)), np.int64)
    columns[WH + PSU] = wh
    columns[COVERED_US + PSU] = HALF_HOUR_US - (0 if gap_us is None else gap_us)
    if gap_us is not None:
        columns[GAP_US] = gap_us
    if gap_wh is not None:
        columns[GAP_WH] = gap_wh
    return Totals(columns, wh * per_mille, wh * per_mille)


@pytest.mark.parametrize(
    ("metered", "state"),
    [
        (1000, State.AGREE),
        (1040, State.AGREE),
        (1060, State.METER_ABOVE),
        (940, State.MINERS_ABOVE),
        (960, State.AGREE),
    ],
)
def test_bounds_that_meet_agree_and_others_say_which_is_above(metered: int, state: State) -> None:
    found = compare(meter(ints(metered)), miners(ints(1000)), 99)  # 1000 Wh +- 30 and rounding
    assert found.states().tolist() == [state]


def test_what_nobody_read_is_not_compared() -> None:
    wh = np.full(4, 1000)
    half = HALF_HOUR_US // 2
    of_meter = meter(wh, gap_us=ints(0, half, 0, 0))
    of_miners = miners(wh, gap_us=ints(0, 0, HALF_HOUR_US, half), gap_wh=ints(0, 0, 2000, 1000))
    found = compare(of_meter, of_miners, 99)
    assert found.states().tolist() == [State.AGREE, State.UNSEEN, State.UNSEEN, State.AGREE]
    assert found.well_seen.tolist() == [True, False, False, False]  # the last is half a gap
    (cell,) = reconcile(found, ints(0, 4 * HALF_HOUR_US))
    assert (cell.metered_wh, cell.miners_wh) == (4000, 4000)
    assert (cell.compared_us, cell.compared_metered_wh) == (2 * HALF_HOUR_US, 2000)
    assert (cell.factor_us, cell.factor_ppm) == (HALF_HOUR_US, MILLION)


def test_a_gap_of_the_miners_is_not_taken_for_overhead() -> None:
    """Half of them unseen and the meter at twice their sum: the bound of the gap holds it."""
    gap_us = ints(HALF_HOUR_US // 2)
    found = compare(meter(ints(2000)), miners(ints(1000), gap_us, ints(1100)), 99)
    assert found.states().tolist() == [State.AGREE]


@given(
    factor=st.integers(1_000_000, 1_500_000), load=st.lists(st.integers(1000, 10**6), min_size=N, max_size=N)
)
def test_the_factor_of_any_load_is_the_factor_it_was_made_with(factor: int, load: list[int]) -> None:
    wh = np.array(load)
    found = compare(meter(wh * factor // MILLION), miners(wh), 99)
    (cell,) = reconcile(found, ints(0, N * HALF_HOUR_US))
    assert cell.factor_ppm is not None
    assert abs(cell.factor_ppm - factor) <= MILLION * N / int(wh.sum()) + 1
    assert cell.difference_wh == int((wh * factor // MILLION - wh).sum())


@given(cuts=st.sets(st.integers(1, N - 1)), load=st.lists(st.integers(0, 3000), min_size=N, max_size=N))
def test_cells_add_up_to_the_whole(cuts: set[int], load: list[int]) -> None:
    wh = np.array(load)
    found = compare(meter(wh + 50), miners(wh), 99)
    edges = np.array([0, *sorted(cuts), N]) * HALF_HOUR_US
    cells, (whole,) = list(reconcile(found, edges)), list(reconcile(found, ints(0, N * HALF_HOUR_US)))
    for name in ("metered_wh", "miners_wh", "compared_us", "compared_metered_wh", "compared_miners_wh"):
        assert sum(getattr(cell, name) for cell in cells) == getattr(whole, name)


def days(*factors: int | None) -> list[Reconciled]:
    return [
        Reconciled(n, n + 1, 0, 0, 0, 0, 0, State.AGREE, 0 if factor is None else 24 * HALF_HOUR_US, factor)
        for n, factor in enumerate(factors)
    ]


def test_a_day_that_leaves_the_usual_factor_is_an_alarm_and_a_slow_change_is_none() -> None:
    sudden = list(with_drift(days(*[1_050_000] * 10, 1_090_000, 1_050_000), DRIFT))
    assert [day.drift for day in sudden] == [False] * 10 + [True, False]
    assert sudden[10].usual_ppm == 1_050_000
    slow = list(with_drift(days(*(1_050_000 + 2000 * n for n in range(60))), DRIFT))
    assert not any(day.drift for day in slow)  # a fifth of a percent a day: the season


def test_too_few_days_say_nothing_and_days_without_a_factor_do_not_count() -> None:
    few = list(with_drift(days(1_050_000, None, 1_050_000, None, 1_050_000, 1_050_000, 2_000_000), DRIFT))
    assert [day.drift for day in few] == [False] * 7
    assert all(day.usual_ppm is None for day in few)
    thin = days(*[1_050_000] * 5, 2_000_000)
    thin[5] = Reconciled(5, 6, 0, 0, 0, 0, 0, State.AGREE, 2 * HALF_HOUR_US, 2_000_000)
    assert not list(with_drift(thin, DRIFT))[5].drift
