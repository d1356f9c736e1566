"""At any instant of any farm, the drivers parse the rendered replies into the farm's own reading."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.miners import antminer as antminer_driver
from agent.miners import axeos as axeos_driver
from agent.miners import whatsminer as whatsminer_driver
from agent.readings import Reading
from agent.simulator import antminer, axeos, whatsminer
from agent.simulator.farm import Farm, Snapshot
from agent.simulator.model import Device
from agent.simulator.plan import plan
from agent.simulator.power import DAY_S


@cache
def farm(seed: int) -> Farm:
    return Farm(plan(seed, 9, "2026-10"))


def parsed(device: Device, address: str, now: Snapshot) -> Reading:
    t_us = now.observed_us
    if device.model.family == "axeos":
        return axeos_driver.parse({"info": axeos.system_info(device, now)}, t_us)
    if device.model.family == "whatsminer":
        got = {name: render(device, now) for name, render in whatsminer.COMMANDS.items()}
        return whatsminer_driver.parse(got, t_us)
    got = {name: antminer.COMMANDS[name](device, now) for name in ("version", "summary", "pools")}
    got |= {"stats": antminer.new_stats(device, now), "system_info": antminer.system_info(device, now)}
    return antminer_driver.parse(got, t_us)


@given(st.integers(0, 20), st.integers(0, 9), st.integers(-2 * DAY_S, 31 * DAY_S))
@settings(max_examples=300)
def test_the_drivers_parse_the_replies_to_the_reading(seed: int, which: int, offset_s: int) -> None:
    world = farm(seed)
    device = world.devices[which]
    t_us = world.plan.site(device.site).start_us + offset_s * 1_000_000
    expected, span = world.reading_at(device.address, t_us), world.span(device.address, t_us)
    if not isinstance(expected, Reading) or span is None:
        return
    found = parsed(span.device, device.address, span.snapshot(t_us))
    assert set(found.unknown) == set(expected.unknown)
    # Rates differ in the last digit of a float: the driver may scale in another order.
    assert abs((found.hashrate_hs or 0) - (expected.hashrate_hs or 0)) < 1
    # When its last share was the farm's truth does not tell.
    pools = tuple(replace(pool, last_share_age_s=None) for pool in found.pools)
    assert replace(found, unknown={}, hashrate_hs=None, pools=pools) == replace(
        expected, unknown={}, hashrate_hs=None
    )
