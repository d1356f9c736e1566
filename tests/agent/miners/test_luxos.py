"""LuxOS: where its watts come from, what curtails it, and how it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from agent.miners import luxos
from agent.readings import AuthError, PowerOrigin, ProtocolError, Reading, State
from agent.transports.access import Access
from tests.agent.miners.faking import Device

CONFIG = {
    "MACAddr": "02:AA:BB:CC:DD:08",
    "SerialNumber": "SMTTYHIBDJAAI0042",
    "Hostname": "row-8",
    "Model": "Antminer S21",
    "CurtailMode": "None",
    "SystemStatus": "Normal",
}
BY = [{"STATUS": "S", "Description": "LUXminer 2026.1.15.120000-abc0001"}]


def replies(
    ghs: Any = 198300.25, power: Any = None, config: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    return {
        "summary": {"STATUS": BY, "SUMMARY": [{"Elapsed": 600, "GHS 5s": ghs, "GHS av": 150000.5}]},
        "pools": {
            "POOLS": [
                {"POOL": 0, "URL": "p.example:1", "User": "u.8", "Status": "Dead", "Stratum Active": True}
            ]
        },
        "power": {"POWER": [{"PSU": True, "Watts": 3507} if power is None else power]},
        "config": {"CONFIG": [CONFIG | (config or {})]},
        "stats": {
            "STATS": [
                {"Type": "Antminer S21"},
                {
                    "chain_acn1": 108,
                    "chain_acn2": 108,
                    "chain_rate1": "99000.1",
                    "chain_rate2": "0",
                    "fan1": 5640,
                }
                | {"temp_chip1": "70-61-61-70", "temp_chip2": "0-0-0-0", "temp_pcb1": "55-50"},
            ]
        },
    }


@pytest.mark.parametrize(
    ("power", "watts", "origin"),
    [
        ({"PSU": True, "Watts": 3507}, 3507, PowerOrigin.PSU_MEASURED),
        ({"PSU": False, "Watts": 3507}, 3507, PowerOrigin.FIRMWARE_ESTIMATED),
        ({"Watts": 3507}, None, None),
        ({"PSU": "true", "Watts": 3507}, None, None),
        ({"PSU": True, "Watts": 0}, None, None),
        ({"PSU": True}, None, None),
    ],
)
def test_the_flag_says_where_the_watts_come_from(power: Any, watts: Any, origin: Any) -> None:
    found = luxos.parse(replies(power=power), 1)
    assert (found.power_w, found.power_origin) == (watts, origin)
    assert (watts is None) == bool(found.unknown.get("power_w"))


@pytest.mark.parametrize(
    ("ghs", "config", "state"),
    [
        (198300.25, {}, State.MINING),
        (0, {"CurtailMode": "Sleep"}, State.SLEEPING),
        (0, {"CurtailMode": "Idle"}, State.IDLE),
        (0, {"SystemStatus": "Initializing"}, State.STARTING),
        (0, {"SystemStatus": "Overheated"}, State.OVERHEAT),
        (0, {}, State.IDLE),
        ("nan", {}, State.UNKNOWN),
    ],
)
def test_state(ghs: Any, config: dict[str, Any], state: State) -> None:
    assert luxos.parse(replies(ghs=ghs, config=config), 1).state is state


def test_identity_hardware_and_the_version_that_every_reply_carries() -> None:
    found = luxos.parse(replies(), 1)
    assert (found.make, found.model, found.firmware) == ("Bitmain", "Antminer S21", "LuxOS 2026.1.15.120000")
    assert (found.mac, found.serial, found.hostname) == ("02:aa:bb:cc:dd:08", "SMTTYHIBDJAAI0042", "row-8")
    assert (found.boards_total, found.boards_hashing, found.chips) == (2, 1, 216)
    assert (found.chip_temps_c, found.board_temps_c, found.fans_rpm) == ((70.0,), (55.0,), (5640,))
    assert [pool.active for pool in found.pools] == [False]


def test_a_mean_since_start_is_no_present_rate() -> None:
    found = luxos.parse(replies(ghs=None), 1)
    assert found.hashrate_hs is None and found.unknown["hashrate_hs"]


def test_one_connection_at_either_depth() -> None:
    device = Device(commands=replies())

    async def both(access: Access) -> None:
        full: Reading = await luxos.read("127.0.0.1", access, full=True)
        assert full.mac and full.unknown == {}
        assert (await luxos.read("127.0.0.1", access, full=False)).mac is None

    device.serve(both)
    assert device.asked == [
        "summary+pools+power+config+stats+version+devs",
        "summary+pools+power+config+stats",
    ]


def test_a_device_that_does_not_join_is_asked_one_by_one_and_remembered() -> None:
    device = Device(commands=replies(), joins=False)

    async def twice(access: Access) -> None:
        for _ in range(2):
            assert (await luxos.read("127.0.0.1", access, full=False)).power_w == 3507

    device.serve(twice)
    assert len(device.asked) == 1 + 2 * len(luxos.SWEEP)


def test_a_part_that_is_refused_is_a_reason() -> None:
    commands = {name: reply for name, reply in replies().items() if name != "power"}
    found = Device(commands=commands).serve(lambda access: luxos.read("127.0.0.1", access, full=False))
    assert found.hashrate_hs and "Invalid command" in found.unknown["power_w"]


@pytest.mark.parametrize(
    ("summary", "error"),
    [
        ({"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied"}]}, AuthError),
        ({"STATUS": [{"STATUS": "E", "Code": 23, "Msg": "Warming up"}]}, ProtocolError),
    ],
)
def test_a_locked_summary_is_a_failure(summary: Any, error: type[Exception]) -> None:
    device = Device(commands={"summary": summary})
    with pytest.raises(error):
        device.serve(lambda access: luxos.read("127.0.0.1", access, full=False))
