"""Readings and truth agree with the plan's events and with each other."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.readings import Failure, FailureKind, PowerOrigin, Reading, State
from agent.simulator.farm import Farm
from agent.simulator.life import energy_j, life, powered_us
from agent.simulator.model import Device, Event, EventKind, Site
from agent.simulator.plan import plan
from agent.simulator.power import DAY_S, STANDBY_W
from agent.simulator.truth import STATEMENT_COLUMNS, statement_csv, truth

PLAN = plan()
FARM = Farm(PLAN)
MINUTE_US = 60_000_000


def event(kind: EventKind) -> Event:
    return next(event for event in PLAN.events if event.kind is kind)


def device(found: Event) -> Device:
    return PLAN.device(found.mac or "")


def address(owner: Device, t_us: int) -> str:
    """Where a device is, or was last, at an instant."""
    return [piece.address for piece in life(PLAN, owner) if piece.start_us <= t_us][-1]


def reading(at: str, t_us: int) -> Reading:
    found = FARM.reading_at(at, t_us)
    assert isinstance(found, Reading), found
    return found


def failure(at: str, t_us: int) -> FailureKind:
    found = FARM.reading_at(at, t_us)
    assert isinstance(found, Failure), found
    return found.kind


def test_a_device_that_lost_power_is_gone_and_comes_back_with_uptime_0() -> None:
    loss = event(EventKind.POWER_LOSS)
    where = address(device(loss), loss.start_us)
    before = reading(where, loss.start_us - 1)
    assert failure(where, loss.start_us) is failure(where, loss.end_us - 1) is FailureKind.UNREACHABLE
    after = reading(where, loss.end_us)
    assert (after.uptime_s, after.mac) == (0, before.mac)
    assert after.pools[0].accepted in (0, None)  # None: AxeOS does not tell them by pool
    assert reading(where, loss.end_us + 90_500_000).uptime_s == 90


def test_a_network_outage_hides_the_site_and_uptime_goes_on() -> None:
    outage = event(EventKind.NETWORK_OUTAGE)
    for where in FARM.addresses(outage.site, outage.start_us):
        before = reading(where, outage.start_us - 1)
        assert failure(where, outage.start_us) is failure(where, outage.end_us - 1) is FailureKind.UNREACHABLE
        after = reading(where, outage.end_us)
        assert (after.uptime_s or 0) - (before.uptime_s or 0) in (7 * 3600, 7 * 3600 + 1)


def test_an_uplink_outage_is_not_in_the_readings() -> None:
    start_us, end_us = PLAN.uplink_outages["ru"]
    for where in FARM.addresses("ru", start_us):
        assert reading(where, (start_us + end_us) // 2).state is State.MINING


def test_a_swap_puts_another_serial_at_the_same_address() -> None:
    swap = event(EventKind.SWAP)
    where = device(swap).address
    assert failure(where, swap.start_us) is FailureKind.UNREACHABLE
    assert FARM.device_at("ru", where, swap.start_us) is None
    before, after = reading(where, swap.start_us - 1), reading(where, swap.end_us)
    assert before.serial == device(swap).serial
    assert after.serial == PLAN.device(swap.successor or "").serial != before.serial
    assert (after.uptime_s, after.pools[0].user) == (0, before.pools[0].user)


def test_an_address_change_keeps_the_serial() -> None:
    move = event(EventKind.ADDRESS_CHANGE)
    old, new = address(device(move), move.start_us), str(move.address)
    assert failure(new, move.start_us - 1) is failure(old, move.end_us) is FailureKind.UNREACHABLE
    assert reading(old, move.start_us - 1).serial == reading(new, move.end_us).serial
    assert old not in FARM.addresses(move.site, move.end_us)
    assert new in FARM.addresses(move.site, move.end_us)


def test_a_sleeping_device_answers_and_draws_little() -> None:
    sleep = event(EventKind.SLEEP)
    where = address(device(sleep), sleep.start_us)
    asleep, later = reading(where, sleep.start_us), reading(where, sleep.end_us - 1)
    assert (asleep.state, asleep.hashrate_hs, asleep.power_w) == (State.SLEEPING, 0.0, STANDBY_W)
    assert asleep.boards_hashing == 0 and asleep.pools[0].active is False
    assert later.pools[0].accepted == asleep.pools[0].accepted
    awake = reading(where, sleep.end_us)
    assert awake.state is State.MINING
    assert (awake.uptime_s or 0) > (asleep.uptime_s or 0)
    assert (awake.pools[0].accepted or 0) - (asleep.pools[0].accepted or 0) in (0, 1)


def test_a_stall_costs_two_polls_by_timeout() -> None:
    stall = event(EventKind.STALL)
    where = address(device(stall), stall.start_us)
    grid = range(
        stall.start_us // MINUTE_US * MINUTE_US - 2 * MINUTE_US, stall.end_us + 2 * MINUTE_US, MINUTE_US
    )
    kinds = [found.kind for t in grid if isinstance(found := FARM.reading_at(where, t), Failure)]
    assert kinds == [FailureKind.TIMEOUT] * 2


def test_an_address_of_nobody_is_unreachable() -> None:
    assert failure("127.77.1.254", PLAN.sites[0].start_us) is FailureKind.UNREACHABLE
    assert FARM.device_at("kz", PLAN.devices[0].address, PLAN.sites[0].start_us) is None


def test_each_family_tells_its_own() -> None:
    t_us = PLAN.sites[0].start_us
    by_family = {}
    for owner in PLAN.devices[:-1]:
        found = reading(owner.address, t_us)
        by_family[found.family] = found
        assert found.serial == owner.serial and found.mac == owner.mac
        assert ("serial" in found.unknown) == (found.serial is None)
    assert by_family["antminer"].power_origin is PowerOrigin.FIRMWARE_ESTIMATED
    assert by_family["whatsminer"].power_origin is PowerOrigin.PSU_MEASURED
    assert by_family["axeos"].power_origin is PowerOrigin.DC_OUTPUT
    assert all(
        by_family[name].power_w == int(by_family[name].power_w or 0) for name in ("antminer", "whatsminer")
    )


@given(st.sampled_from(PLAN.devices), st.integers(0, 31 * DAY_S), st.integers(1, 40 * DAY_S))
def test_counters_never_fall_within_a_boot(owner: Device, offset_s: int, length_s: int) -> None:
    t_us = PLAN.site(owner.site).start_us + offset_s * 1_000_000
    a, b = (FARM.reading_at(owner.address, t) for t in (t_us, t_us + length_s * 1_000_000))
    if not (isinstance(a, Reading) and isinstance(b, Reading)) or a.mac != b.mac:
        return
    if (b.uptime_s or 0) < length_s:
        return  # booted in between
    assert (b.pools[0].accepted or 0) >= (a.pools[0].accepted or 0)
    assert (b.uptime_s or 0) - (a.uptime_s or 0) == length_s


@pytest.mark.parametrize("owner", PLAN.devices, ids=lambda owner: owner.key)
def test_a_trapezoid_over_a_day_of_polls_is_the_integral(owner: Device) -> None:
    site = PLAN.site(owner.site)
    # After the month nothing happens any more, and before it nothing to the one that is swapped.
    gone = owner.mac == event(EventKind.SWAP).mac
    start_us = site.start_us - DAY_S * 1_000_000 if gone else site.end_us
    where = address(owner, start_us)
    samples = [reading(where, start_us + n * MINUTE_US) for n in range(DAY_S // 60 + 1)]
    total_j = sum(((a.power_w or 0) + (b.power_w or 0)) / 2 * 60 for a, b in pairwise(samples))
    assert total_j == pytest.approx(owner.curve.energy_j(start_us, start_us + DAY_S * 1_000_000), rel=5e-4)


def test_truth_is_the_sum_of_the_pieces() -> None:
    told = truth(PLAN)
    assert told["period"] == "2026-10"
    assert set(told["devices"]) == {owner.key for owner in PLAN.devices}
    for owner in PLAN.devices:
        site, pieces = PLAN.site(owner.site), life(PLAN, owner)
        minutes = range(site.start_us, site.end_us, MINUTE_US)
        by_minute_j = sum(energy_j(owner, pieces, t_us, t_us + MINUTE_US) for t_us in minutes)
        assert told["devices"][owner.key]["energy_wh"] == pytest.approx(by_minute_j / 3600, abs=0.51)
        off_us = sum(
            min(found.end_us, site.end_us) - found.start_us
            for found in PLAN.events
            if found.mac == owner.mac and found.kind in (EventKind.POWER_LOSS, EventKind.ADDRESS_CHANGE)
        )
        if event(EventKind.SWAP).mac == owner.mac:
            off_us += site.end_us - event(EventKind.SWAP).start_us
        if event(EventKind.SWAP).successor == owner.mac:
            off_us += event(EventKind.SWAP).end_us - site.start_us
        assert told["devices"][owner.key]["on_s"] == (site.end_us - site.start_us - off_us) // 1_000_000
        assert powered_us(pieces, site.start_us, site.end_us) == site.end_us - site.start_us - off_us


def test_sleep_counts_as_standby_energy() -> None:
    sleep = event(EventKind.SLEEP)
    drawn_j = energy_j(device(sleep), life(PLAN, device(sleep)), sleep.start_us, sleep.end_us)
    assert drawn_j == pytest.approx(STANDBY_W * (sleep.end_us - sleep.start_us) / 1e6)


@pytest.mark.parametrize("site", PLAN.sites, ids=lambda site: site.name)
def test_a_statement_sums_to_the_truth(site: Site) -> None:
    rows = list(csv.DictReader(io.StringIO(statement_csv(PLAN, site.name))))
    assert tuple(rows[0]) == STATEMENT_COLUMNS and len(rows) == 31
    total_sat = sum(int(Decimal(row["amount"]) * 100_000_000) for row in rows)
    assert {"BTC": total_sat} == truth(PLAN)["coin"][site.payout_identifier]
    assert {row["address"] for row in rows} == {site.payout_identifier}
    assert len({row["external_id"] for row in rows}) == len(rows)
    for row in rows:
        received = datetime.fromisoformat(row["received_at"])
        assert received.utcoffset() is not None
        assert site.start_us <= received.timestamp() * 1e6 < site.end_us
        assert len(row["amount"].split(".")[1]) == 8
        assert (len(row["txid"]) == 64) == (site.payout_kind == "onchain")
