"""Energy against analytic truth, and what must hold for any run of readings."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wire
from agent.wire import Event, Inventory, Record
from collector.journal import Entry
from collector.ledger.energy import (
    HALF_HOUR_US,
    HALF_MW_US_PER_WH,
    RATED_UNKNOWN_MW,
    HalfHour,
    Integral,
    bound_wh,
)
from collector.ledger.fold import Fold
from tests.collector.support import A_TEXT, SITE, T0, A, Agent, S, failed, fold_of, one

HOUR_S = 3600


def rows(fold: Fold, device: bytes = A) -> list[HalfHour]:
    """The device's half-hours so far, in order of time."""
    return sorted(fold.devices[SITE, device].integral.take_changed(), key=lambda row: row.start_us)


def folded(*records: Record) -> list[HalfHour]:
    return rows(fold_of([Agent().batch(*records, created_us=T0 + 3 * 86_400 * S)], T0 + 3 * 86_400 * S))


def total(half_hours: list[HalfHour], name: str) -> int:
    return sum(getattr(row, name) for row in half_hours)


def measured_wh(row: HalfHour) -> int:
    """The best figure of a half-hour: its trapezoids, of every origin."""
    return sum(energy_wh for energy_wh, _ in row.by_origin.values())


def steady(power_w: float, start_s: int, end_s: int, step_s: int = 30, **more: object) -> list[Record]:
    return [one(at, power_w, **more) for at in range(start_s, end_s + 1, step_s)]


def test_constant_power() -> None:
    found = folded(*steady(3000, 0, HOUR_S))
    assert [row.low_wh for row in found] == [1500, 1500, 0]  # 3 kW x 0.5 h; the last reading opens a third
    assert [row.high_wh for row in found] == [1500, 1500, 0]
    assert [row.samples for row in found] == [60, 60, 1]
    assert total(found, "gap_us") == 0
    assert found[0].by_origin == {wire.ORIGINS.index("psu_measured"): [1500, HALF_HOUR_US]}


def test_linear_ramp_is_exact() -> None:
    # 0 to 3600 W over an hour: 1800 Wh, of it a quarter in the first half; exact for lines.
    found = folded(*(one(at, at, interval_s=30) for at in range(0, HOUR_S + 1, 30)))
    assert [measured_wh(row) for row in found] == [450, 1350, 0]


def test_one_trapezoid_over_a_boundary_is_split_exactly() -> None:
    # 1000 W at 29:50 to 7000 W at 30:10: at the boundary 4000 W; 10 s at 2500 W, 10 s at 5500 W on average.
    integral = Integral()
    start_us = T0 + 1790 * S
    integral.read(start_us, 1_000_000, 3, None, None, 90 * S)
    integral.read(start_us + 20 * S, 7_000_000, 3, None, None, 90 * S)
    before, after = sorted(integral.take_changed(), key=lambda row: row.start_us)
    assert before.by_origin[3][1] == after.by_origin[3][1] == 10 * S
    assert measured_wh(before) == 2500 * 10 // 3600  # 6 Wh, the remainder is carried
    assert measured_wh(before) + measured_wh(after) == (2500 + 5500) * 10 // 3600


def test_a_switch_between_two_polls_is_bounded_by_both_readings() -> None:
    # 3400 W, then asleep at 30 W a minute later: when in that minute, nobody saw. 28 Wh are the best guess.
    found = folded(one(0, 3400), one(60, 30))
    assert [(row.low_wh, measured_wh(row), row.high_wh) for row in found] == [(0, 28, 57)]
    # A change of less than a quarter is a slope, and a slope is exact.
    slope = folded(one(0, 3400), one(60, 2600))
    assert [(row.low_wh, measured_wh(row), row.high_wh) for row in slope] == [(50, 50, 50)]


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
    assert total(folded(one(0, None), one(HOUR_S, None)), "high_wh") == RATED_UNKNOWN_MW // 1000


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
    assert total(found, "hashes") == 0
    assert total(found, "hashrate_us") == HOUR_S * S


def test_reading_without_power_is_a_gap_yet_has_a_hashrate() -> None:
    found = folded(*(one(at, None, hashrate_hs=1e14) for at in range(0, 1801, 30)))
    assert found[0].gap_us == HALF_HOUR_US
    assert found[0].low_wh == 0
    assert found[0].hashes / (found[0].hashrate_us / S) == 1e14


def test_weaker_origin_of_the_two_ends() -> None:
    found = folded(
        one(0, 3600, origin="wall_measured"),
        one(30, 3600, origin="dc_output"),
        one(60, 3600, origin="dc_output"),
        one(90, 3600, origin=None),
    )
    names = {
        wire.ORIGINS[n] if n < len(wire.ORIGINS) else "none": wh for n, (wh, _) in found[0].by_origin.items()
    }
    assert names == {"dc_output": 60, "none": 30}


