"""Sweeps keep their grid, polls are spread over each, full polls over their period; each at a steady pace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent import sweep
from agent.readings import Reading
from agent.schedule import Grid, is_due, phases
from agent.sweep import FULL_EVERY_US, Target

SITE = [f"10.{n // 250}.7.{n % 250 + 1}" for n in range(2_000)]


@given(st.lists(st.floats(0, 500), max_size=30), st.integers(1, 60))
def test_every_sweep_starts_on_the_grid_and_none_is_lost_from_the_count(
    durations_s: list[float], interval_s: int
) -> None:
    grid, now_s, missed = Grid(interval_s, 1_000.0), 1_000.0, 0
    for sweeps, took_s in enumerate(durations_s, 1):
        now_s = max(now_s, grid.start_s) + took_s
        missed += grid.ended(now_s)
        assert (grid.start_s - 1_000.0) % interval_s == 0
        assert now_s < grid.start_s <= now_s + interval_s
        assert grid.number == sweeps + missed


def test_a_site_is_spread_evenly_over_a_sweep_and_over_the_period_of_full_polls() -> None:
    for which in (0, 1):
        tenths = Counter(int(phases(address)[which] * 10) for address in SITE)
        assert len(tenths) == 10 and all(120 < count < 290 for count in tenths.values())
    cells = Counter((int(a * 4), int(b * 4)) for a, b in map(phases, SITE))
    assert len(cells) == 16 and max(cells.values()) < 200  # neither follows from the other


def test_a_device_stands_at_the_same_place_after_a_restart() -> None:
    assert phases("10.0.0.1") == phases("10.0.0.1") == Target("10.0.0.1").phases != phases("10.0.0.2")


@given(st.floats(0, 0.999), st.integers(0, 10**15), st.integers(1, 120))
def test_a_full_poll_is_due_once_a_period_and_never_later(phase: float, start_us: int, step_s: int) -> None:
    last_us, gaps = start_us, []
    for now_us in range(start_us, start_us + 3 * FULL_EVERY_US, step_s * 1_000_000):
        if is_due(last_us, now_us, FULL_EVERY_US, phase):
            gaps.append(now_us - last_us)
            last_us = now_us
    assert 2 <= len(gaps) <= 3
    assert all(gap <= FULL_EVERY_US + step_s * 1_000_000 for gap in gaps)
    assert is_due(None, start_us, FULL_EVERY_US, phase)


def test_the_full_polls_of_a_site_that_started_together_do_not_stay_together() -> None:
    started_us = 1_790_000_000_000_000
    due = Counter(
        minute
        for minute in range(1, 31)
        for address in SITE
        if is_due(
            started_us + (minute - 1) * 60_000_000,
            started_us + minute * 60_000_000,
            FULL_EVERY_US,
            phases(address)[1],
        )
    )
    assert sum(due.values()) == len(SITE)  # each once in the half-hour
    assert max(due.values()) < 3 * len(SITE) / 30


def test_polls_begin_over_the_spread_in_the_order_of_their_places() -> None:
    began: dict[str, float] = {}

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        began[address] = time.monotonic()
        return Reading(7, "antminer", uptime_s=1)

    targets = [Target(address) for address in SITE[:60]]
    spread_s = 0.5
    start_s = time.monotonic()
    outcomes = asyncio.run(
        sweep.sweep(targets, poll, lambda: 7, concurrency=8, deadline_s=5, spread_s=spread_s)
    )
    assert {outcome.address for outcome in outcomes} == {target.address for target in targets}
    early = [began[t.address] - (start_s + t.phases[0] * spread_s) for t in targets]
    assert min(early) > -2 * sweep.EARLY_S  # none before its moment: they cannot come all at once


def test_without_a_spread_no_poll_waits() -> None:
    waited = []

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        waited.append(address)
        return Reading(7, "antminer", uptime_s=1)

    targets = [Target(address) for address in SITE[:20]]
    asyncio.run(sweep.sweep(targets, poll, lambda: 7, concurrency=1, deadline_s=5))
    assert waited == SITE[:20]
