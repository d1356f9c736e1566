"""Kin of cgminer and makers with pages of their own: what they tell is read, and nothing beyond."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from agent.miners import (
    auradine,
    fluminer,
    generic,
    goldshell,
    hiveon,
    innosilicon,
    marafw,
    proto,
    registry,
    sealminer,
)
from agent.readings import Locked, PowerOrigin, Reading, State
from tests.agent.miners.faking import Device

STATUS = [{"STATUS": "S", "When": 1_700_000_100, "Description": "cgminer 4.10.0"}]
POOL = {"URL": "stratum+tcp://p.example:3333", "User": "farm.1", "Status": "Alive", "Stratum Active": True}
POOLS = {"STATUS": STATUS, "POOLS": [POOL]}


def identified(device: Device) -> str:
    name: str = device.serve(lambda access: registry.identify("127.0.0.1", access))
    return name


def read(family: str, device: Device, *, full: bool = True) -> Reading:
    found: Reading = device.serve(lambda access: registry.read("127.0.0.1", family, access, full=full))
    return found


def chain(number: int, **values: Any) -> dict[str, Any]:
    return {"STATS": number, "ID": f"DT1{number}", "Elapsed": 900, "Chain ID": number, **values}


def test_a_program_without_a_name_is_read_by_its_labels() -> None:
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 900, "MHS 20s": 620.5, "MHS av": 615.25}]}
    device = Device(commands={"summary": summary, "pools": POOLS})
    assert identified(device) == "cgminer"
    found = read("cgminer", device)
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(620.5e6), "20s")
    assert (found.state, found.uptime_s, found.pools[0].active) == (State.MINING, 900, True)
    assert (found.power_w, found.model, found.make) == (None, None, None)


def test_chains_that_know_their_mean_alone_are_summed_and_show_no_state() -> None:
    rows = [chain(0, **{"MHS av": 5e6}), chain(1, **{"MHS av": 4e6}), {"ID": "POOL0", "Elapsed": 900}]
    device = Device(commands={"stats": {"STATUS": STATUS, "STATS": rows}})
    assert identified(device) == "cgminer"
    found = read("cgminer", device)
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(9e12), "since start")
    assert found.state is State.UNKNOWN and "state" in found.unknown


def test_chains_that_multiply_their_cores_by_the_clock_have_measured_nothing() -> None:
    rows = [chain(n, **{"MHS av": 2304 * 2640.0, "Num cores": 2304, "PLL": 1320}) for n in range(3)]
    found = generic.parse({"stats": {"STATS": rows}}, 1)
    assert found.hashrate_hs is None and found.uptime_s == 900
    measured = [row | {"MHS av": 6_082_561.5} for row in rows]
    assert generic.parse({"stats": {"STATS": measured}}, 1).hashrate_hs is not None


def test_rows_of_stats_that_are_no_chains_are_not_summed() -> None:
    rows = [{"ID": "total", "Elapsed": 900, "GHS 5s": 10.5}, {"ID": "half", "Elapsed": 900, "GHS 5s": 5.25}]
    found = generic.parse({"stats": {"STATS": rows}}, 1)
    assert found.hashrate_hs is None


def test_a_mean_is_no_rate_where_the_present_one_cannot_be_read() -> None:
    row = {"Elapsed": 900, "MHS 5s": "nan", "MHS av": 5e6}
    found = generic.parse({"summary": {"SUMMARY": [row]}}, 1)
    assert found.hashrate_hs is None and found.state is State.UNKNOWN


def test_boards_are_summed_where_nobody_sums_them() -> None:
    devs = [{"ASC": n, "Enabled": "Y", "MHS 5s": 1e6, "Temperature": 60.5} for n in range(3)]
    devs.append({"ASC": 3, "Enabled": "N", "MHS 5s": 0})
    found = generic.parse({"devs": {"DEVS": devs}}, 1)
    assert found.hashrate_hs == pytest.approx(3e12) and found.chip_temps_c == (60.5, 60.5, 60.5)


def test_a_program_that_tells_its_version_alone_is_locked() -> None:
    denied = {"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied to 'summary' command"}]}
    commands = {"version": {"STATUS": STATUS, "VERSION": [{"API": "3.7", "CGMiner": "4.10.0"}]}}
    device = Device(commands=commands | dict.fromkeys(("summary", "stats", "devs", "pools"), denied))
    with pytest.raises(Locked):
        read(identified(device), device)


def test_early_braiins_os_is_told_by_its_type() -> None:
    row = {"BMMiner": "bOS_am1-s9-20190124-0", "Miner": "bOS_am1-s9-20190124-0", "Type": "braiins-am1-s9"}
    stats = {"STATS": [row, {"ID": "BC50", "Elapsed": 900, "GHS 5s": "13754.03"}]}
    found = generic.parse({"stats": stats}, 1)
    assert (found.make, found.model, found.firmware) == ("Bitmain", "Antminer S9", "bOS_am1-s9-20190124-0")
    assert found.hashrate_hs == pytest.approx(13754.03e9)


@pytest.mark.parametrize(
    ("kind", "model", "firmware"),
    [
        ("Antminer S9 Hiveon", "Antminer S9", "Fri Jul 9 2021"),
        ("S19-88 v.2.6.0.39 ", "Antminer S19", "MSKMiner 2.6.0.39"),
    ],
)
def test_hiveon_and_its_kin(kind: str, model: str, firmware: str) -> None:
    about = {"BMMiner": "2.0.0 rwglr", "CompileTime": "Fri Jul 9 2021", "Type": kind}
    row = {"ID": "BC50", "Elapsed": 900, "GHS 5s": "13000.5", "chain_acn1": 63, "total_power": 1345}
    device = Device(
        commands={"stats": {"STATUS": STATUS, "STATS": [about, row | {"psu_status": "PSU power lost"}]}},
        pages={"/cgi-bin/get_system_info.cgi": {"macaddr": "02:00:00:00:00:21", "minertype": "Antminer S19"}},
    )
    assert identified(device) == "hiveon"
    found = read("hiveon", device)
    assert (found.make, found.model, found.firmware) == ("Bitmain", model, firmware)
    assert (found.power_w, found.power_origin) == (1345, PowerOrigin.FIRMWARE_ESTIMATED)
    assert (found.hashrate_hs, found.mac) == (pytest.approx(13000.5e9), "02:00:00:00:00:21")
    assert read("hiveon", device, full=False).power_w == 1345


def test_mskminer_has_its_mac_behind_a_login_of_its_own() -> None:
    def login(_request: web.Request, sent: Any) -> Any:
        answer = web.json_response({})
        answer.set_cookie("session", "s-1" if sent == "username=admin&password=root" else "no")
        return answer

    def info(request: web.Request, _: Any) -> Any:
        known = request.method == "POST" and request.cookies.get("session") == "s-1"
        return {"network_info": {"result": {"macaddr": "02:00:00:00:00:2A"}}} if known else 401

    about = {"BMMiner": "4.11.1 rwglr", "Type": "S19-88 v.2.6.0.39 "}
    row = {"ID": "BC50", "Elapsed": 900, "GHS 5s": 99989.5, "total_power": 3358}
    device = Device(
        commands={"stats": {"STATUS": STATUS, "STATS": [about, row]}},
        pages={"/admin/login": login, "/api/info_v1": info},
    )
    assert read("hiveon", device).mac == "02:00:00:00:00:2a"
    assert not any("login" in request for request in _asked_in_a_sweep("hiveon", device))


def _asked_in_a_sweep(family: str, device: Device) -> list[str]:
    device.asked.clear()
    read(family, device, full=False)
    return device.asked


def test_sealminer() -> None:
    signed = [{"STATUS": "S", "Description": "bdminer 4.11.1"}]
    row = {
        "ID": "A20",
        "Elapsed": 2481,
        "Model": "A2",
        "Firmware": "2025091001",
        "MAC": "02:00:00:00:00:22",
        "Ctrl Board SN": "S131900261004407",
        "PM State": "Running",
        "MHS(30s)": 218310254.5,
        "PSU Input Power": 3504,
        "PSU Output Power": 3232,
        "Power Limit": 3500,
        "0 SN": "S131900261007715",
        "0 Chip Count": 153,
        "0 MHS(Sample)": 72611048.0,
    }
    summary = {"STATUS": signed, "SUMMARY": [{"Elapsed": 2481, "MHS 5s": 351208117.75}]}
    device = Device(commands={"summary": summary, "stats": {"STATUS": signed, "STATS": [row]}})
    assert identified(device) == "sealminer"
    found = read("sealminer", device)
    assert (found.make, found.model, found.serial) == ("Bitdeer", "SealMiner A2", None)
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(218310254.5e6), "30s")
    assert (found.power_w, found.power_origin) == (3504, PowerOrigin.PSU_MEASURED)
    row |= {"PM State": "Sleep", "MHS(30s)": 0}
    asleep = sealminer.parse({"stats": {"STATS": [row]}}, 1)
    assert asleep.state is State.SLEEPING


def test_auradine_has_its_supply_and_its_name_behind_a_token() -> None:
    signed = [{"STATUS": "S", "Description": "GCMiner-2024-03.11-5b2f90d1"}]

    def token(_request: web.Request, sent: Any) -> Any:
        known = (sent["user"], sent["password"]) == ("admin", "admin")
        return {"STATUS": signed, "Token": [{"Token": "t-1"}]} if known else 401

    def behind(reply: dict[str, Any]) -> Any:
        return lambda request, _: reply if request.headers.get("Token") == "t-1" else 401

    supply = {"PowerIn": "3158.94W", "PowerOut": "3000.00W", "PoutMax": "3452.00W"}
    about = {"SerialNo": "AU25310042", "mac": "02:00:00:00:00:23", "model": "AT1500", "version": "2023-12.27"}
    summary = {"Elapsed": 56696, "MHS 5s": 21480355.5}
    device = Device(
        commands={"summary": {"STATUS": signed, "SUMMARY": [summary]}, "pools": POOLS},
        pages={
            "/token": token,
            "/psu": behind({"PSU": [supply]}),
            "/ipreport": behind({"IPReport": [about]}),
            "/mode": behind({"Mode": [{"Sleep": "on"}]}),
        },
    )
    assert identified(device) == auradine.FAMILY
    found = read("auradine", device)
    assert (found.power_w, found.power_origin) == (3158.94, PowerOrigin.PSU_MEASURED)
    assert (found.serial, found.model, found.mac) == ("AU25310042", "AT1500", "02:00:00:00:00:23")
    assert (found.hashrate_hs, found.state) == (pytest.approx(21480355.5e6), State.MINING)
    summary |= {"MHS 5s": 0}
    assert read("auradine", device, full=False).state is State.SLEEPING


def test_proto_rig() -> None:
    status = {
        "status": "Mining",
        "mining_uptime_s": 28,
        "hashrate_ghs": 143206.5,
        "power_usage_watts": 3447.5,
    }
    pages = {
        "/api/v1/system": {
            "system-info": {"product_name": "Proto Rig", "manufacturer": "Proto", "cb_sn": "X1"}
        },
        "/api/v1/mining": {
            "mining-status": status | {"power_target_watts": 3400, "ideal_hashrate_ghs": 145000}
        },
        "/api/v1/network": {"network-info": {"mac": "02:00:00:00:00:26", "hostname": "rig-1"}},
        "/api/v1/pools": {
            "pools": [{"url": "stratum+tcp://a:1", "user": "u", "status": "Active", "priority": 0}]
        },
    }
    device = Device(pages=pages)
    assert identified(device) == proto.FAMILY
    found = read("proto", device)
    assert (found.make, found.model, found.mac) == ("Proto", "Proto Rig", "02:00:00:00:00:26")
    assert (found.power_w, found.power_origin) == (3447.5, PowerOrigin.PSU_MEASURED)
    assert (found.hashrate_hs, found.state) == (pytest.approx(143206.5e9), State.MINING)
    assert found.pools[0].active is True and found.serial is None


def test_marafw_says_itself_that_it_estimates() -> None:
    brief = {"status": "Mining", "elapsed": 900, "hashrate_realtime": 101.5, "hashrate_ideal": 110.0}
    got: dict[str, Any] = {"brief": brief | {"power_consumption_estimated": 3010.5}}
    got["pool_list"] = {"items": [{"index": 0, "url": "a:1", "user": "u", "status": "Alive"}]}
    got["overview"] = {"model": "Antminer S19", "mac": "02:00:00:00:00:27", "version_firmware": "1.4"}
    found = marafw.parse(got, 1)
    assert (found.power_w, found.power_origin) == (3010.5, PowerOrigin.FIRMWARE_ESTIMATED)
    assert (found.hashrate_hs, found.model) == (pytest.approx(101.5e12), "Antminer S19")
    assert found.pools[0].active is True


def test_marafw_reads_its_unit_and_where_its_watts_come_from() -> None:
    brief = {"status": "Mining", "elapsed": 900, "hashrate_realtime": 12_500.5, "hashrate_unit": "GH/s"}
    brief |= {"power_consumption_estimated": 1900, "power_source": "PSU"}
    found = marafw.parse({"brief": brief}, 1, full=False)
    assert found.hashrate_hs == pytest.approx(12_500.5e9)
    assert (found.power_w, found.power_origin) == (1900, PowerOrigin.PSU_MEASURED)
    asleep = brief | {"status": "Sleep", "hashrate_realtime": 0, "power_source": "EST"}
    found = marafw.parse({"brief": asleep}, 1, full=False)
    assert (found.state, found.power_origin) == (State.SLEEPING, PowerOrigin.FIRMWARE_ESTIMATED)
    assert marafw.parse({"brief": brief | {"hashrate_unit": None}}, 1, full=False).hashrate_hs is None
    del brief["hashrate_realtime"]
    found = marafw.parse({"brief": brief | {"hashrate_realtime_10m": 12.4, "hashrate_unit": "TH/s"}}, 1)
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(12.4e12), "10m")


def test_fluminer_has_its_pools_behind_a_session() -> None:
    row = {
        "pool": "p.example",
        "port": "3333",
        "poolAlive": "1",
        "hrt": "109812.5",
        "acc": "109",
        "model": "T3",
    }
    about = {"model": "T3", "sn": "HYT417305C11H10S12B0410713", "minerVersion": "V1.12"}

    def pools(request: web.Request, _: Any) -> Any:
        if request.cookies.get("session") != "s-1":
            return 401
        urls = ("stratum2+tcp://p.example:3333/key", "stratum+tcp://not-p.example:3333")
        return {"code": 0, "data": {"pools": [{"url": url, "user": "farm.1"} for url in urls]}}

    def login(_request: web.Request, _: Any) -> Any:
        answer = web.json_response({"code": 0})
        answer.set_cookie("session", "s-1")
        return answer

    pages = {
        "/api/overview": {"code": 0, "data": {"minerInfo": about | {"macAddress": "02:00:00:00:00:28"}}},
        "/api/summary": {"code": 0, "data": {"summary": [row | {"power": "1723.41", "uptime": "98063"}]}},
        "/api/getPools": pools,
        "/api/login": login,
    }
    device = Device(pages=pages)
    assert identified(device) == fluminer.FAMILY
    found = read("fluminer", device)
    assert (found.model, found.serial) == ("Fluminer T3", "HYT417305C11H10S12B0410713")
    assert (found.hashrate_hs, found.state) == (pytest.approx(109812.5e9), State.MINING)
    assert [(pool.active, pool.accepted) for pool in found.pools] == [(True, 109), (False, None)]
    assert found.power_w is None and "origin" in found.unknown["power_w"]
    scrypt = fluminer.parse({"summary": {"data": {"summary": [row | {"model": "L1", "uptime": 9}]}}}, 1)
    assert scrypt.hashrate_hs is None and "unit" in scrypt.unknown["hashrate_hs"]


@pytest.mark.parametrize("family", [hiveon, sealminer, auradine, goldshell, innosilicon, marafw])
def test_each_is_told_from_plain_cgminer(family: Any) -> None:
    assert not family.recognise(
        {"version": {"STATUS": STATUS, "VERSION": [{"CGMiner": "4.10.0", "API": "3.7"}]}}
    )
