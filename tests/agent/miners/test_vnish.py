"""VNish: its pages, its lock, and what is left of it on 4028."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from agent.miners import registry, vnish
from agent.readings import AuthError, PowerOrigin, Reading, State
from agent.transports.access import Access
from tests.agent.miners.faking import Device

INFO = {
    "miner": "Antminer S19 Pro",
    "fw_name": "Vnish",
    "fw_version": "1.2.6",
    "algorithm": "sha256d",
    "hr_measure": "GH/s",
    "serial": "N/A",
    "system": {"network_status": {"mac": "02:AA:BB:CC:DD:09", "hostname": "row-9"}, "uptime": "3 days, 1:55"},
}
MINER = {
    "miner_type": "Antminer S19 Pro (Vnish 1.2.6)",
    "miner_status": {"miner_state": "mining"},
    "hr_realtime": 109250.75,
    "hr_nominal": 110000,
    "power_usage": 3188,
    "power_consumption": 3188,
    "psu": {"psu_power_metering": False},
    "pools": [
        {"url": "p.example:3333", "user": "u.9", "status": "active", "pool_type": "UserPool", "accepted": 5},
        {"url": "q.example:3333", "user": "u.9", "status": "working", "pool_type": "UserPool"},
        {"url": "DevFee", "user": "DevFee", "status": "active", "pool_type": "DevFee"},
    ],
    "chains": [
        {
            "hashrate_rt": 54600,
            "chip_temp": {"max": 71},
            "pcb_temp": {"max": 58},
            "chip_statuses": {"grey": 114},
        },
        {"hashrate_rt": 0, "chip_statuses": {"red": 2, "orange": 1, "grey": 111}},
    ],
    "cooling": {"fans": [{"rpm": 5880}, {"rpm": 0}]},
}
SUMMARY = {"SUMMARY": [{"Elapsed": 4423, "GHS 5s": 109250.75, "GHS av": 108000}]}
STATS = {
    "STATS": [
        {"Type": "Antminer S19 Pro (Vnish 1.2.6)"},
        {"state": "mining", "chain_consumption1": 1060, "chain_consumption2": 1066, "chain_acn1": 114},
    ]
}
POOLS = {"POOLS": [{"URL": "DevFee", "User": "DevFee", "Stratum Active": True}]}
COMMANDS = {"summary": SUMMARY, "stats": STATS, "pools": POOLS}
PAGES = {"/api/v1/info": INFO, "/api/v1/summary": {"miner": MINER}}


def of(info: dict[str, Any] | None = None, **miner: Any) -> Reading:
    return vnish.parse(
        {"web": {"miner": MINER | miner}, "info": INFO | (info or {}), "summary": SUMMARY}, 1, full=True
    )


def poll(device: Device, *, full: bool = True, word: str = "admin") -> Reading:
    found: Reading = device.serve(
        lambda access: vnish.read("127.0.0.1", access, full=full),
        credentials={"vnish": ("admin", word)},
    )
    return found


@pytest.mark.parametrize(
    ("supply", "origin"),
    [
        ({"psu_power_metering": True}, PowerOrigin.PSU_MEASURED),
        ({"psu_power_metering": False}, PowerOrigin.FIRMWARE_ESTIMATED),
        ({"psu_power_metering": "yes"}, PowerOrigin.FIRMWARE_ESTIMATED),
        ({}, PowerOrigin.FIRMWARE_ESTIMATED),
        (None, PowerOrigin.FIRMWARE_ESTIMATED),
    ],
)
def test_metered_only_where_it_says_so(supply: Any, origin: PowerOrigin) -> None:
    found = of(psu=supply)
    assert (found.power_w, found.power_origin) == (3188, origin)


def test_either_key_of_the_watts_will_do_and_zero_is_none() -> None:
    assert of(power_usage=None).power_w == 3188
    assert of(power_usage=0, power_consumption=0).unknown["power_w"]


@pytest.mark.parametrize(
    ("told", "rate", "state"),
    [
        ("mining", 109250.75, State.MINING),
        ("auto-tuning", 100, State.MINING),
        ("initializing", 0, State.STARTING),
        ("restarting", 0, State.STARTING),
        ("stopped", 0, State.SLEEPING),
        ("failure", 0, State.FAULT),
        ("dancing", 0, State.UNKNOWN),
        (None, 100, State.MINING),
    ],
)
def test_state(told: Any, rate: float, state: State) -> None:
    found = of(miner_status={"miner_state": told}, hr_realtime=rate)
    assert found.state is state and found.hashrate_hs == pytest.approx(rate * 1e9)


@pytest.mark.parametrize(
    ("kind", "measure", "hashrate_hs"),
    [
        ("Antminer S19 Pro (Vnish 1.2.6)", "N/A", 9500e9),
        ("Antminer L7 (Vnish 1.2.6)", "MH/s", 9500e6),
        ("Antminer L7 (Vnish 1.2.6)", None, None),
        ("Antminer X99 (Vnish 1.2.6)", None, None),
    ],
)
def test_the_unit_is_read_and_not_guessed(kind: str, measure: Any, hashrate_hs: float | None) -> None:
    found = of({"hr_measure": measure, "algorithm": None}, miner_type=kind, hr_realtime=9500)
    assert found.hashrate_hs == (None if hashrate_hs is None else pytest.approx(hashrate_hs))


def test_identity_pools_and_the_fee() -> None:
    found = of()
    assert (found.make, found.model, found.firmware) == ("Bitmain", "Antminer S19 Pro", "VNish 1.2.6")
    assert (found.mac, found.serial, found.hostname) == ("02:aa:bb:cc:dd:09", None, "row-9")
    assert found.unknown["serial"] and found.uptime_s == 4423
    assert [(pool.url, pool.active, pool.fee) for pool in found.pools] == [
        ("p.example:3333", True, None),
        ("q.example:3333", False, None),
        ("DevFee", True, True),
    ]
    assert (found.boards_total, found.boards_hashing, found.chips) == (2, 1, 228)
    assert (found.chip_temps_c, found.board_temps_c, found.fans_rpm) == ((71.0,), (58.0,), (5880,))


def test_a_product_under_another_name_keeps_it() -> None:
    assert of({"fw_name": "7Miners", "fw_version": "1.2.6"}).firmware == "7Miners 1.2.6"
    row = {"Type": "Antminer T21 (Vnish 1.2.4)"}
    found = vnish.parse({"summary": SUMMARY, "stats": {"STATS": [row]}}, 1)
    assert (found.model, found.firmware) == ("Antminer T21", "VNish 1.2.4")


def test_a_sweep_takes_a_page_and_a_connection_and_remembers_the_unit() -> None:
    l7 = {"miner": MINER | {"miner_type": "Antminer L7 (Vnish 1.2.6)", "hr_realtime": 9500}}
    pages = {"/api/v1/info": INFO | {"hr_measure": "MH/s"}, "/api/v1/summary": l7}
    device = Device(pages, COMMANDS)

    async def full_then_sweep(access: Access) -> None:
        for full in (True, False):
            found = await vnish.read("127.0.0.1", access, full=full)
            assert found.hashrate_hs == pytest.approx(9500e6) and (found.mac is not None) == full

    device.serve(full_then_sweep)
    assert device.asked[-2:] == ["GET /api/v1/summary", "summary"]


def locked(page: Any) -> Any:
    return lambda request, _: page if request.headers.get("Authorization") == "Bearer t0k3n" else 401


def unlock(_: web.Request, sent: Any) -> Any:
    return {"token": "t0k3n"} if sent == {"pw": "admin"} else 403


LOCKED = {path: locked(page) for path, page in PAGES.items()} | {"/api/v1/unlock": unlock}


def test_a_locked_device_is_unlocked_once() -> None:
    device = Device(LOCKED, COMMANDS)
    found = poll(device)
    assert found.mac and found.power_w == 3188
    assert device.asked.count("POST /api/v1/unlock") == 1


def test_a_refused_password_leaves_what_4028_says() -> None:
    found = poll(Device(LOCKED, COMMANDS), word="other")
    assert found.hashrate_hs == pytest.approx(109250.75e9) and found.uptime_s == 4423
    assert (found.power_w, found.power_origin) == (2126, PowerOrigin.FIRMWARE_ESTIMATED)
    assert found.mac is None and "unlock: HTTP 403" in found.unknown["mac"]
    assert [pool.fee for pool in found.pools] == [True]


def test_a_refused_password_is_said_where_there_is_nothing_else() -> None:
    with pytest.raises(AuthError):
        poll(Device(LOCKED), word="other")


def test_equal_chains_may_be_one_reading_divided_and_have_no_origin() -> None:
    row = {"state": "mining", "chain_consumption1": 861, "chain_consumption2": 861, "chain_consumption3": 861}
    found = vnish.parse({"summary": SUMMARY, "stats": {"STATS": [{"Type": "x (Vnish 1)"}, row]}}, 1)
    assert found.power_w is None and found.unknown["power_w"]


def test_the_page_alone_has_no_uptime() -> None:
    found = poll(Device(PAGES))
    assert found.power_w == 3188 and found.uptime_s is None and found.unknown["uptime_s"]
    assert Device(PAGES).serve(lambda access: registry.identify("127.0.0.1", access)) == "vnish"


def test_version_3_on_an_s9_is_read_from_its_stats_alone() -> None:
    kind = {"Type": "Antminer S9 (vnish 3.9.1)"}
    slots = {"chain_acn1": 0, "chain_rate1": "", "temp1": 0, "fan1": 0, "fan5": 4920, "fan6": 5160}
    for n, rate in ((6, "4410.25"), (7, "4398.50"), (8, "0.00")):
        slots |= {f"chain_acn{n}": 63, f"chain_rate{n}": rate, f"temp{n}": 50 + n, f"temp2_{n}": 66 + n}
    stats = {"STATS": [kind, {"Elapsed": 5120, "GHS 5s": "8808.75", "GHS av": 8790.5, **slots}]}
    assert vnish.recognise({"stats": stats})
    reading = vnish.parse({"stats": stats, "version": {"VERSION": [kind]}}, 0)
    assert (reading.hashrate_hs, reading.uptime_s, reading.state) == (8808.75e9, 5120, State.MINING)
    assert (reading.model, reading.firmware) == ("Antminer S9", "VNish 3.9.1")
    assert (reading.boards_total, reading.boards_hashing, reading.chips) == (3, 2, 189)
    assert (reading.board_temps_c, reading.chip_temps_c) == ((56, 57, 58), (72, 73, 74))
    assert reading.fans_rpm == (4920, 5160)


def test_an_early_page_holds_rate_address_and_sensors_in_its_own_way() -> None:
    sensors = [{"status": "measure", "temp": 31}, {"status": "error", "temp": 90}]
    miner = {
        "miner_type": "Antminer S19 (Vnish 1.1.4)",
        "miner_status": {"miner_state": "mining"},
        "instant_hashrate": 88.25,
        "power_usage": 3011.0,
        "chains": [{"hashrate_rt": 44125.5, "pcb_temp_sens": sensors, "chip_temp": {"max": 62}}],
    }
    system = {"network_status": {"mac": "02:AA:BB:CC:DD:19", "hostname": "row-19"}}
    found = vnish.parse({"web": {"miner": miner, "system": system}}, 1)
    assert found.hashrate_hs == pytest.approx(88.25e12)
    assert (found.mac, found.hostname, found.firmware) == ("02:aa:bb:cc:dd:19", "row-19", "VNish 1.1.4")
    assert (found.power_w, found.power_origin) == (3011, PowerOrigin.FIRMWARE_ESTIMATED)
    assert (found.board_temps_c, found.chip_temps_c) == ((31,), (62,))
    scrypt = vnish.parse({"web": {"miner": miner | {"miner_type": "Antminer L7 (Vnish 1.1.4)"}}}, 1)
    assert scrypt.hashrate_hs is None and "hashrate_hs" in scrypt.unknown
