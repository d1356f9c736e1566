"""Shapes of AxeOS and its forks, in small pages written here."""

from __future__ import annotations

from typing import Any

import pytest

from agent.miners import axeos
from agent.readings import PowerOrigin, Reading, State


def reading(**info: Any) -> Reading:
    base = {"macAddr": "AA:BB:CC:00:11:22", "ASICModel": "BM1370", "version": "v2.9.0", "uptimeSeconds": 60}
    return axeos.parse({"info": base | info}, 1)


def test_numbers_as_text_and_power_with_its_side() -> None:
    found = reading(hashRate="1187.52", power="17.3", uptimeSeconds="99", fanrpm="4200", temp="58.1")
    assert found.hashrate_hs == pytest.approx(1187.52e9) and found.uptime_s == 99
    assert (found.power_w, found.power_origin) == (17.3, PowerOrigin.DC_OUTPUT)
    assert (found.fans_rpm, found.chip_temps_c, found.state) == ((4200,), (58.1,), State.MINING)


@pytest.mark.parametrize(
    ("info", "model"),
    [
        ({"boardVersion": "601"}, "Bitaxe Gamma"),
        ({"boardVersion": "801", "asicCount": 2}, "Bitaxe GT"),
        ({"boardVersion": "650"}, "Bitaxe Gamma Duo"),
        ({"boardVersion": "303", "ASICModel": "BM1366"}, "Bitaxe Hex"),
        ({"boardVersion": "702", "ASICModel": "BM1368"}, "Bitaxe Supra Hex"),
        ({"boardVersion": "0.11", "ASICModel": "BM1366"}, "Bitaxe Ultra"),
        ({"ASICModel": "BM1397"}, "Bitaxe Max"),
        ({"ASICModel": "BM1370", "asicCount": 2}, "Bitaxe GT"),
        ({"deviceModel": "Gamma"}, "Bitaxe Gamma"),
        ({"deviceModel": "NerdQAxe++", "asicCount": 4}, "NerdQAxe++"),
        ({"ASICModel": "BM9999"}, None),
        ({"boardVersion": "800", "hostname": "BitForge"}, "BitForge Nano"),
        ({"ASICModel": "BM1366", "boardVersion": "LV06"}, None),
    ],
)
def test_model(info: dict[str, Any], model: str | None) -> None:
    found = reading(**info)
    assert found.model == model and (found.make is None) == (model is None)


@pytest.mark.parametrize(
    ("info", "state", "hashrate_hs"),
    [
        ({"hashRate": 0, "uptimeSeconds": 900}, State.IDLE, 0.0),
        ({"hashRate": 0, "uptimeSeconds": 20}, State.STARTING, 0.0),
        ({"hashRate": 0, "miningPaused": True}, State.SLEEPING, 0.0),
        ({"hashRate": 0, "shutdown": True}, State.SLEEPING, 0.0),
        ({"hashRate": 900, "overheat_mode": 1}, State.OVERHEAT, 900e9),
        ({"hashRate": 0, "power_fault": "VIN undervoltage"}, State.FAULT, 0.0),
        ({"hashRate_1m": 480.5}, State.MINING, 480.5e9),
        ({"hashRate": None, "hashRate_1m": 480.5}, State.UNKNOWN, None),
        ({"hashRate": "nan"}, State.UNKNOWN, None),
        ({}, State.UNKNOWN, None),
    ],
)
def test_state(info: dict[str, Any], state: State, hashrate_hs: float | None) -> None:
    found = reading(**info)
    assert found.state is state and found.hashrate_hs == (
        None if hashrate_hs is None else pytest.approx(hashrate_hs)
    )


@pytest.mark.parametrize("power", [0, "0", None, "", -3, True, "abc"])
def test_no_watts_of_a_sensor_that_is_not_there(power: Any) -> None:
    found = reading(hashRate=1000, power=power)
    assert (found.power_w, found.power_origin) == (None, None) and found.unknown["power_w"]


POOLS = {
    "stratumURL": "a.example",
    "stratumPort": 3333,
    "stratumUser": "u.1",
    "fallbackStratumURL": "b.example",
    "fallbackStratumPort": "4444",
    "fallbackStratumUser": "u.2",
}


@pytest.mark.parametrize(
    ("info", "active"),
    [
        ({"isUsingFallbackStratum": 0}, [True, False]),
        ({"isUsingFallbackStratum": True}, [False, True]),
        ({"stratum": {"usingFallback": True}}, [False, True]),
        (
            {"stratum": {"activePoolMode": 1, "pools": [{"connected": True}, {"connected": True}]}},
            [True, True],
        ),
        ({}, [None, None]),
    ],
)
def test_which_pool_gives_the_work(info: dict[str, Any], active: list[bool | None]) -> None:
    found = reading(hashRate=1000, **POOLS, **info)
    assert [pool.url for pool in found.pools] == [
        "stratum+tcp://a.example:3333",
        "stratum+tcp://b.example:4444",
    ]
    assert [pool.active for pool in found.pools] == active


def test_the_only_pool_has_the_devices_counters() -> None:
    only = {"stratumURL": "stratum+ssl://a.example:3333", "stratumUser": "u", "fallbackStratumURL": ""}
    (pool,) = reading(hashRate=1000, sharesAccepted=7, sharesRejected=1, **only).pools
    assert (pool.url, pool.active, pool.accepted, pool.rejected) == (
        "stratum+ssl://a.example:3333",
        True,
        7,
        1,
    )
