"""Energy against analytic truth, and what must hold for any run of readings."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wire
from agent.wire import Event, Inventory, Record
from collector.journal import Entry
from collector.ledger import rules
from collector.ledger.energy import Integrals, Now, Readings, bound_wh
from collector.ledger.fold import Fold
from collector.ledger.quantities import DAY_US, HALF_HOUR_US, ORIGIN_NAMES, cause_number
from collector.ledger.spans import HALF_MW_US_PER_WH, Silence
from tests.collector.energy_model import HalfHour, Integral
from tests.collector.support import (
    A_TEXT,
    SITE,
    T0,
    A,
    Agent,
    S,
    device_rows,
    failed,
    fold_of,
    half_hours,
    one,
)

RULES = rules.at(T0)
HOUR_S = 3600


def folded(*records: Record) -> list[HalfHour]:
    return device_rows(
        fold_of([Agent().batch(*records, created_us=T0 + 3 * 86_400 * S)], T0 + 3 * 86_400 * S)
    )


def total(half_hours: list[HalfHour], name: str) -> int:
    return sum(getattr(row, name) for row in half_hours)


def standing(fold: Fold, column: Now) -> int:
    """Where the fold stands with the one device."""
    site = fold.sites[SITE]
    return int(site.integrals.now[column, site.places[A]])


def steady(power_w: float, start_s: int, end_s: int, step_s: int = 30, **more: object) -> list[Record]:
    return [one(at, power_w, **more) for at in range(start_s, end_s + 1, step_s)]


def test_constant_power() -> None:
    found = folded(*steady(3000, 0, HOUR_S))
    assert [row.low_wh for row in found] == [1500, 1500, 0]  # 3 kW x 0.5 h; the last reading opens a third
    assert [row.high_wh for row in found] == [1500, 1500, 0]
    assert [row.samples for row in found] == [60, 60, 1]
    assert total(found, "gap_us") == 0
    assert found[0].by_origin == {"psu_measured": (1500, HALF_HOUR_US)}


def test_linear_ramp_is_exact() -> None:
    # 0 to 3600 W over an hour: 1800 Wh, of it a quarter in the first half; exact for lines.
    found = folded(*(one(at, at, interval_s=30) for at in range(0, HOUR_S + 1, 30)))
    assert [row.energy_wh for row in found] == [450, 1350, 0]


def test_one_trapezoid_over_a_boundary_is_split_exactly() -> None:
    # 1000 W at 29:50 to 7000 W at 30:10: at the boundary 4000 W; 10 s at 2500 W, 10 s at 5500 W on average.
    before, after = folded(one(1790, 1000), one(1810, 7000))
    assert before.by_origin["psu_measured"][1] == after.by_origin["psu_measured"][1] == 10 * S
    assert before.energy_wh == 2500 * 10 // 3600  # 6 Wh, the remainder is carried
    assert before.energy_wh + after.energy_wh == (2500 + 5500) * 10 // 3600


def test_a_switch_between_two_polls_is_bounded_by_both_readings() -> None:
    # 3400 W, then asleep at 30 W a minute later: when in that minute, nobody saw. 28 Wh are the best guess.
    found = folded(one(0, 3400), one(60, 30))
    assert [(row.low_wh, row.energy_wh, row.high_wh) for row in found] == [(0, 28, 57)]
    # A change of less than a quarter is a slope, and a slope is exact.
    slope = folded(one(0, 3400), one(60, 2600))
    assert [(row.low_wh, row.energy_wh, row.high_wh) for row in slope] == [(50, 50, 50)]


def test_gap_has_bounds_and_no_energy() -> None:
    # 600 s between readings of 3000 W, three polls are 90 s: unknown, at most 1.1 x 3000 W x 600 s = 550 Wh.
    found = folded(one(0, 3000), one(600, 3000))
    assert [(row.low_wh, row.high_wh, row.gap_us) for row in found] == [(0, 550, 600 * S)]
    assert found[0].by_origin == {}


def test_three_polls_are_no_gap() -> None:
    assert total(folded(one(0, 3600), one(90, 3600)), "low_wh") == 90
    assert total(folded(one(0, 3600), one(90.001, 3600)), "low_wh") == 0


def test_stated_interval_never_bridges_a_half_hour() -> None:
    found = folded(one(0, 3600, interval_s=100_000), one(1801, 3600, interval_s=100_000))
    assert total(found, "low_wh") == 0
    assert total(found, "gap_us") == 1801 * S


def test_gap_is_split_by_time() -> None:
    # 15:00 to 45:00 with 4000 W: 15 min on each side, 1.1 x 4000 x 0.25 = 1100 Wh each.
    found = folded(one(900, 4000), one(2700, 4000))
    assert [(row.high_wh, row.gap_us) for row in found] == [(1100, 900 * S), (1100, 900 * S)]


def test_rated_is_the_largest_of_nameplate_and_readings() -> None:
    nameplate = Inventory(T0, A, "10.0.0.1", "antminer", nameplate_w=5000.0)
    assert total(folded(nameplate, one(0, 3000), one(HOUR_S, 3000)), "high_wh") == 5500
    assert total(folded(nameplate, one(0, 6000), one(HOUR_S, 3000)), "high_wh") == 6600
    assert total(folded(one(0, None), one(HOUR_S, None)), "high_wh") == RULES.rated_unknown_mw // 1000


def test_restart_between_two_readings_is_a_gap() -> None:
    found = folded(one(0, 3600, uptime_s=900), one(30, 3600, uptime_s=10))
    assert (total(found, "low_wh"), total(found, "gap_us")) == (0, 30 * S)
    slack = folded(one(0, 3600, uptime_s=0), one(30, 3600, uptime_s=27))
    assert (total(slack, "low_wh"), total(slack, "gap_us")) == (30, 0)


def test_uptime_narrows_the_bound() -> None:
    # Silent from 60 s on, back at 3600 s with 600 s of uptime: on for at most 60 + 600 s of the 3600 s.
    records = (one(0, 3600), failed(60), failed(90), one(HOUR_S, 3600, uptime_s=600))
    found = folded(*records)
    assert total(found, "high_wh") == 726  # 1.1 x 3600 W x 660 s
    assert total(found, "gap_us") == HOUR_S * S
    fold = fold_of([Agent().batch(*records)])
    kinds = [(event["kind"], event["at_us"], event["detail"]) for event in fold.changes.events]
    assert kinds == [("device_was_off", T0 + 60 * S, {"until_us": str(T0 + 3000 * S)})]


def test_uptime_proves_nothing_without_a_failed_poll_or_when_it_answered() -> None:
    nobody_polled = folded(one(0, 3600), one(HOUR_S, 3600, uptime_s=600))
    assert total(nobody_polled, "high_wh") == 3960
    answered = folded(one(0, 3600), failed(60), failed(3300, kind="auth"), one(HOUR_S, 3600, uptime_s=200))
    assert total(answered, "high_wh") == 3960
    stayed_on = folded(one(0, 3600), failed(60), one(HOUR_S, 3600, uptime_s=90_000))
    assert total(stayed_on, "high_wh") == 3960


def test_asleep_counts_with_its_power() -> None:
    found = folded(*steady(40, 0, HOUR_S, state="sleeping", hashrate_hs=0.0))
    assert total(found, "low_wh") == 40
    assert total(found, "work_gh") == 0
    assert total(found, "hashrate_us") == HOUR_S * S


def test_reading_without_power_is_a_gap_yet_has_a_hashrate() -> None:
    found = folded(*(one(at, None, hashrate_hs=1e14) for at in range(0, 1801, 30)))
    assert found[0].gap_us == HALF_HOUR_US
    assert found[0].low_wh == 0
    assert found[0].work_gh * 1e9 / (found[0].hashrate_us / S) == 1e14


def test_weaker_origin_of_the_two_ends() -> None:
    found = folded(
        one(0, 3600, origin="wall_measured"),
        one(30, 3600, origin="dc_output"),
        one(60, 3600, origin="dc_output"),
        one(90, 3600, origin=None),
    )
    names = {name: wh for name, (wh, _) in found[0].by_origin.items()}
    assert names == {"dc_output": 60, "none": 30}


def test_time_that_goes_back_is_skipped_and_told_once() -> None:
    records = [one(0, 3600), one(30, 3600), one(10, 3600), one(20, 3600), one(30, 3600), one(60, 3600)]
    fold = fold_of([Agent().batch(*records)])
    assert [(event["kind"], event["device"]) for event in fold.changes.events] == [
        ("time_went_backwards", A_TEXT)
    ]
    assert total(device_rows(fold), "low_wh") == 60


def test_impossible_times_are_left_out() -> None:
    agent = Agent()
    fold = fold_of(
        [agent.batch(one(0, 3600), one(-20 * 365 * 86_400, 1), one(400 * 86_400, 1), one(30, 3600))]
    )
    assert [event["kind"] for event in fold.changes.events] == ["impossible_time"] * 2
    assert total(device_rows(fold), "low_wh") == 30


def test_replaced_device_ends() -> None:
    replaced = Event(T0 + 600 * S, "device_replaced", A)
    fold = fold_of([Agent().batch(one(0, 3600), failed(30), replaced)])
    assert standing(fold, Now.ENDED_US) == T0 + 600 * S
    assert [(row.high_wh, row.gap_us) for row in device_rows(fold)] == [(660, 600 * S)]
    # It comes back a day later: the time between is a gap like any other, never silently nothing.
    back = folded(one(0, 3600), replaced, one(86_400, 3600), one(86_430, 3600))
    assert (total(back, "low_wh"), total(back, "gap_us")) == (30, 86_400 * S)


def test_vanished_is_visible_until_it_comes_back() -> None:
    agent = Agent()
    fold = fold_of(
        [agent.batch(one(0, 3600), failed(30), Event(T0 + 60 * S, "device_vanished", A), failed(90))]
    )
    assert standing(fold, Now.CAUSE) == cause_number("vanished") + 1
    packet = agent.batch(one(120, 3600))
    fold.take(Entry(fold.position, T0, packet), wire.open_packet(packet))
    assert standing(fold, Now.CAUSE) == 0


class Poll(NamedTuple):
    """What comes next of a device."""

    passed_us: int
    power_mw: int
    origin: int
    uptime_s: int
    hashrate_mhs: int
    failure: str | None  # a failed poll half-way
    end: bool  # another device takes its place half-way


MW = st.one_of(
    st.just(-1), st.integers(0, 6_000_000), st.integers(0, 4).map(lambda w: 1_000_000 * w), st.just(2**31 - 1)
)
POLL = st.builds(
    Poll,
    st.one_of(st.integers(1, 200 * S), st.integers(1, 4_000 * S), st.integers(1, 5 * DAY_US)),
    MW,
    st.integers(1, len(ORIGIN_NAMES)),
    st.one_of(st.just(-1), st.integers(0, 4_000), st.integers(0, 400_000)),
    st.one_of(st.just(-1), st.integers(0, 300_000_000), st.integers(0, 2**62)),
    st.sampled_from([None, None, None, "timeout", "unreachable", "auth"]),
    st.sampled_from([False] * 9 + [True]),
)


class Both:
    """One device by the columns, and by the model."""

    def __init__(self, integrals: Integrals, place: int, at_us: int) -> None:
        self.integrals, self.place, self.at_us = integrals, place, at_us
        self.model = Integral(RULES)

    def step(self, poll: Poll, max_gap_us: int) -> None:
        """Failed poll and end by themselves; the reading is for `read_all`."""
        half_us = self.at_us + poll.passed_us // 2
        if poll.failure is not None and half_us > self.at_us:
            silent = poll.failure != "auth"
            self.integrals.failed(np.array([self.place]), np.array([half_us]), np.array([silent]))
            self.integrals.now[Now.CAUSE, self.place] = cause_number(poll.failure) + 1
            self.model.failed(half_us, silent, poll.failure)
        if poll.end and self.model.last_us < half_us:
            self.integrals.end(self.place, half_us, RULES)
            self.model.end(half_us)
            self.integrals.now[Now.CAUSE, self.place] = (
                cause_number(self.model.cause) + 1 if self.model.cause else 0
            )
        self.at_us += poll.passed_us


def read_all(devices: list[Both], polls: list[Poll], max_gap_us: int, silence: Silence) -> None:
    """One sweep over the devices."""
    columns = [
        [d.place for d in devices], [d.at_us for d in devices], *zip(*(p[1:5] for p in polls), strict=True),
        [0] * len(devices),
    ]  # fmt: skip
    readings = Readings(*(np.array(column, np.int64) for column in columns))
    devices[0].integrals.read(readings, RULES, max_gap_us, silence)
    for device, poll in zip(devices, polls, strict=True):
        device.model.read(device.at_us, *poll[1:5], max_gap_us, silence)


def rows_of(model: Integral) -> list[HalfHour]:
    return [row for _, row in sorted(model.rows.items()) if any(row.column)]


@settings(max_examples=150)
@given(
    st.lists(st.tuples(POLL, POLL, POLL, st.integers(1, 7), st.integers(0, 4_000)), min_size=1, max_size=12),
    st.sampled_from([90 * S, 1800 * S]),
)
def test_the_columns_equal_the_model_to_the_integer(
    sweeps: list[tuple[Poll, Poll, Poll, int, int]], max_gap_us: int
) -> None:
    integrals = Integrals()
    devices = [Both(integrals, integrals.add(), T0 + n) for n in range(3)]
    for *polls, present, silent_s in sweeps:
        there = [n for n in range(3) if present >> n & 1]
        for n in there:
            devices[n].step(polls[n], max_gap_us)
        last_us = max(devices[n].at_us for n in there)
        silence = (
            Silence(last_us - silent_s * S, last_us - 10 * S, cause_number("clock"))
            if silent_s > 10
            else Silence()
        )
        read_all([devices[n] for n in there], [polls[n] for n in there], max_gap_us, silence)
    for device in devices:
        assert half_hours(integrals, device.place) == rows_of(device.model)
        now = integrals.now[:, device.place]
        assert now[Now.GAP_SPARE] == device.model.gap_spare
        assert now[Now.REST : Now.WH].tolist() == device.model.rest[1:]
        assert now[Now.WORK_REST] == device.model.work_rest
        closed = [row for row in half_hours(integrals, device.place) if row.start_us < now[Now.ROW_US]]
        assert now[Now.GAP_WH] == total(closed, "gap_wh")
        assert now[Now.WH :].sum() == total(closed, "energy_wh")


@settings(max_examples=150)
@given(st.lists(POLL, min_size=1, max_size=30))
def test_tiles_exact_and_bounded(polls: list[Poll]) -> None:
    integrals = Integrals()
    device = Both(integrals, integrals.add(), T0)
    first_us = T0 + polls[0].passed_us
    exact = Fraction(0)
    last: Poll | None = None
    for poll in polls:
        poll = poll._replace(end=False)
        device.step(poll, 90 * S)
        read_all([device], [poll], 90 * S, Silence())
        if last is not None and min(last.power_mw, poll.power_mw) >= 0:
            restarted = poll.uptime_s >= 0 and poll.uptime_s * S + 5 * S < poll.passed_us
            if poll.passed_us <= 90 * S and not restarted:
                exact += Fraction((last.power_mw + poll.power_mw) * poll.passed_us, HALF_MW_US_PER_WH)
        last = poll
    found = half_hours(integrals, 0)
    measured = total(found, "energy_wh")
    covered_us = sum(sum(row.covered_us) for row in found)
    assert 0 <= exact - measured < len(ORIGIN_NAMES)  # each origin carries < 1 Wh
    assert covered_us + total(found, "gap_us") == device.at_us - first_us
    largest_mw = max(0, *(poll.power_mw for poll in polls))
    most_mw = max(
        largest_mw * 11 // 10 + 1, RULES.rated_unknown_mw
    )  # until its first power nothing is known of it
    assert total(found, "gap_wh") <= bound_wh(most_mw, total(found, "gap_us"))
    # Switches widen the bounds by no more than full power through the whole covered time, 1 Wh a half-hour.
    assert total(found, "above_wh") <= bound_wh(most_mw, covered_us) + 2 * len(polls)
    for row in found:
        assert row.start_us % HALF_HOUR_US == 0
        assert sum(row.covered_us) + row.gap_us <= HALF_HOUR_US
        assert 0 <= row.low_wh <= row.energy_wh <= row.high_wh
        assert min(row.column) >= 0
    for row in found[1:-1]:
        assert sum(row.covered_us) + row.gap_us == HALF_HOUR_US