def test_time_that_goes_back_is_skipped_and_told_once() -> None:
    records = [one(0, 3600), one(30, 3600), one(10, 3600), one(20, 3600), one(30, 3600), one(60, 3600)]
    fold = fold_of([Agent().batch(*records)])
    assert [(event["kind"], event["device"]) for event in fold.changes.events] == [
        ("time_went_backwards", A_TEXT)
    ]
    assert total(rows(fold), "low_wh") == 60


def test_impossible_times_are_left_out() -> None:
    agent = Agent()
    fold = fold_of(
        [agent.batch(one(0, 3600), one(-20 * 365 * 86_400, 1), one(400 * 86_400, 1), one(30, 3600))]
    )
    assert [event["kind"] for event in fold.changes.events] == ["impossible_time"] * 2
    assert total(rows(fold), "low_wh") == 30


def test_replaced_device_ends() -> None:
    replaced = Event(T0 + 600 * S, "device_replaced", A)
    fold = fold_of([Agent().batch(one(0, 3600), failed(30), replaced)])
    integral = fold.devices[SITE, A].integral
    assert integral.ended_us == T0 + 600 * S
    assert [(row.high_wh, row.gap_us) for row in rows(fold)] == [(660, 600 * S)]
    # It comes back a day later: the time between is a gap like any other, never silently nothing.
    back = folded(one(0, 3600), replaced, one(86_400, 3600), one(86_430, 3600))
    assert (total(back, "low_wh"), total(back, "gap_us")) == (30, 86_400 * S)


def test_vanished_is_visible_until_it_comes_back() -> None:
    agent = Agent()
    fold = fold_of(
        [agent.batch(one(0, 3600), failed(30), Event(T0 + 60 * S, "device_vanished", A), failed(90))]
    )
    assert fold.devices[SITE, A].cause == "vanished"
    packet = agent.batch(one(120, 3600))
    fold.take(Entry(fold.position, T0, packet), wire.open_packet(packet))
    assert fold.devices[SITE, A].cause is None


POLLS = st.lists(
    st.tuples(
        st.integers(-5_000_000, 4_000_000_000),  # us since the last one, at times backwards
        st.one_of(st.none(), st.integers(0, 6_000_000)),  # mW
        st.integers(0, 8),  # origin
        st.one_of(st.none(), st.integers(0, 4_000)),  # uptime
        st.one_of(st.none(), st.integers(0, 200_000_000)),  # MH/s
    ),
    min_size=1,
    max_size=40,
)
Poll = tuple[int, int | None, int, int | None, int | None]


@settings(max_examples=200, deadline=None)
@given(POLLS, st.booleans())
def test_tiles_exact_and_bounded(polls: list[Poll], with_failures: bool) -> None:
    integral = Integral()
    first_us = at_us = T0
    exact = Fraction(0)
    last: tuple[int, int | None] | None = None
    for passed_us, power_mw, origin, uptime_s, hashrate_mhs in polls:
        if with_failures and passed_us > 1000:
            integral.failed(at_us + passed_us // 2, silent=True)
        at_us += max(passed_us, 1)
        before = sum(wh for wh, _ in integral.totals.values())
        integral.read(at_us, power_mw, origin or 7, uptime_s, hashrate_mhs, 90 * S)
        if last is None:
            first_us = at_us
        elif last[1] is not None and power_mw is not None:
            dt = at_us - last[0]
            restarted = uptime_s is not None and uptime_s * S + 5 * S < dt
            if dt <= 90 * S and not restarted:
                exact += Fraction((last[1] + power_mw) * dt, HALF_MW_US_PER_WH)
        assert sum(wh for wh, _ in integral.totals.values()) >= before
        last = (at_us, power_mw)
    found = sorted(integral.take_changed(), key=lambda row: row.start_us)
    measured = sum(wh for row in found for wh, _ in row.by_origin.values())
    covered_us = sum(us for row in found for _, us in row.by_origin.values())
    assert total(found, "low_wh") <= measured
    assert (
        0 <= exact - measured < len(integral.totals) or exact == measured == 0
    )  # each origin carries < 1 Wh
    assert covered_us + total(found, "gap_us") == at_us - first_us
    most_mw = max(integral.rated_mw, RATED_UNKNOWN_MW)  # until its first power nothing is known of it
    assert integral.gap_wh <= bound_wh(most_mw, total(found, "gap_us"))
    assert total(found, "high_wh") - measured >= integral.gap_wh
    # Switches widen the bounds by no more than full power through the whole covered time, 1 Wh a half-hour.
    switched_wh = bound_wh(most_mw, covered_us) + 2 * len(polls)
    assert total(found, "high_wh") - integral.gap_wh <= max(measured, switched_wh)
    for row in found:
        assert row.start_us % HALF_HOUR_US == 0
        assert sum(us for _, us in row.by_origin.values()) + row.gap_us <= HALF_HOUR_US
        assert 0 <= row.low_wh <= measured_wh(row) <= row.high_wh
    for row in found[1:-1]:
        assert sum(us for _, us in row.by_origin.values()) + row.gap_us == HALF_HOUR_US
