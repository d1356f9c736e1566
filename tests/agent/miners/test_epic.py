"""ePIC PowerPlay: what its watts are, what it does when it does not mine, and its web at 4028."""

from __future__ import annotations

from typing import Any

import pytest

from agent.miners import epic, registry
from agent.readings import PowerOrigin, ProtocolError, Reading, State
from agent.transports.access import Access
from tests.agent.miners.faking import Device

SUPPLY = {"Input Power": 3120.5, "Input Voltage": 0.0, "Input Current": 0.0, "Target Voltage": 12600}
SUMMARY: dict[str, Any] = {
    "Software": "PowerPlay-BMS v1.9.0",
    "Hostname": "row-10",
    "Status": {"Operating State": "Mining", "Last Error": None},
    "Session": {"Uptime": 7200, "Accepted": 12, "Rejected": 1, "Average MHs": 99000000, "Active HBs": 2},
    "HBs": [{"Hashrate": [50100000.5, 101, 0.1], "Temperature": 61.5}, {"Hashrate": [49900000.0, 99, 0.2]}],
    "HBStatus": [{"Detected": True}, {"Detected": True}, {"Detected": False}],
    "Power Supply Stats": SUPPLY,
    "PresetInfo": {"Target Power": 3300},
    "Fans Rpm": {"Fans Speed 1": 5971, "Fans Speed 2": 0, "Fans Speed 3": None},
    "Stratum": {"Config Id": 1, "IsPoolConnected": True, "Current Pool": "q.example:2"},
    "StratumConfigs": [
        {"pool": "stratum+tcp://p.example:1", "login": "u.10"},
        {"pool": "stratum+tcp://q.example:2", "login": "u.10"},
    ],
}
CAPABILITIES: dict[str, Any] = {
    "Model": "AntMiner S19J Pro",
    "Board Serial Numbers": ["BRDXQ26BDJ7", None],
    "Control Board Version": {"cpuSerial": "00200035323251b60a498827"},
    "Psu Info": {"PSU Serial": "PSUXQ26BDJ7"},
}
NETWORK = {"static": {"address": "192.0.2.7", "mac_address": "02:AA:BB:CC:DD:10"}}
PAGES = {"/summary": SUMMARY, "/capabilities": CAPABILITIES, "/network": NETWORK}


def of(about: dict[str, Any] | None = None, **summary: Any) -> Reading:
    return epic.parse(
        {"summary": SUMMARY | summary, "capabilities": CAPABILITIES | (about or {}), "network": NETWORK}, 1
    )


@pytest.mark.parametrize(
    ("about", "supply", "origin"),
    [
        ({"True Power": True}, {}, PowerOrigin.PSU_MEASURED),
        (
            {"True Power": False},
            {"Input Voltage": 231.5, "Input Current": 13.5},
            PowerOrigin.FIRMWARE_ESTIMATED,
        ),
        ({}, {"Input Voltage": 231.5, "Input Current": 13.5}, PowerOrigin.PSU_MEASURED),
        ({}, {"Input Voltage": 231.5}, PowerOrigin.FIRMWARE_ESTIMATED),
        ({}, {}, PowerOrigin.FIRMWARE_ESTIMATED),
    ],
)
def test_what_the_watts_are(about: Any, supply: Any, origin: PowerOrigin) -> None:
    found = of({"Psu Info": about}, **{"Power Supply Stats": SUPPLY | supply})
    assert (found.power_w, found.power_origin) == (3120.5, origin)


