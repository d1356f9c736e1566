"""Shapes of Bitmain's firmware over the years, in small replies written here."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from agent.miners import antminer, registry
from agent.readings import PowerOrigin, ProtocolError, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json, parse
from tests.agent.miners.faking import Device


def reading(model: str = "Antminer S19", row: Json | None = None, **got: Json) -> Reading:
    stats = {"STATS": [{"Type": model, "CompileTime": "Mon Jan  1 00:00:00 CST 2024"}, row or {}]}
    return antminer.parse({"stats": stats, **got}, 1, full=True)


def test_old_firmware_forgets_a_comma_and_numbers_its_chains_from_six() -> None:
    stats = parse(
        b'{"STATS":[{"BMMiner":"2.0.0","Type":"Antminer S9"}{"STATS":0,"Elapsed":77,"GHS 5s":"13491.2",'
        b'"GHS av":13500.1,"fan3":5880,"fan6":4320,"temp6":61,"temp7":60,"temp8":59,"temp2_6":76,'
        b'"chain_acn6":63,"chain_acn7":63,"chain_acn8":63,"chain_rate6":"4499.9","chain_rate7":"4500.1",'
        b'"chain_rate8":"4491.2"}],"id":1}\0'
    )
    found = antminer.parse({"stats": stats}, 1)
    assert (found.model, found.hashrate_hs, found.hashrate_window) == ("Antminer S9", 13491.2e9, "5s")
    assert (found.boards_total, found.boards_hashing, found.chips) == (3, 3, 189)
    assert found.board_temps_c == (61.0, 60.0, 59.0) and found.fans_rpm == (5880, 4320)
    assert found.state is State.MINING and found.uptime_s == 77
    assert found.power_w is None and found.unknown["power_w"] == "this firmware reports no power"


@pytest.mark.parametrize(
    ("model", "row", "hashrate_hs"),
    [
        ("Antminer L3+", {"GHS 5s": "504.56"}, 504.56e6),  # GHS on the label, MH/s in truth
        ("Antminer D3", {"GHS 5s": "16346.64"}, 16346.64e6),
        ("Antminer E3", {"GHS 5s": "197.30"}, 197.3e6),
        ("Antminer L7", {"GHS 5s": 9.3, "rate_unit": "GH"}, 9.3e9),
        ("Antminer L7", {"GHS 5s": 9301.2, "rate_unit": "MH"}, 9301.2e6),
        ("Antminer L9", {"MHS 5s": 16000, "rate_unit": "MH"}, 16000e6),
        ("Antminer Z15", {"GHS 5s": 421.5, "rate_unit": "KSol"}, 421.5e3),
        ("Antminer Z15", {"KHS 5s": "421.5"}, 421.5e3),
        ("Antminer S21", {"rate_5s": 200123.4, "rate_unit": "GH/s"}, 200123.4e9),
        ("Antminer S21", {"rate_5s": 200123.4}, 200123.4e9),
        ("Antminer T21", {"GHS 5s": 0, "GHS av": 180000}, 0.0),
        ("Antminer KS5", {"GHS 5s": 20000, "rate_unit": "GH"}, 20000e9),
        ("Antminer BHB68606", {"GHS 5s": 200123.4}, 200123.4e9),
        ("Antminer DR5", {"GHS 5s": "35568.22"}, 35568.22e9),
        ("Antminer Z9-Mini", {"GHS 5s": "15.82"}, 15.82e3),
        ("Antminer Z15j", {"GHS 5s": "401.5"}, 401.5e3),  # a variant of one whose scale is known
        ("Antminer X3", {"GHS 5s": "220.5"}, 220.5e3),
        ("Antminer B3", {"GHS 5s": 780}, 780),
        ("Hammer D10", {"MHS 5s": "4686.4886"}, 4686.4886e6),
        ("DG1+", {"rate_5s": 14920.5, "rate_unit": "MH/s"}, 14920.5e6),
    ],
)
def test_units(model: str, row: Json, hashrate_hs: float) -> None:
    assert reading(model, row).hashrate_hs == pytest.approx(hashrate_hs)


def test_a_label_nothing_confirms_gives_no_rate() -> None:
    found = reading("Antminer Q3", {"GHS 5s": 780, "Elapsed": 5})
    assert found.hashrate_hs is None
    assert found.unknown["hashrate_hs"] == "the unit of the rate cannot be told"


@pytest.mark.parametrize("broken", ["", "-1", None, "nan", True, [], "1e999"])
def test_a_mean_since_start_does_not_stand_in_for_a_broken_present_rate(broken: Any) -> None:
    found = reading(row={"GHS 5s": broken, "GHS av": 95000.0, "Elapsed": 9})
    assert found.hashrate_hs is None and found.state is State.UNKNOWN
    assert found.unknown["hashrate_hs"] and found.unknown["state"]


def test_a_mean_since_start_is_called_so_and_shows_no_state() -> None:
    found = reading(row={"GHS av": 95000.0, "Elapsed": 9})
    assert (found.hashrate_hs, found.hashrate_window) == (95000e9, "since start")
    assert found.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("row", "power_w"),
    [
        ({"watt": 5525}, 5525.0),
        ({"power": "3489"}, 3489.0),
        ({"Power": 3210.5}, 3210.5),
        ({"chain_power": "3250 W"}, 3250.0),
        ({"watt": 0, "power": 3000}, 3000.0),
    ],
)
def test_power_of_the_firmware_is_its_estimate(row: Json, power_w: float) -> None:
    found = reading(row={"GHS 5s": 95000} | row)
    assert (found.power_w, found.power_origin) == (power_w, PowerOrigin.FIRMWARE_ESTIMATED)


@pytest.mark.parametrize("row", [{"watt": 0}, {"power": "n/a"}, {"chain_power": ""}, {"watt": -5}])
def test_no_watts_are_made_of_a_broken_power_field(row: Json) -> None:
    found = reading(row={"GHS 5s": 95000} | row)
    assert (found.power_w, found.power_origin) == (None, None) and found.unknown["power_w"]


def test_new_api_and_web_rows_are_read_alike() -> None:
    chain = {
        "asic_num": 84,
        "rate_real": 188896.1,
        "temp_chip": [44, 0, 56],
        "temp_pcb": [52],
        "sn": "SMTT123",
    }
    row = {
        "elapsed": 12,
        "rate_5s": 572845.56,
        "rate_unit": "GH/s",
        "watt": 5525,
        "fan": [],
        "chain": [chain],
    }
    stats = {"STATS": [row], "INFO": {"type": "Antminer S23 Hyd.", "CompileTime": "Fri Jun 26 2026"}}
    found = antminer.parse({"stats": stats}, 1)
    assert (found.model, found.hashrate_hs) == ("Antminer S23 Hyd.", 572845.56e9)
    assert (found.uptime_s, found.power_w, found.firmware) == (12, 5525.0, "Fri Jun 26 2026")
    assert found.chip_temps_c == (56.0,) and found.fans_rpm == () and found.board_serials == ("SMTT123",)


@pytest.mark.parametrize(
    ("conf", "summary", "state"),
    [
        ({"miner-mode": 1}, {}, State.SLEEPING),
        ({"bitmain-work-mode": "1"}, {}, State.SLEEPING),
        ({"bitmain-work-mode": "0"}, {}, State.IDLE),
        ({}, {"status": [{"type": "temp", "status": "e"}]}, State.OVERHEAT),
        ({}, {"status": [{"type": "fans", "status": "e"}]}, State.FAULT),
        ({}, {"status": [{"type": "network", "status": "e"}]}, State.IDLE),
    ],
)
def test_state_of_a_rate_that_is_really_zero(conf: Json, summary: Json, state: State) -> None:
    found = reading(row={"GHS 5s": 0, "Elapsed": 600}, conf=conf, summary={"SUMMARY": [summary]})
    assert found.hashrate_hs == 0.0 and found.state is state


def test_identity_that_identifies_nobody_is_none() -> None:
    info = {"macaddr": "00:00:00:00:00:00", "serinum": "N/A", "hostname": "antminer"}
    found = reading(row={"GHS 5s": 1}, system_info=info)
    assert found.mac is None and "mac" in found.unknown
    assert found.serial is None and "serial" in found.unknown
    for raw in ("02:9M:70:E7:32:F3", "FF:FF:FF:FF:FF:FF", "02:9c:70", 7, None):
        assert reading(row={"GHS 5s": 1}, system_info={"macaddr": raw}).mac is None


def test_a_swapped_control_board_is_noted() -> None:
    info = {"minertype": "Antminer S21", "system_filesystem_version": "FR-1.12(251009-S21)"}
    found = reading("Antminer S19 Pro", {"GHS 5s": 110000}, system_info=info)
    assert found.model == "Antminer S19 Pro" and found.firmware == "Mon Jan  1 00:00:00 CST 2024"
    assert "Antminer S21" in found.unknown["minertype"]


def test_pools_of_the_web_and_empty_slots() -> None:
    pools = {
        "POOLS": [
            {"index": 0, "url": "stratum+tcp://a:1", "user": "u.1", "status": "Alive", "accepted": "7"},
            {"url": "", "user": ""},
            {"URL": "stratum+tcp://b:1", "User": "u", "Status": "Dead", "Stratum Active": True},
            {"URL": "\ufffd\ufffd", "User": "u"},
        ]
    }
    found = reading(row={"GHS 5s": 1}, pools=pools)
    assert [(pool.url, pool.active, pool.accepted) for pool in found.pools] == [
        ("stratum+tcp://a:1", None, 7),
        ("stratum+tcp://b:1", False, None),
    ]
    assert "1 of the pools" in found.unknown["pools"]


def test_another_devices_reply_is_no_reading() -> None:
    with pytest.raises(ProtocolError):
        antminer.parse({"stats": {"miner": {"hr": 5}}}, 1)


@pytest.mark.parametrize(
    "kind", ["Antminer S21 Pro (Vnish 1.2.7)", "Antminer S19x88 Hiveon", "Antminer T21 (7Miners 1.2.6)"]
)
def test_other_firmware_on_the_same_machine_is_not_taken(kind: str) -> None:
    assert not antminer.recognise({"stats": {"STATS": [{"Type": kind}]}})
    assert antminer.recognise({"version": {"VERSION": [{"Type": "Antminer S21 XP Hyd."}]}})


@pytest.mark.parametrize(
    ("said", "watts"),
    [
        ("miner power:3456", 3456),
        ("power:3456\n", 3456),
        ("miner power:-1", None),
        ("miner power:0", None),
        ("miner power:", None),
        ("miner voltage:1320", None),
        ("<html>3456</html>", None),
        (None, None),
    ],
)
def test_the_supply_speaks_at_a_port_of_its_own(said: Any, watts: int | None) -> None:
    found = reading("Antminer S21", {"GHS 5s": 200000}, miner_power={"text": said})
    assert found.power_w == watts
    assert found.power_origin is (PowerOrigin.PSU_MEASURED if watts else None)
    stated = reading("Antminer S21", {"GHS 5s": 200000, "watt": 3500}, miner_power={"text": said})
    assert (stated.power_w, stated.power_origin) == (3500, PowerOrigin.FIRMWARE_ESTIMATED)


@pytest.mark.parametrize(
    ("said", "asked_in_sweeps"), [("miner power:3456", 1), ("miner power:-1", 0), (404, 0)]
)
def test_the_supply_is_asked_in_sweeps_where_it_has_answered(said: Any, asked_in_sweeps: int) -> None:
    stats = {"STATS": [{"Type": "Antminer S21"}, {"Elapsed": 60, "GHS 5s": 200000}]}
    page = said if isinstance(said, int) else lambda *_: web.Response(text=said)
    device = Device({"/miner_power": page}, {"stats": stats, "pools": {"POOLS": []}})

    async def full_then_sweep(access: Access) -> Reading:
        await antminer.read("127.0.0.1", access, full=True)
        device.asked.clear()
        return await antminer.read("127.0.0.1", access, full=False)

    found = device.serve(full_then_sweep)
    assert device.asked.count("GET /miner_power") == asked_in_sweeps
    assert found.power_w == (3456 if asked_in_sweeps else None)
    assert "6060" not in str(found.unknown) and "miner_power" not in str(found.unknown)


def test_another_maker_with_the_same_pages() -> None:
    about = {"INFO": {"type": "DG1+", "dev_sn": "31HX250417N000318C52D"}}
    pages = {
        "/cgi-bin/get_system_info.cgi": {
            "minertype": "DG1+",
            "macaddr": "02:00:00:00:00:31",
            "hostname": "DG1+",
        },
        "/cgi-bin/stats.cgi": about | {"STATS": [{"elapsed": 900, "rate_5s": 14920.5, "rate_unit": "MH/s"}]},
        "/cgi-bin/pools.cgi": {
            "POOLS": [
                {"url": "stratum+tcp://a:1", "user": "u", "status": "Unreachable"},
                {"url": "stratum+tcp://b:1", "user": "u", "status": "Alive"},
            ]
        },
    }
    device = Device(pages=pages)
    assert device.serve(lambda access: registry.identify("127.0.0.1", access)) == "antminer"
    found = device.serve(lambda access: registry.read("127.0.0.1", "antminer", access))
    assert (found.make, found.model, found.serial) == ("Elphapex", "DG1+", "31HX250417N000318C52D")
    assert found.hashrate_hs == pytest.approx(14920.5e6)
    assert [pool.active for pool in found.pools] == [False, True]


@pytest.mark.parametrize(
    ("model", "hashrate_hs"),
    [("Antminer S9", 13_500.5e9), ("VolcMiner D1", 13_500.5e6), ("Nobody's X1", None)],
)
@pytest.mark.parametrize("full", [True, False])
def test_the_one_page_of_older_firmware(model: str, hashrate_hs: float | None, full: bool) -> None:
    status = {
        "summary": {"elapsed": "900", "ghs5s": "13,500.5", "ghsav": "13,400.0"},
        "pools": [
            {"index": "0", "url": "stratum+tcp://a:1", "user": "u", "status": "Alive", "accepted": "12"}
        ],
        "fan1": "1,200",
    }
    pages = {
        "/cgi-bin/get_system_info.cgi": {"minertype": model, "macaddr": "02:00:00:00:00:32"},
        "/cgi-bin/get_miner_status.cgi": status,
    }
    read = Device(pages=pages).serve(lambda access: registry.read("127.0.0.1", "antminer", access, full=full))
    assert read.hashrate_hs == (None if hashrate_hs is None else pytest.approx(hashrate_hs))
    assert (read.uptime_s, read.pools[0].accepted, read.fans_rpm) == (900, 12, (1200,))
