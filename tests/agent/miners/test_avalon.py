"""Shapes of Canaan's text field, in small replies written here."""

from __future__ import annotations

import pytest

from agent.miners import avalon, registry
from agent.readings import PowerOrigin, Reading, State
from tests.agent.miners.faking import Device


def reading(*units: str, **summary: object) -> Reading:
    rows = [{f"MM ID{place}": unit} for place, unit in enumerate(units)]
    replies = {"stats": {"STATS": rows}, "summary": {"SUMMARY": [{"Elapsed": 60, **summary}]}}
    return avalon.parse(replies, 1)


@pytest.mark.parametrize(
    ("slots", "power_w", "origin"),
    [
        ("PS[0 1214 1316 242 3189 1320 3504]", 3504.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 1222 4 0 0 2245 146]", 146.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 1214 1316 242 3189 1320]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1214 1316 242 3189 1320 0]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1214 1316 242 3189 1320 12]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1 2 3 3526 5 3700] WALLPOWER[3731]", 3731.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 1214 1316 242 3400 1320 3704]", 3704.0, PowerOrigin.WALL_MEASURED),  # measured while it rises
        ("PS[0 1214 1316 242 1589 1320 3504]", None, None),  # slot 4 is not the supply's volts times amperes
        ("PS[0 0 0 4 2741 98 326] WORKLEVEL[2]", None, None),  # Nano 3: 27.41 V and 326 mV, no watts
        ("PS[0 0 27410 4 0 3256 98] WORKMODE[2]", 98.0, PowerOrigin.WALL_MEASURED),  # Nano 3S
        ("PS[0 0 0 0 0 2245 0] MPO[800]", None, None),
        ("PS[] MPO[3200]", None, None),
        ("MPO[3200]", None, None),
    ],
)
def test_which_side_of_the_supply(slots: str, power_w: float | None, origin: PowerOrigin | None) -> None:
    found = reading(f"GHSspd[81000.5] {slots}")
    assert (found.power_w, found.power_origin) == (power_w, origin)
    assert (found.power_w is None) == ("power_w" in found.unknown)


def test_units_behind_one_controller_are_summed_or_not_at_all() -> None:
    one, other = "GHSspd[7000] PS[0 0 1200 75 900 0 1000]", "GHSspd[6000] PS[0 0 1250 64 800 0 0]"
    both = reading(one, other)
    assert both.hashrate_hs == pytest.approx(13e12)
    assert (both.power_w, both.power_origin) == (1700.0, PowerOrigin.DC_OUTPUT)
    assert reading(one, "GHSspd[6000]").power_w is None


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[80000]", State.MINING),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 1] GHSspd[0.00] SoftOFF[4]", State.SLEEPING),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 1] GHSspd[0.00] SoftOFF[0]", State.IDLE),
        ("SYSTEMSTATU[Work: In Init, Hash Board: 1] GHSspd[0.00]", State.STARTING),
        ("GHSavg[80000]", State.UNKNOWN),
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSavg[80000]", State.MINING),
    ],
)
def test_state(unit: str, state: State) -> None:
    assert reading(unit).state is state


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("1246-83", "AvalonMiner 1246"),
        ("Q", "Avalon Q"),
        ("Nano3s", "Avalon Nano 3S"),
        ("Mini3", "Avalon Mini 3"),
        ("1126Pro-S-64", "AvalonMiner 1126 Pro"),
        ("1166PRO-81", "AvalonMiner 1166 Pro"),
        ("1566HA", "AvalonMiner 1566HA"),
        ("15-194", "AvalonMiner 15-194"),
    ],
)
def test_model(name: str, model: str) -> None:
    replies = {
        "version": {"VERSION": [{"PROD": f"AvalonMiner {name}", "MODEL": name}]},
        "stats": {"STATS": []},
    }
    assert avalon.parse(replies, 1).model == model


@pytest.mark.parametrize(
    ("version", "model", "firmware"),
    [
        ("7411706-3051927", "AvalonMiner 741", None),
        ("6301706-c41b7f2", "AvalonMiner 630", None),
        ("1066-19112051_ab31c07_52d9e40", "AvalonMiner 1066", "19112051_ab31c07_52d9e40"),
        ("1346-116-23061907_1f0b6aa", "AvalonMiner 1346", "23061907_1f0b6aa"),
        ("Nano3s-25031102_41c7d0e", "Avalon Nano 3S", "25031102_41c7d0e"),
        ("nonsense", None, None),
    ],
)
def test_a_unit_says_who_it_is_where_nobody_else_does(
    version: str, model: str | None, firmware: str | None
) -> None:
    found = reading(f"Ver[{version}] GHSspd[4000.5]")
    assert (found.make, found.model, found.firmware) == ("Canaan", model, firmware)


def test_units_behind_one_controller_lend_it_no_name() -> None:
    found = reading("Ver[7411706-3051927] DNA[0145b2c6d71f3ae8]", "Ver[8411806-3051927]", **{"MHS 5s": 7e6})
    assert found.model is None and found.serial is None and found.hashrate_hs == pytest.approx(7e12)


def test_a_theoretical_rate_is_none() -> None:
    found = avalon.parse({"stats": {"STATS": [{"Elapsed": 181, "MM ID1": "GHSmm[7078.84] TMax[93]"}]}}, 1)
    assert found.hashrate_hs is None and found.uptime_s == 181


def test_the_shortest_window_of_the_summary() -> None:
    found = reading("GHSavg[4000.5]", **{"MHS 30s": 6e6, "MHS 1m": 5e6, "MHS av": 3e6})
    assert (found.hashrate_hs, found.hashrate_window) == (pytest.approx(6e12), "30s")


def test_estats_where_nothing_else_is_filled() -> None:
    unit = "Ver[Nano3s-25031102_41c7d0e] PS[0 0 27965 2 0 3210 66] GHSspd[6021.44]"
    device = Device(
        commands={
            "version": {
                "STATUS": [{"STATUS": "S"}],
                "VERSION": [{"PROD": "Avalon Nano3s", "MODEL": "Nano3s"}],
            },
            "stats": {"STATUS": [{"STATUS": "S"}], "STATS": [{"ID": "POOL0"}]},
            "estats": {"STATUS": [{"STATUS": "S"}], "STATS": [{"Elapsed": 4021, "MM ID0": unit}]},
        }
    )
    found = device.serve(lambda access: registry.read("127.0.0.1", "avalon", access))
    assert (found.hashrate_hs, found.uptime_s) == (pytest.approx(6021.44e9), 4021)
    assert (found.power_w, found.model) == (66, "Avalon Nano 3S")