@pytest.mark.parametrize(
    ("told", "boards", "state", "hashrate_hs"),
    [
        ({"Operating State": "Mining"}, SUMMARY["HBs"], State.MINING, 100000000.5e6),
        ({"Operating State": "AdjustingClockVoltage"}, SUMMARY["HBs"], State.MINING, 100000000.5e6),
        ({"Operating State": "Mining"}, [{"Hashrate": [0, 0, 0]}], State.UNKNOWN, 0.0),
        ({"Operating State": "Initializing"}, [], State.STARTING, None),
        ({"Operating State": "Idling"}, [], State.IDLE, 0.0),
        (
            {"Operating State": "Idling", "Last Error": {"ShutdownTempReached": [0, 85]}},
            [],
            State.OVERHEAT,
            0.0,
        ),
        ({"Operating State": "UpdatingFirmware"}, [], State.UNKNOWN, None),
        ({}, SUMMARY["HBs"], State.MINING, 100000000.5e6),
        ({"Operating State": "Mining"}, [{"Hashrate": [1, 2, 3]}, {"Hashrate": "1"}], State.UNKNOWN, None),
    ],
)
def test_state(told: Any, boards: Any, state: State, hashrate_hs: float | None) -> None:
    found = of(Status=told, HBs=boards)
    assert found.state is state
    assert found.hashrate_hs == (None if hashrate_hs is None else pytest.approx(hashrate_hs))


def test_identity_and_hardware() -> None:
    found = of()
    assert (found.make, found.model, found.firmware) == (
        "Bitmain",
        "Antminer S19j Pro",
        "PowerPlay-BMS v1.9.0",
    )
    assert (found.mac, found.hostname, found.psu_serial) == ("02:aa:bb:cc:dd:10", "row-10", "PSUXQ26BDJ7")
    assert found.serial is None and "cpuSerial" in found.unknown["serial"]
    assert of({"Miner Serial Number": "SMTTYHIBDJAAI0043"}).serial == "SMTTYHIBDJAAI0043"
    assert of({"Model": "ePIC BlockMiner 520i"}).model == "BlockMiner 520i"
    assert (found.boards_total, found.boards_hashing, found.board_serials) == (2, 2, ("BRDXQ26BDJ7",))
    assert (found.board_temps_c, found.fans_rpm) == ((61.5,), (5971,))


def test_the_pool_in_use_is_told_by_its_number() -> None:
    assert [(pool.user, pool.active, pool.accepted) for pool in of().pools] == [
        ("u.10", False, None),
        ("u.10", True, None),
    ]
    off = {"Config Id": 0, "IsPoolConnected": False}
    assert [pool.active for pool in of(Stratum=off).pools] == [False, False]
    (only,) = of(Stratum=off, StratumConfigs=SUMMARY["StratumConfigs"][:1]).pools
    assert (only.accepted, only.rejected) == (12, 1)


@pytest.mark.parametrize("listed", [None, []])
def test_the_pool_in_use_is_read_where_no_list_is_given(listed: Any) -> None:
    now = {"Current Pool": "stratum+tcp://p.example:3333", "Current User": "u.10", "IsPoolConnected": True}
    (only,) = of(Stratum=now, StratumConfigs=listed).pools
    assert (only.url, only.user, only.active) == ("stratum+tcp://p.example:3333", "u.10", True)
    nobody = of(Stratum={"Current Pool": None, "Current User": ""}, StratumConfigs=listed)
    assert nobody.pools == () and "pools" in nobody.unknown


def test_a_sweep_is_one_page_and_remembers_what_the_watts_are() -> None:
    pages = PAGES | {"/capabilities": CAPABILITIES | {"Psu Info": {"True Power": True}}}
    device = Device(pages)

    async def full_then_sweep(access: Access) -> None:
        for full in (True, False):
            found = await epic.read("127.0.0.1", access, full=full)
            assert found.power_origin is PowerOrigin.PSU_MEASURED and (found.mac is not None) == full

    device.serve(full_then_sweep, web_at_4028=True)
    assert device.asked == ["GET /summary", "GET /capabilities", "GET /network", "GET /summary"]


def test_a_web_at_the_port_of_the_cgminer_api_is_told_by_its_page() -> None:
    def identified(device: Device) -> Any:
        return device.serve(lambda access: registry.identify("127.0.0.1", access), web_at_4028=True)

    assert identified(Device(PAGES)) == "epic"
    with pytest.raises(ProtocolError):
        identified(Device({"/summary": 500}))
