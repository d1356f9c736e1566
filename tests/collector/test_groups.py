"""Groups of devices: whatever the grouping and the time, they add up, quantity by quantity."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.civil import Resolution
from collector.energy_read import Membership, Span, by_device, by_time, group_profiles, site_profile, summed
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import HALF_HOUR_US
from tests.collector.energy_farm import Farm
from tests.collector.support import ORG, SITE, T0

# More than a chunk of devices, so that a group lies in two.
DEVICES = 70
H = 3600
HALF_HOURS = 5 * 48


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteLedger]:
    """Five days: loads that change, devices that come late, gaps within a day and of two, open ones."""
    farm = Farm(tmp_path_factory.mktemp("groups"))
    draw = np.random.default_rng(1)

    def powers(present: float) -> list[int | None]:
        return [int(draw.integers(500, 4000)) if draw.random() < present else None for _ in range(DEVICES)]

    first = [power if n != 3 else None for n, power in enumerate(powers(0.9))]
    farm.run(0, 10 * H, first, every_s=1800)
    farm.run(14 * H, 20 * H, powers(0.8), every_s=1800)
    farm.run(68 * H, 90 * H, powers(0.9), every_s=1800)
    with farm.store.read() as connection:
        yield SiteLedger(connection, ORG, SITE)


def span(start: int, end: int, horizon: int) -> Span:
    return Span(
        "Asia/Tehran",
        T0 + start * HALF_HOUR_US,
        T0 + end * HALF_HOUR_US,
        T0 + horizon * HALF_HOUR_US,
        over=False,
    )


times = st.tuples(st.integers(0, HALF_HOURS - 1), st.integers(1, HALF_HOURS)).filter(lambda t: t[0] < t[1])


@settings(max_examples=40, deadline=None)
@given(time=times, seed=st.integers(0, 99), groups=st.integers(1, 5))
def test_groups_are_the_sums_of_their_devices(
    ledger: SiteLedger, time: tuple[int, int], seed: int, groups: int
) -> None:
    start_us, end_us = (T0 + n * HALF_HOUR_US for n in time)
    size = ledger.standing.size
    group = np.random.default_rng(seed).integers(-1, groups, size)
    found = ledger.group_profiles(group, groups, start_us, end_us)
    devices = [ledger.profile(place, start_us, end_us) for place in range(size)]
    for g in range(groups):
        members = [devices[place] for place in np.flatnonzero(group == g)]
        if members:
            assert np.array_equal(found[g].columns, summed(members).columns)
        else:
            assert not found[g].columns.any()


@settings(max_examples=40, deadline=None)
@given(
    time=times,
    seed=st.integers(0, 99),
    resolution=st.sampled_from(list(Resolution)),
    cuts=st.sets(st.integers(1, HALF_HOURS - 1), max_size=3),
)
def test_members_that_change_add_up_to_the_site_with_open_gaps(
    ledger: SiteLedger, time: tuple[int, int], seed: int, resolution: Resolution, cuts: set[int]
) -> None:
    start, end = time
    of = span(start, end, end)
    draw = np.random.default_rng(seed)
    edges = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    members = [
        Membership(T0 + a * HALF_HOUR_US, T0 + b * HALF_HOUR_US, draw.integers(0, 3, ledger.standing.size))
        for a, b in pairwise(edges)
    ]
    whole = site_profile(ledger, of)
    assert np.array_equal(summed(group_profiles(ledger, of, members, 3)).columns, whole.columns)
    table = by_time(whole, of, resolution)
    names = [str(n) for n in range(ledger.standing.size)]
    if resolution not in (Resolution.HALF_HOUR, Resolution.HOUR):
        devices = by_device(ledger, of, resolution, names, whole)
        for row in table.rows:
            mine = [one for one in devices.rows if one.start_us == row.start_us]
            for name in ("energy_wh", "low_wh", "high_wh", "covered_us", "gap_us"):
                assert getattr(row, name) == sum(getattr(one, name) for one in mine), name
    best, low, high = whole.truth()
    for n in range(best.size):
        energy = whole.energy(n)
        assert best[n] == energy.energy_wh
        assert low[n] == max(0, energy.low_wh - energy.unsure_below_wh)
        assert high[n] == energy.high_wh + energy.unsure_above_wh
