"""The ledger against curves whose energy is known exactly: what is exact is exact, what is bounded is inside.

A curve is power over time as a line through corners, in whole mW; its integral is a fraction without error.
A device is polled at irregular times, misses polls, and is switched off and on again.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.wire import Record
from collector.ledger.profile import Energy, SiteLedger
from collector.ledger.quantities import HALF_HOUR_US
from collector.store import Store
from tests.collector.support import ORG, SITE, T0, Agent, S, failed, ledger_of, one

pytestmark = pytest.mark.usefixtures("both_stores")

INTERVAL_S = 60
HOURS = 6
END_S = HOURS * 3600
MW_S_PER_WH = 3_600_000  # 1 Wh in mW times seconds


@dataclass(frozen=True)
class Curve:
    """Power through corners (second, mW); between two corners at the same second it jumps."""

    corners: tuple[tuple[int, int], ...]

    def at(self, second: int) -> int:
        """mW at a second: after a jump there; only asked for where it is whole."""
        n = bisect_right(self.corners, second, key=lambda corner: corner[0])
        if n == len(self.corners):
            return self.corners[-1][1]
        (a, p), (b, q) = self.corners[n - 1], self.corners[n]
        value = p + Fraction((q - p) * (second - a), b - a)
        assert value.denominator == 1
        return int(value)

    def energy_wh(self, start_s: int, end_s: int) -> Fraction:
        """The integral over a time, exact."""
        total = Fraction(0)
        for (a, p), (b, q) in zip(self.corners, self.corners[1:], strict=False):
            low, high = max(a, start_s), min(b, end_s)
            if low < high:
                slope = Fraction(q - p, b - a)
                total += (2 * p + slope * (low - a) + slope * (high - a)) / 2 * (high - low)
        return total / MW_S_PER_WH


def ramps(times_s: Sequence[int], seed: int) -> Curve:
    """A line with corners at these times only, changing by less than a step would."""
    draw, power_mw, corners = random.Random(seed), 3_000_000, []
    for at in times_s:
        corners.append((at, power_mw))
        power_mw += draw.randrange(-200_000, 200_000)
        power_mw = min(max(power_mw, 2_000_000), 4_000_000)
    return Curve(tuple(corners))


def square(seed: int) -> Curve:
    """On and almost off again, at any second."""
    draw, at, on, corners = random.Random(seed), 0, True, []
    while at < END_S:
        power_mw = 3_300_000 if on else 12_000
        until = min(at + draw.randrange(200, 5000), END_S)
        corners += [(at, power_mw), (until, power_mw)]
        at, on = until, not on
    return Curve(tuple(corners))


def walk(seed: int, step_s: int = 10) -> Curve:
    """A random walk, finer than anyone polls."""
    draw, power_mw, corners = random.Random(seed), 3_000_000, []
    for at in range(0, END_S + 1, step_s):
        corners.append((at, power_mw))
        power_mw = min(max(power_mw + draw.randrange(-20, 21) * step_s * 100, 2_600_000), 3_400_000)
    return Curve(tuple(corners))


@st.composite
def polls_s(draw: st.DrawFn) -> list[int]:
    """When the device was polled: about once an interval, never later than the gap rule bridges."""
    times = [0]
    while times[-1] < END_S:
        times.append(times[-1] + draw(st.integers(20, 3 * INTERVAL_S)))
    return [*(t for t in times if t < END_S), END_S]


def reading(curve: Curve, second: int, **more: object) -> Record:
    # Just before a jump that falls on the very second both values are true; `at` tells the one after it.
    return one(second, curve.at(second) / 1000, interval_s=INTERVAL_S, **more)


class Ledger:
    """The records folded, and what the ledger says of the one device."""

    def __init__(self, folder: Path, records: Sequence[Record]) -> None:
        end_us = T0 + END_S * S
        self.store: Store = ledger_of(folder, [Agent().batch(*records, created_us=end_us)], end_us)

    def energy(self, start_s: int = 0, end_s: int = END_S) -> Energy:
        with self.store.read() as connection:
            return SiteLedger(connection, ORG, SITE).totals(T0 + start_s * S, T0 + end_s * S).energy(0)


HALF_HOURS = [(at, at + 1800) for at in range(0, END_S, 1800)]


def sure(energy: Energy) -> tuple[int, int]:
    """What the truth must lie between if the readings are right; half-hours hand on less than 1 Wh."""
    return energy.low_wh - 1, energy.high_wh + 1


@settings(max_examples=25)
@given(times_s=polls_s(), seed=st.integers(0, 10**6))
def test_a_line_with_its_corners_at_the_polls_is_exact_in_every_half_hour(
    tmp_path_factory: pytest.TempPathFactory, times_s: list[int], seed: int
) -> None:
    curve = ramps(times_s, seed)
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), [reading(curve, t) for t in times_s])
    for start_s, end_s in [*HALF_HOURS, (0, END_S)]:
        found, truth = ledger.energy(start_s, end_s), curve.energy_wh(start_s, end_s)
        assert abs(found.energy_wh - truth) < 1
        # Nothing is unseen, so nothing is unsure but what origin, rounding and sampling make so.
        assert (found.below_wh, found.above_wh, found.gap_wh) == (0, 0, 0)


@settings(max_examples=25)
@given(times_s=polls_s(), seed=st.integers(0, 10**6))
def test_switches_between_polls_lie_inside_bounds_no_wider_than_what_nobody_saw(
    tmp_path_factory: pytest.TempPathFactory, times_s: list[int], seed: int
) -> None:
    curve = square(seed)
    times_s = [t for t in times_s if t < END_S or t == END_S]
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), [reading(curve, t) for t in times_s])
    for start_s, end_s in [*HALF_HOURS, (0, END_S)]:
        found, truth = ledger.energy(start_s, end_s), curve.energy_wh(start_s, end_s)
        low, high = sure(found)
        assert low <= truth <= high
    # Two polls around each switch leave as much open as the device can draw between them, and no more.
    unseen_mw_s = sum((b - a) * abs(curve.at(b) - curve.at(a)) for a, b in itertools.pairwise(times_s))
    whole = ledger.energy()
    switches = sum(curve.at(a) != curve.at(b) for a, b in itertools.pairwise(times_s))
    # A Wh outwards for each half-hour that a switch touches, two at most.
    assert whole.high_wh - whole.low_wh <= unseen_mw_s / MW_S_PER_WH + 4 * switches


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), interval_s=st.sampled_from([20, 30, 60]))
def test_a_random_walk_finer_than_the_polls_lies_inside_what_origin_and_sampling_leave_open(
    tmp_path_factory: pytest.TempPathFactory, seed: int, interval_s: int
) -> None:
    curve = walk(seed)
    ledger = Ledger(
        tmp_path_factory.mktemp("ledger"), [reading(curve, t) for t in range(0, END_S + 1, interval_s)]
    )
    for start_s, end_s in [*HALF_HOURS, (0, END_S)]:
        found, truth = ledger.energy(start_s, end_s), curve.energy_wh(start_s, end_s)
        assert found.low_wh - found.unsure_below_wh <= truth <= found.high_wh + found.unsure_above_wh


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    times_s=polls_s(),
    cuts=st.lists(st.tuples(st.integers(600, END_S - 7200), st.integers(200, 7000)), min_size=1, max_size=3),
)
def test_a_gap_holds_the_truth_between_nothing_and_what_the_device_can_draw(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    times_s: list[int],
    cuts: list[tuple[int, int]],
) -> None:
    curve = ramps(times_s, seed)
    silent = {t for t in times_s for start, length in cuts if start <= t < start + length}
    kept = [t for t in times_s if t not in silent or t in (0, END_S)]
    # The rule's premise: unseen, a device draws at most a tenth more than it was ever seen at.
    assume(max(map(curve.at, times_s)) * 100 <= max(map(curve.at, kept)) * 110)
    records = [failed(t) if t in silent and t not in (0, END_S) else reading(curve, t) for t in times_s]
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), records)
    gaps = [
        (a, b) for a, b in itertools.pairwise(kept) if b - a > 3 * INTERVAL_S or (b - a) * S > HALF_HOUR_US
    ]
    for start_s, end_s in [*HALF_HOURS, (0, END_S)]:
        found, truth = ledger.energy(start_s, end_s), curve.energy_wh(start_s, end_s)
        low, high = sure(found)
        # A bridged hole of some polls is a straight line that the curve may leave: that is sampling.
        assert low - found.unsure_below_wh <= truth <= high + found.unsure_above_wh
        assert sum(found.gap_us.values()) == S * sum(max(0, min(b, end_s) - max(a, start_s)) for a, b in gaps)
    seen_mw = max(curve.at(t) for t in kept)
    open_s = sum(b - a for a, b in gaps)
    assert ledger.energy().gap_wh <= seen_mw * 1.1 * open_s / MW_S_PER_WH + 1


@settings(max_examples=25)
@given(start=st.integers(20, 200), off=st.integers(5, 200), boot=st.integers(0, 50))
def test_a_device_that_was_off_is_bounded_by_when_it_was_last_and_first_alive(
    tmp_path_factory: pytest.TempPathFactory, start: int, off: int, boot: int
) -> None:
    """On until the first poll that it missed at most, and since its own boot: the gap holds no more."""
    up_at = start * INTERVAL_S + off * INTERVAL_S + boot
    back = -(-up_at // INTERVAL_S) * INTERVAL_S + INTERVAL_S
    records: list[Record] = []
    power_w, end_s = 3000, back + 10 * INTERVAL_S
    for t in range(0, end_s + 1, INTERVAL_S):
        if t <= start * INTERVAL_S:
            records.append(one(t, power_w, interval_s=INTERVAL_S, uptime_s=100_000 + t))
        elif t < back:
            records.append(failed(t))
        else:
            records.append(one(t, power_w, interval_s=INTERVAL_S, uptime_s=t - up_at))
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), records)
    found = ledger.energy(0, -(-end_s // 1800) * 1800)
    truth = Fraction(
        power_w * (end_s - (up_at - start * INTERVAL_S)), 3600
    )  # it went down right after a poll
    assert found.low_wh - 1 <= truth <= found.high_wh + 1
    on_s = INTERVAL_S + back - up_at  # to the first missed poll, and from the boot
    assert found.gap_wh <= 1.1 * power_w * on_s / 3600 + 1
    assert found.gap_us["device_off"] == (up_at - (start + 1) * INTERVAL_S) * S


@settings(max_examples=15)
@given(times_s=polls_s(), seed=st.integers(0, 10**6), cuts=st.sets(st.integers(1, 2 * HOURS - 1), max_size=5))
def test_any_partition_sums_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory, times_s: list[int], seed: int, cuts: set[int]
) -> None:
    curve = square(seed)
    records = [failed(t) if t % 7 == 0 and t else reading(curve, t) for t in times_s]
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), records)
    edges = [0, *(1800 * cut for cut in sorted(cuts)), END_S]
    parts = [ledger.energy(a, b) for a, b in itertools.pairwise(edges)]
    whole = ledger.energy()
    for name in ("energy_wh", "low_wh", "high_wh", "gap_wh", "below_wh", "above_wh", "samples"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name), name
    for name in ("by_origin_wh", "covered_us", "gap_us"):
        keys = {key for part in parts for key in getattr(part, name)}
        assert {k: sum(getattr(part, name).get(k, 0) for part in parts) for k in keys} == getattr(whole, name)
