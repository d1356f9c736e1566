"""Allotment: exact to the Wh, never negative, the same whatever the order, more to who used more."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ledger.allot import Allotted, OverheadRule, allot, largest_remainder
from collector.ledger.quantities import HALF_HOUR_US, Ints

RULES: tuple[OverheadRule, ...] = ("energy", "nameplate", "none")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    devices, half_hours = draw(st.integers(0, 8)), draw(st.integers(1, 5))
    wh = st.one_of(st.integers(0, 3), st.integers(0, 4000))
    energy = draw(
        st.lists(st.lists(wh, min_size=half_hours, max_size=half_hours), min_size=devices, max_size=devices)
    )
    metered = draw(st.lists(st.integers(0, 40_000), min_size=half_hours, max_size=half_hours))
    rated = draw(st.lists(st.sampled_from([0, 1_500_000, 3_250_000]), min_size=devices, max_size=devices))
    first = draw(st.integers(900_000, 1_000_000))
    rank = draw(st.permutations(range(devices)))
    starts = (first + np.arange(half_hours)) * HALF_HOUR_US
    return (
        np.array(metered, np.int64), np.array(energy, np.int64).reshape(devices, half_hours),
        np.array(rated, np.int64), starts, np.array(rank, np.int64),
    )  # fmt: skip


def whole(found: Allotted) -> Ints:
    total: Ints = (
        found.by_energy.sum(axis=0) + found.overhead.sum(axis=0) + found.site_overhead + found.unallotted
    )
    return total


@given(case=cases(), rule=st.sampled_from(RULES))
def test_every_half_hour_adds_up_to_the_meters_and_nothing_is_negative(
    case: tuple[Ints, Ints, Ints, Ints, Ints], rule: OverheadRule
) -> None:
    found = allot(*case, rule)
    assert whole(found).tolist() == case[0].tolist()
    assert all((part >= 0).all() for part in found)


@given(case=cases(), rule=st.sampled_from(RULES), seed=st.randoms())
def test_the_order_of_devices_and_the_cut_in_time_change_nothing(
    case: tuple[Ints, Ints, Ints, Ints, Ints], rule: OverheadRule, seed: st.DataObject
) -> None:
    metered, energy, rated, starts, rank = case
    found = allot(*case, rule)
    order = np.random.default_rng(len(rated)).permutation(len(rated))
    mixed = allot(metered, energy[order], rated[order], starts, rank[order], rule)
    assert np.array_equal(found.by_energy[order], mixed.by_energy)
    assert np.array_equal(found.overhead[order], mixed.overhead)
    for n in range(len(metered)):
        one = allot(metered[n : n + 1], energy[:, n : n + 1], rated, starts[n : n + 1], rank, rule)
        assert np.array_equal(found.by_energy[:, n : n + 1], one.by_energy)
        assert np.array_equal(found.overhead[:, n : n + 1], one.overhead)


@given(case=cases())
def test_who_used_more_is_not_allotted_less(case: tuple[Ints, Ints, Ints, Ints, Ints]) -> None:
    _, energy, *_ = case
    found = allot(*case, "energy")
    shares = found.by_energy + found.overhead
    for n in range(energy.shape[1]):
        by_energy = sorted(zip(energy[:, n].tolist(), shares[:, n].tolist(), strict=True))
        for (used, share), (more, larger) in pairwise(by_energy):
            assert share <= larger if used < more else abs(share - larger) <= 2


@given(case=cases(), rule=st.sampled_from(RULES))
def test_what_was_measured_is_theirs_as_far_as_the_meter_goes(
    case: tuple[Ints, Ints, Ints, Ints, Ints], rule: OverheadRule
) -> None:
    metered, energy, *_ = case
    found = allot(*case, rule)
    enough = metered >= energy.sum(axis=0)
    assert np.array_equal(found.by_energy[:, enough], energy[:, enough])
    # Else a share is within 1 Wh of the exact proportion.
    for n in np.flatnonzero(~enough).tolist():
        exact = metered[n] * energy[:, n] / energy[:, n].sum()
        assert (abs(found.by_energy[:, n] - exact) < 1).all()
        assert not found.overhead[:, n].any()


@given(case=cases(), rule=st.sampled_from(RULES))
def test_a_half_hour_without_miners_is_nobodys(
    case: tuple[Ints, Ints, Ints, Ints, Ints], rule: OverheadRule
) -> None:
    found = allot(*case, rule)
    dark = case[1].sum(axis=0) == 0
    assert np.array_equal(found.unallotted, np.where(dark, case[0], 0))
    assert not (found.overhead[:, dark].any() or found.site_overhead[dark].any())


def test_overhead_by_its_rule() -> None:
    metered, energy = np.array([1300]), np.array([[600], [400], [0]])
    rated, rank, start = np.array([1000, 2000, 5000]), np.arange(3), np.array([0])
    expected = {"energy": [180, 120, 0], "nameplate": [100, 200, 0], "none": [0, 0, 0]}
    for rule in RULES:
        found = allot(metered, energy, rated, start, rank, rule)
        assert found.overhead[:, 0].tolist() == expected[rule]
        assert found.site_overhead.tolist() == [300 if rule == "none" else 0]


def test_over_time_equal_devices_are_allotted_the_same() -> None:
    """Three equal devices share 100 Wh a half-hour: the odd Wh goes round."""
    starts = np.arange(1200) * HALF_HOUR_US
    shares = largest_remainder(np.full(1200, 100), np.full((3, 1200), 30), starts, np.arange(3))
    assert shares.sum(axis=1).tolist() == [40_000] * 3


def test_figures_that_cannot_be_are_refused() -> None:
    one = np.array([[1]])
    with pytest.raises(ValueError, match="below 0 Wh"):
        allot(np.array([-1]), one, np.array([1]), np.array([0]), np.array([0]), "energy")
    with pytest.raises(ValueError, match="of this size"):
        largest_remainder(np.array([2**40]), np.array([[2**40]]), np.array([0]), np.array([0]))
