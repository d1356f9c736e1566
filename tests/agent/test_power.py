"""Declared power: never by itself, never for a device that does not mine, and always told in the stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.power import NO_RULES, Correction, PowerRules
from agent.readings import PowerOrigin, Reading, State
from agent.wire import Inventory

DEVICE = Inventory(
    1, b"d" * 16, "a", "antminer", model="Antminer S19 Pro", serial="S1", mac="02:00:00:00:00:01"
)


def reading(**fields: Any) -> Reading:
    return Reading(1, "antminer", **{"hashrate_hs": 1.1e14, "state": State.MINING} | fields)


def correction(**which: str) -> Correction:
    return Correction(1.1, "2026-10-01", "plug meter 7", **which)


def test_without_rules_a_reading_stays_as_it_was_read() -> None:
    untold, told = reading(), reading(power_w=3000.0, power_origin=PowerOrigin.PSU_MEASURED)
    assert NO_RULES.settle(untold, DEVICE) is untold and NO_RULES.settle(told, DEVICE) is told
    assert NO_RULES.event(1) == []


def test_the_nameplate_is_a_last_resort_and_says_so() -> None:
    rules = PowerRules(nameplate=True)
    settled = rules.settle(reading(), DEVICE)
    assert settled.power_origin is PowerOrigin.NAMEPLATE
    assert settled.power_w == pytest.approx(3250, rel=0.02)  # 110 TH/s of a 110 TH/s, 3250 W unit
    measured = reading(power_w=3000.0, power_origin=PowerOrigin.PSU_MEASURED)
    assert rules.settle(measured, DEVICE) is measured


@pytest.mark.parametrize(
    "fields",
    [{"state": State.SLEEPING}, {"state": State.UNKNOWN}, {"hashrate_hs": None}, {"hashrate_hs": 0.0}],
)
def test_no_nameplate_for_a_device_that_is_not_seen_mining(fields: dict[str, Any]) -> None:
    assert PowerRules(nameplate=True).settle(reading(**fields), DEVICE).power_w is None


def test_a_correction_scales_the_device_it_names_and_keeps_the_origin() -> None:
    told = reading(power_w=3000.0, power_origin=PowerOrigin.DC_OUTPUT)
    for which in (
        {"serial": "S1"},
        {"serial": "00s1"},
        {"mac": "02:00:00:00:00:01"},
        {"model": "Antminer S19 Pro"},
    ):
        settled = PowerRules(corrections=(correction(**which),)).settle(told, DEVICE)
        assert settled.power_w == pytest.approx(3300) and settled.power_origin is PowerOrigin.DC_OUTPUT
    assert PowerRules(corrections=(correction(serial="S2"),)).settle(told, DEVICE) is told


def test_a_devices_own_correction_comes_before_its_models() -> None:
    told = reading(power_w=1000.0, power_origin=PowerOrigin.DC_OUTPUT)
    of_model = Correction(1.5, "2026-10-01", "e", model="Antminer S19 Pro")
    settled = PowerRules(corrections=(of_model, correction(serial="S1"))).settle(told, DEVICE)
    assert settled.power_w == pytest.approx(1100)


def test_the_rules_stand_in_the_stream() -> None:
    (event,) = PowerRules(True, (correction(serial="S1"),)).event(5)
    assert event.kind == "power_rules" and event.detail["nameplate"] == "true"
    assert json.loads(event.detail["corrections"])[0]["evidence"] == "plug meter 7"
