"""A sweep: each device costs at most its own reading, and what it tells arrives as it was told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent import sweep, wire
from agent.identity import Roster
from agent.readings import (
    AuthError,
    Failure,
    FailureKind,
    Pool,
    PowerOrigin,
    ProtocolError,
    Reading,
    State,
    Unreachable,
)
from agent.sweep import Outcome, Target


def reading(at_us: int = 0, uptime_s: int | None = 100, **fields: Any) -> Reading:
    return Reading(at_us, "antminer", uptime_s=uptime_s, **fields)


def run(targets: list[Target], poll: sweep.Poll, concurrency: int = 10) -> list[Outcome]:
    return asyncio.run(sweep.sweep(targets, poll, lambda: 7, concurrency=concurrency, deadline_s=0.05))


def test_a_hung_a_refused_and_a_locked_device_cost_only_their_own_reading() -> None:
    async def poll(address: str, family: str | None, full: bool) -> Reading:
        if address == "hung":
            await asyncio.sleep(60)
        if address == "refused":
            raise Unreachable("connection refused")
        if address == "locked":
            raise AuthError("password")
        return reading()

    outcomes = {
        o.address: o.result for o in run([Target(a) for a in ("hung", "refused", "locked", "ok")], poll)
    }
    kinds = {a: r.kind for a, r in outcomes.items() if isinstance(r, Failure)}
    assert kinds == {
        "hung": FailureKind.TIMEOUT,
        "refused": FailureKind.UNREACHABLE,
        "locked": FailureKind.AUTH,
    }
    assert isinstance(outcomes["ok"], Reading)


def test_no_more_than_the_set_number_is_polled_at_a_time() -> None:
    now = most = 0

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return reading()

    assert len(run([Target(str(n)) for n in range(50)], poll, concurrency=4)) == 50
    assert most == 4


def test_hung_devices_leave_their_places_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two places, twenty hung devices in front: one after another they would take ten deadlines."""
    monkeypatch.setattr(sweep, "COSTLY_S", 0.0)
    monkeypatch.setattr(sweep, "LOOK_S", 0.001)
    now = most = 0

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(60 if address.startswith("hung") else 0)
        finally:
            now -= 1
        return reading()

    targets = [Target(f"hung {n}") for n in range(20)] + [Target(str(n)) for n in range(30)]
    outcomes = asyncio.run(sweep.sweep(targets, poll, lambda: 7, concurrency=2, deadline_s=0.5))
    assert most >= 20  # all of them hung at once
    assert sum(isinstance(outcome.result, Reading) for outcome in outcomes) == 30
    assert len(outcomes) == 50


def test_a_driver_that_answers_its_ending_with_something_else_ends_only_its_own_poll() -> None:
    async def poll(address: str, family: str | None, full: bool) -> Reading:
        try:
            await asyncio.sleep(60 if address != "ok" else 0)
        except asyncio.CancelledError:
            if address == "says so":
                raise Unreachable("gave up") from None
            if address == "reads on":
                return reading()
            raise
        return reading()

    names = ["says so", "reads on", "hung", "ok"]
    outcomes = {o.address: o.result for o in run([Target(name) for name in names], poll, concurrency=1)}
    assert [type(outcomes[name]) for name in names] == [Failure, Reading, Failure, Reading]


def test_a_sweep_that_is_cancelled_ends_at_once() -> None:
    async def poll(address: str, family: str | None, full: bool) -> Reading:
        await asyncio.sleep(60)
        return reading()

    async def cancelled() -> None:
        targets = [Target(str(number)) for number in range(5)]
        sweeping = asyncio.create_task(sweep.sweep(targets, poll, lambda: 7, concurrency=5, deadline_s=50))
        await asyncio.sleep(0.01)
        sweeping.cancel()
        await sweeping

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(cancelled(), 5))


def test_a_programming_error_is_not_swallowed_as_a_failed_poll() -> None:
    async def poll(address: str, family: str | None, full: bool) -> Reading:
        raise KeyError(address)

    with pytest.raises(ExceptionGroup):
        run([Target("a")], poll)


@pytest.mark.parametrize(
    ("uptime_s", "full"), [(160, False), (50, True), (None, True)], ids=["ran on", "restarted", "untold"]
)
def test_a_device_that_may_be_another_is_read_in_full_at_once(uptime_s: int | None, full: bool) -> None:
    depths = []

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        depths.append(full)
        return reading(60_000_000, uptime_s)

    target = Target("a", "antminer", full_us=0, uptime_s=500 if uptime_s == 50 else 100, observed_us=0)
    (outcome,) = run([target], poll)
    assert outcome.full is full
    assert depths == ([False, True] if full else [False])


