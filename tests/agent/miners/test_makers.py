"""Makers that are nobody's kin, or have pages of their own beside cgminer's API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from agent.miners import (
    elphapex,
    goldshell,
    iceriver,
    innosilicon,
    ipollo,
    jasminer,
    registry,
    spondoolies,
)
from agent.readings import PowerOrigin, State
from tests.agent.miners.faking import Device
from tests.agent.miners.test_kin import POOL, POOLS, STATUS, identified, read


def test_goldshell() -> None:
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 120, "MHS 20s": 2050.5}]}
    pages = {
        "/mcb/status": {"model": "Goldshell-LT5", "firmware": "2.2.0"},
        "/mcb/setting": {"name": "02:00:00:00:00:24"},
    }
    board = {"Enabled": "Y", "tstemp-0": 86.0, "tstemp-2": 74.25, "fan0": 3300, "fan1": 0}
    commands = {"summary": summary, "pools": POOLS, "devs": {"STATUS": STATUS, "DEVS": [board, board]}}
    commands["devdetails"] = {"STATUS": STATUS, "DEVDETAILS": [{"ID": n, "chips-nr": 84} for n in range(2)]}
    device = Device(commands=commands, pages=pages)
    assert identified(device) == goldshell.FAMILY
    found = read("goldshell", device)
    assert (found.make, found.model, found.firmware) == ("Goldshell", "Goldshell LT5", "2.2.0")
    assert (found.chips, found.boards_total, found.fans_rpm) == (168, 2, (3300,))
    assert (found.chip_temps_c, found.board_temps_c) == ((86.0, 86.0), (74.25, 74.25))
    assert (found.mac, found.hashrate_hs, found.power_w) == (
        "02:00:00:00:00:24",
        pytest.approx(2050.5e6),
        None,
    )


def test_goldshell_is_told_by_its_program_where_its_pages_are_locked() -> None:
    signed = [{"STATUS": "S", "Description": "intminer 5.4.2"}]
    summary = {"STATUS": signed, "SUMMARY": [{"Elapsed": 120, "MHS 20s": 2050.5}]}
    pages = {"/mcb/status": 401, "/user/login": 401}
    device = Device(commands={"summary": summary, "pools": POOLS}, pages=pages)
    assert identified(device) == goldshell.FAMILY
    assert read("goldshell", device).hashrate_hs == pytest.approx(2050.5e6)
    root = web.Response(text="<html><title>cloud-box</title></html>", content_type="text/html")
    assert identified(Device(pages=pages | {"/": lambda *_: root})) == goldshell.FAMILY


def test_goldshell_over_its_pages_alone() -> None:
    boards = [{"id": n, "time": 77, "hashrate": 1e6, "av_hashrate": 9e5} for n in range(3)]
    pools = [
        {"url": "stratum+tcp://a:1", "user": "u.1", "active": True, "pool-priority": 0, "pass": "x"},
        {"url": "stratum+tcp://b:1", "user": "u.1", "active": False, "pool-priority": 1, "pass": "x"},
    ]
    plans = [{"info": "700 MHz 0.4 V", "level": 0}, {"info": "0 MHz 0 V", "level": 3}]
    setting = {"name": " 02:00:00:00:00:24", "select": 0, "manual": False, "powerplans": plans}
    pages = {
        "/mcb/status": {"model": "Goldshell-LT5", "firmware": "2.2.0"},
        "/mcb/setting": setting,
        "/mcb/cgminer": {"status": 2, "data": boards},
        "/mcb/pools": pools,
    }
    device = Device(pages=pages)
    assert identified(device) == goldshell.FAMILY
    found = read("goldshell", device)
    assert (found.hashrate_hs, found.state) == (pytest.approx(3e12), State.MINING)
    assert (found.mac, found.uptime_s) == ("02:00:00:00:00:24", None) and "unit" in found.unknown["uptime_s"]
    assert [pool.active for pool in found.pools] == [True, False]
    assert read("goldshell", device, full=False).hashrate_hs == pytest.approx(3e12)
    pages["/mcb/cgminer"] = {"minfos": [{"name": "A", "infos": [{"hashrate": 5}]}]}
    assert read("goldshell", device).hashrate_hs is None


@pytest.mark.parametrize(
    ("cipher", "password"), [("false", "123456789"), ("true", "bbad7537f4c8b6ea31eea0b3d760e257")]
)
def test_goldshell_behind_its_login(cipher: str, password: str) -> None:
    def login(request: web.Request, _: Any) -> Any:
        asked = request.query
        known = (asked["username"], asked["password"], asked["cipher"]) == ("admin", password, cipher)
        return {"JWT Token": "j-1"} if known else 500

    def setting(request: web.Request, _: Any) -> Any:
        known = request.headers.get("Authorization") == "Bearer j-1"
        return {"name": "02:00:00:00:00:24"} if known else 401

    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 120, "MHS 20s": 2050.5}]}
    device = Device(
        commands={"summary": summary, "pools": POOLS},
        pages={"/user/login": login, "/mcb/setting": setting},
    )
    assert read("goldshell", device).mac == "02:00:00:00:00:24"


def test_goldshell_whose_cards_do_not_do_the_same_has_no_sum() -> None:
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 900, "MHS 20s": 445.5}]}
    cards = [
        {"PGA": 0, "Enabled": "Y", "MHS 20s": 440.5, "pool": "scrypt(LTC)"},
        {"PGA": 1, "Enabled": "Y", "MHS 20s": 5.0, "pool": "zkSNARK(ALEO)"},
    ]
    commands = {"summary": summary, "pools": POOLS, "devs": {"STATUS": STATUS, "DEVS": cards}}
    device = Device(commands=commands)

    async def both(access: Any) -> list[Any]:
        return [
            await registry.read("127.0.0.1", goldshell.FAMILY, access, full=full) for full in (True, False)
        ]

    for found in device.serve(both):
        assert found.hashrate_hs is None and "sum" in found.unknown["hashrate_hs"]
        assert (found.state, found.uptime_s) == (State.MINING, 900)
    cards[1]["pool"] = cards[0]["pool"]
    assert [found.hashrate_hs for found in device.serve(both)] == [pytest.approx(445.5e6)] * 2


def test_goldshell_byte_over_its_pages_has_its_pools_in_groups() -> None:
    card = {"name": "scrypt(LTC)", "infos": [{"hashrate": 440.5, "power": 65.5, "time": 77}]}
    pool = {"url": "stratum+tcp://a:1", "user": "u.1", "active": True, "pool-priority": 0}
    got = {"web_devs": {"minfos": [card]}, "web_pools": {"groups": [{"pools": [pool]}]}}
    found = goldshell.parse(got, 1)
    assert (found.pools[0].active, found.hashrate_hs, found.power_w) == (True, None, None)
    assert "where" in found.unknown["power_w"]


@pytest.mark.parametrize("full", [True, False])
def test_goldshell_with_a_plan_without_a_clock_is_asleep(full: bool) -> None:
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 1200, "MHS 20s": 0}]}
    plans = [{"info": "700 MHz 0.4 V", "level": 0}, {"info": "0 MHz 0 V", "level": 3}]
    pages = {"/mcb/setting": {"select": 1, "manual": False, "powerplans": plans}}
    device = Device(commands={"summary": summary, "pools": POOLS}, pages=pages)
    assert read("goldshell", device, full=full).state is State.SLEEPING
    pages["/mcb/setting"] = {"select": 0, "manual": False, "powerplans": plans}
    assert read("goldshell", device, full=full).state is State.IDLE


def inno_pages(everything: dict[str, Any], summary: dict[str, Any] | None = None) -> dict[str, Any]:
    def login(_request: web.Request, sent: Any) -> Any:
        known = sent == "username=admin&password=admin"
        return {"success": True, "jwt": "j-1"} if known else {"success": False}

    def behind(reply: dict[str, Any]) -> Any:
        def page(request: web.Request, _: Any) -> Any:
            known = request.method == "POST" and request.headers.get("Authorization") == "Bearer j-1"
            return {"success": True, **reply} if known else {"success": False, "token": "expired"}

        return page

    version = {"ethaddr": "02:00:00:00:00:29", "platform_v": "20200101"}
    pages = {"/api/getAll": {"all": everything}, "/api/overview": {"type": "T3+", "version": version}}
    pages |= {"/api/summary": summary} if summary else {}
    return {"/api/auth": login} | {path: behind(reply) for path, reply in pages.items()}


def test_innosilicon_is_named_by_its_pages() -> None:
    signed = [{"STATUS": "S", "Description": "innominer t3-1.2.0"}]
    summary = {"STATUS": signed, "SUMMARY": [{"Elapsed": 900, "MHS 5s": 5.1e7, "MHS av": 5e7}]}
    version = {"STATUS": signed, "VERSION": [{"CGMiner": "t3-1.2.0", "API": "3.7"}]}
    everything = {"type": "T3+", "mac": "02:00:00:00:00:29", "power": 2800, "dna": "ff"}
    device = Device(
        commands={"summary": summary, "version": version, "pools": POOLS}, pages=inno_pages(everything)
    )
    assert identified(device) == innosilicon.FAMILY
    found = read("innosilicon", device)
    assert (found.make, found.model, found.firmware) == ("Innosilicon", "Innosilicon T3+", "t3-1.2.0")
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(5.1e13), "5s")
    assert (found.mac, found.serial, found.state) == ("02:00:00:00:00:29", None, State.MINING)
    assert found.power_w is None and "where" in found.unknown["power_w"]
    assert read("innosilicon", device, full=False).hashrate_hs == pytest.approx(5.1e13)
    version["VERSION"] = [{"CGMiner": "4.10.0", "API": "3.7"}]
    assert read("innosilicon", device).firmware == "20200101"


def test_innosilicon_over_its_pages_alone() -> None:
    board = {"Name": "T3", "Enabled": "Y", "MHS 5s": 1.7e7, "Temperature": 60, "Device Elapsed": 900}
    page = {"DEVS": [{"ASC": n, **board} for n in range(3)], "POOLS": [POOL], "TotalHash": {"Hash Rate": 51}}
    device = Device(pages=inno_pages({"type": "T3+", "mac": "02:00:00:00:00:29"}, page))
    assert identified(device) == innosilicon.FAMILY
    found = read("innosilicon", device)
    assert (found.hashrate_hs, found.uptime_s) == (pytest.approx(5.1e13), 900)
    assert (found.mac, found.firmware) == ("02:00:00:00:00:29", "20200101")
    assert found.pools[0].active is True
    assert read("innosilicon", device, full=False).hashrate_hs == pytest.approx(5.1e13)


@pytest.mark.parametrize(
    ("program", "expected"), [("a9-1.1.0", 50_123.5), ("a10-1.0.0", 50_123.5), ("a5-1.0.0", None)]
)
def test_innosilicon_labels_are_no_units(program: str, expected: float | None) -> None:
    signed = [{"STATUS": "S", "Description": f"innominer {program}"}]
    summary = {"STATUS": signed, "SUMMARY": [{"Elapsed": 900, "MHS 5s": 50_123.5}]}
    got: dict[str, Any] = {"summary": summary, "pools": POOLS}
    assert innosilicon.recognise(got)
    found = innosilicon.parse(got, 1)
    assert found.hashrate_hs == (None if expected is None else pytest.approx(expected))
    assert expected or "unit" in found.unknown["hashrate_hs"]
    got["all"] = {"all": {"total_hash": {"Hash Rate": 0.49, "Unit": "GH/s", "Hash Rate H": 49e7}}}
    assert innosilicon.parse(got, 1).hashrate_hs == pytest.approx(expected or 49e7)


def test_innosilicon_over_its_pages_alone_has_hashes_where_the_label_lies() -> None:
    board = {"Name": "HLT", "Enabled": "Y", "MHS 5s": 5e8, "MHS 15m": 4.7e8, "Device Elapsed": 9000}
    boards = [board | {"Hash Rate": 470.5, "Unit": "MH/s", "Hash Rate H": 470.5e6} for _ in range(3)]
    page = {"DEVS": boards, "POOLS": [POOL]}
    device = Device(pages=inno_pages({"type": "A11MX", "mac": "02:00:00:00:00:29"}, page))
    found = read("innosilicon", device)
    assert (found.model, found.hashrate_hs) == ("Innosilicon A11MX", pytest.approx(1.5e9))
    device = Device(pages=inno_pages({"type": "A5+"}, page))
    for full in (True, False):
        found = read("innosilicon", device, full=full)
        assert (found.hashrate_hs, found.state) == (pytest.approx(1411.5e6), State.MINING)


def test_dragonmint_takes_its_password_with_each_request() -> None:
    board = {"Name": "DT1", "Enabled": "Y", "MHS 5s": 4.9e6, "MHS av": 4.8e6, "Device Elapsed": 900}
    page = {"success": True, "DEVS": [board] * 3, "POOLS": [POOL]}

    def summary(request: web.Request, _: Any) -> Any:
        return page if request.headers.get("Authorization", "").startswith("Basic ") else 401

    root = web.Response(text="<title>DragonMint</title>", content_type="text/html")
    device = Device(pages={"/api/summary": summary, "/": lambda *_: root})
    assert identified(device) == innosilicon.FAMILY
    device.pages = {"/api/summary": summary}
    found = read("innosilicon", device)
    assert (found.make, found.model) == ("Halong", "DragonMint T1")
    assert found.hashrate_hs == pytest.approx(14.7e12)


def half(**values: Any) -> dict[str, Any]:
    supply = {"power": 2100, "psu-temp": 47, "psu-name": "Artesyn2000", "i2c-psu-error%": 0.3}
    return supply | {"max-temp": 95, "rear-temp": 65, "working-asics": 75} | values


def test_spondoolies_has_its_watts_in_a_text() -> None:
    boards = {"top-board": half(), "bottom-board": half(power=2050), "fan-speeds": [12020, 11090]}
    row = {"STATS": 0, "ID": "SP360", "Elapsed": 900, "json-stats": json.dumps(boards)}
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 900, "MHS 5s": 377763.5, "MHS av": 5e5}]}
    device = Device(
        commands={"summary": summary, "stats": {"STATUS": STATUS, "STATS": [row]}, "pools": POOLS}
    )
    assert identified(device) == spondoolies.FAMILY
    for full in (True, False):
        found = read("spondoolies", device, full=full)
        assert (found.power_w, found.power_origin) == (4150, PowerOrigin.PSU_MEASURED)
        assert found.hashrate_hs == pytest.approx(377763.5e6)
    found = read("spondoolies", device)
    assert (found.model, found.fans_rpm, found.chips) == ("Spondoolies SP36", (12020, 11090), 150)
    row["json-stats"] = json.dumps(boards | {"bottom-board": half(power="N/A")})
    found = read("spondoolies", device)
    assert found.power_w is None and "half" in found.unknown["power_w"]


@pytest.mark.parametrize(
    ("unit", "expected"), [("G/s", 37.5e9), ("M/s", 37.5e6), ("MH/s", 37.5e6), ("", None)]
)
def test_ipollo_names_its_unit(unit: str, expected: float | None) -> None:
    row = {"STATS": 0, "ID": "G1", "Algo": "grin", "Hashrate": 37.5, "Unit": unit, "Elapsed": 900}
    row |= {"Temp": "60.5 61.0", "Fan": "4200 4300"}
    summary = {"STATUS": STATUS, "SUMMARY": [{"Elapsed": 900, "MHS av": 37}]}
    device = Device(commands={"summary": summary, "stats": {"STATUS": STATUS, "STATS": [row]}})
    assert identified(device) == ipollo.FAMILY
    for full in (True, False):
        found = read("ipollo", device, full=full)
        assert found.hashrate_hs == (None if expected is None else pytest.approx(expected))
        assert found.state is (State.MINING if expected else State.UNKNOWN)
    assert (found.chip_temps_c, found.fans_rpm, found.uptime_s) == ((60.5, 61.0), (4200, 4300), 900)
    assert read("ipollo", device).model == "iPollo G1"


def test_elphapex_with_the_newer_web() -> None:
    about = {"type": "DG1", "miner_version": "DG1_SW_V1.0.4", "dev_sn": "28HY245192N001245C23B"}
    row = {"rate_unit": "MH/s", "elapsed": 900, "rate_5s": 11040.5, "rate_ideal": 11000, "fan": ["5340"]}
    pages = {
        elphapex.STATS: {"INFO": about, "STATS": [row]},
        "/cgi-bin/luci/pools.cgi": POOLS,
        elphapex.SYSTEM_INFO: {"minertype": "DG1", "macaddr": "02:00:00:00:00:2C", "hostname": "DG1"},
        elphapex.MINER_CONF: {"fc-work-mode": "-1000"},
    }
    device = Device(pages=pages)
    assert identified(device) == elphapex.FAMILY
    found = read("elphapex", device)
    assert (found.family, found.make, found.model) == ("elphapex", "Elphapex", "DG1")
    assert (found.hashrate_hs, found.state) == (pytest.approx(11040.5e6), State.MINING)
    assert (found.mac, found.serial, found.power_w) == (
        "02:00:00:00:00:2c",
        "28HY245192N001245C23B",
        None,
    )
    row["rate_5s"] = 0
    for full in (True, False):
        assert read("elphapex", device, full=full).state is State.SLEEPING
    pages[elphapex.MINER_CONF] = {"fc-work-mode": 0}
    assert read("elphapex", device).state is State.IDLE


def test_jasminer() -> None:
    summary = {
        "miner": "JASMINER X4-Q",
        "version": "Mon Oct 14 2024",
        "machine_sn": "JM4Q22A0715",
        "uptime": 900,
    }
    boards = {"fan_num": 2, "fan1": 1250, "fan2": 0, "board": [{"asic0_temp": 53, "asic1_temp": 51}]}
    pools = [
        {"url": "stratum+tcp://a:1", "user": "u.1", "status": "alive"},
        {"url": "stratum+tcp://b:1", "user": "u.1", "status": "in use", "accept": 7, "reject": 1},
        {"url": "", "user": ""},
    ]
    page = {"summary": summary | {"rt": "1040.5 MH/s", "avg": "1039 MH/s"}, "boards": boards}
    page |= {"pools": {"pool": pools}}
    device = Device(
        pages={
            jasminer.STATUS: page,
            "/cgi-bin/get_system_info.cgi": {"minertype": "Jasminer X4-Q", "macaddr": "02:00:00:00:00:2B"},
        }
    )
    assert identified(device) == jasminer.FAMILY
    found = read("jasminer", device)
    assert (found.make, found.model, found.serial) == ("Jasminer", "Jasminer X4-Q", "JM4Q22A0715")
    assert (found.hashrate_hs, found.uptime_s) == (pytest.approx(1040.5e6), 900)
    assert (found.mac, found.state, found.power_w) == ("02:00:00:00:00:2b", State.MINING, None)
    assert [pool.active for pool in found.pools] == [None, True] and found.fans_rpm == (1250,)
    bare = jasminer.parse({"status": {"summary": summary | {"rt": "1040"}, "boards": boards}}, 1)
    assert bare.hashrate_hs is None and bare.state is State.UNKNOWN


def panel(**values: Any) -> dict[str, Any]:
    data = {"model": "none", "softver1": "ks0pro_miner", "mac": "02:00:00:00:00:25", "unit": "G"}
    data |= {"rtpow": "98.5G", "avgpow": "97G", "runtime": "01:02:03:04", "fans": [4000, 0]}
    data["pools"] = [
        {"addr": "stratum+tcp://a:1", "user": "u.1", "connect": True, "accepted": 7, "rejected": 0},
        {"addr": "stratum+tcp://b:1", "user": "u.1", "connect": False, "accepted": 0, "rejected": 0},
    ]
    return {"error": 0, "data": data | values}


def test_iceriver() -> None:
    device = Device(pages={"/user/userpanel": panel()})
    assert identified(device) == iceriver.FAMILY
    found = read("iceriver", device)
    assert (found.make, found.model, found.mac) == ("IceRiver", "KS0 Pro", "02:00:00:00:00:25")
    assert (found.hashrate_hs, found.uptime_s) == (pytest.approx(98.5e9), 93_784)
    assert [pool.active for pool in found.pools] == [True, False]


def test_iceriver_numbers_what_is_connected() -> None:
    pools = [
        {"addr": f"stratum+tcp://{name}:1", "user": "u.1", "connect": connect, "accepted": 7, "state": 1}
        for name, connect in (("a", -1), ("b", 1), ("c", 0))
    ]
    found = iceriver.parse({"panel": panel(pools=pools)}, 1)
    assert [pool.active for pool in found.pools] == [False, True, False]


def test_iceriver_that_wants_the_number_of_the_page_in_a_form() -> None:
    def page(_request: web.Request, sent: Any) -> Any:
        return panel() if sent == "post=4" else {"error": 0, "message": ""}

    device = Device(pages={"/user/userpanel": page})
    assert identified(device) == iceriver.FAMILY
    assert read("iceriver", device).hashrate_hs == pytest.approx(98.5e9)


def test_iceriver_behind_its_login() -> None:
    def login(request: web.Request, _: Any) -> Any:
        known = (request.query["user"], request.query["pwd"]) == ("admin", "12345678")
        answer = web.json_response({})
        answer.set_cookie("session", "s-1" if known else "no")
        return answer

    def page(request: web.Request, _: Any) -> Any:
        known = request.method == "POST" and request.cookies.get("session") == "s-1"
        return panel() if known else {"error": 3}

    root = web.Response(text="<html><TITLE>用户界面</TITLE></html>", content_type="text/html")
    device = Device(pages={"/user/userpanel": page, "/user/loginpost": login, "/": lambda *_: root})
    assert identified(device) == iceriver.FAMILY
    assert not any("login" in request for request in device.asked), "no password for whom we do not know"
    device.pages = {**device.pages, "/": 404}
    assert read("iceriver", device).hashrate_hs == pytest.approx(98.5e9)


@pytest.mark.parametrize(
    ("rate", "unit", "expected"), [("9.5T", "G", 9.5e12), ("98", "G", 98e9), ("98", "", None)]
)
def test_iceriver_rates_have_a_unit_or_are_none(rate: str, unit: str, expected: float | None) -> None:
    found = iceriver.parse({"panel": panel(rtpow=rate, unit=unit)}, 1)
    assert found.hashrate_hs == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("software", "model"),
    [
        ("ks0pro_miner", "KS0 Pro"),
        ("BG_20231028_ks3m_miner", "KS3M"),
        ("BG_20231028_ks3miner", "KS3"),
        ("BG_20231028_KS5Lminer", "KS5L"),
        ("ks0ultra_1.2_miner", "KS0 Ultra"),
        ("ICM1_04_02_1810_10306_miner", "AL3"),
        ("ICM1_04_02_1810_99999_miner", None),
    ],
)
def test_iceriver_is_named_by_its_software(software: str, model: str | None) -> None:
    assert iceriver.parse({"panel": panel(softver1=software)}, 1).model == model


def test_iceriver_whose_boards_are_off_is_idle() -> None:
    assert iceriver.parse({"panel": panel(powstate=False)}, 1).state is State.IDLE
    assert iceriver.parse({"panel": panel(powstate=True)}, 1).state is State.MINING