def test_after_a_failure_the_next_poll_is_full() -> None:
    async def refuse(address: str, family: str | None, full: bool) -> Reading:
        raise Unreachable("refused")

    target = Target("a", "antminer", full_us=5, uptime_s=100, observed_us=5)
    run([target], refuse)
    assert target.full_us is None


def test_records_carry_the_readings_and_the_failures_of_known_devices() -> None:
    roster = Roster()
    told = reading(
        3_000, power_w=3250.4, power_origin=PowerOrigin.PSU_MEASURED, hashrate_hs=1.1e14, serial="S1",
        state=State.MINING, chip_temps_c=(61.0, 72.5), fans_rpm=(6000, 5400),
    )  # fmt: skip
    records, swept = sweep.records(1_000, 60, [Outcome("a", told)], roster)
    assert [type(r).__name__ for r in records] == ["Event", "Inventory", "Sweep"]
    cells = {name: wire.values(swept, name)[0] for name in wire.COLUMNS}
    assert cells["power_mw"] == 3_250_400 and wire.ORIGINS[cells["origin"]] == "psu_measured"
    assert cells["hashrate_mhs"] == 110_000_000 and wire.STATES[cells["state"]] == "mining"
    assert (cells["delay_ms"], cells["uptime_s"]) == (2, 100)
    assert (cells["chip_temp_dc"], cells["fan_rpm"]) == (725, 5400)
    assert cells["accepted"] == wire.missing("accepted")

    failed = Failure(61_000, FailureKind.TIMEOUT, "silent")
    _, later = sweep.records(60_000, 60, [Outcome("a", failed), Outcome("z", failed)], roster)
    assert [(f.device, f.address, f.kind) for f in later.failures] == [
        (swept.devices, "a", "timeout"),
        (b"", "z", "timeout"),
    ]


def test_a_short_reading_at_an_address_whose_device_moved_away_counts_for_nobody() -> None:
    roster = Roster()
    sweep.records(0, 60, [Outcome("a", reading(serial="S1"))], roster)
    moved = Outcome("b", reading(serial="S1"))
    _, swept = sweep.records(60, 60, [moved, Outcome("a", reading(60), full=False)], roster)
    assert len(swept.devices) == 16
    assert [f.address for f in swept.failures] == ["a"]


def test_a_device_that_hangs_is_asked_less_often_but_its_failure_is_recorded_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "COSTLY_S", 0.01)
    asked = 0

    async def hang(address: str, family: str | None, full: bool) -> Reading:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)
        raise AssertionError

    target = Target("a")
    outcomes = [run([target], hang)[0].result for _ in range(6)]
    assert asked == sweep.PATIENCE + 1
    assert all(isinstance(o, Failure) and o.kind is FailureKind.TIMEOUT for o in outcomes)
    target.retry_s = 0.0

    async def back(address: str, family: str | None, full: bool) -> Reading:
        return reading()

    assert isinstance(run([target], back)[0].result, Reading) and target.hung == 0


def test_a_refusal_costs_nothing_and_is_asked_again_each_time() -> None:
    asked = 0

    async def refuse(address: str, family: str | None, full: bool) -> Reading:
        nonlocal asked
        asked += 1
        raise Unreachable("refused")

    target = Target("a")
    for _ in range(10):
        run([target], refuse)
    assert asked == 10


def test_a_changed_pool_in_a_short_reading_brings_a_full_one_at_once() -> None:
    depths = []
    ours, theirs = (
        Pool("stratum+tcp://pool.example:1", "farm.1", True),
        Pool("stratum+tcp://evil:1", "x", True),
    )

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        depths.append(full)
        return reading(uptime_s=160, at_us=60_000_000, pools=(theirs,))

    target = Target(
        "a", "antminer", full_us=0, uptime_s=100, pools=(("stratum+tcp://pool.example:1", "farm.1"),)
    )
    assert ours.url == target.pools[0][0]
    (outcome,) = run([target], poll)
    assert outcome.full and depths == [False, True]


def test_a_device_that_speaks_otherwise_than_before_is_identified_anew() -> None:
    async def garbage(address: str, family: str | None, full: bool) -> Reading:
        raise ProtocolError("html where JSON was")

    target = Target("a", "antminer")
    run([target], garbage)
    assert target.family is None
